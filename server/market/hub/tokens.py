"""Resume tokens: where a stream stands, sealed so that any replica can go on and nobody can forge a place."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NoReturn

from server.domain.errors import InvalidArgument
from server.market.hub.position import Position, unpack

FIELD = "options.resume_token"
"""Where a request carries its token."""

_VERSION = b"\x01"
_FINGERPRINT_SIZE = 16
_FAMILY_SIZE = 8
_MAC_SIZE = 16
_PURPOSE = b"strikeline resume token v1"
_SEQUENCE = struct.Struct(">Q")
_HEAD = len(_VERSION) + _FINGERPRINT_SIZE + _SEQUENCE.size


@dataclass(frozen=True, slots=True)
class Bookmark:
    """What a token stands for: `sequence` envelopes were sent, and everything up to `position` was among them.

    An empty position: not even the snapshot was.
    """

    sequence: int
    position: Position


def fingerprint(method: str, user: str, items: Iterable[str], variant: str = "", family: str = "") -> bytes:
    """Identifies a request and its principal: a token continues only the same subscription of the same user.

    `items` are canonical keys; their order does not matter. `variant` is what else changes the events, such as a
    timeframe. How the stream is delivered (flush interval, heartbeat, policy) does not matter. Requests of one user,
    method and `family` begin alike.
    """
    own = (method, user, variant, *sorted(items))
    if not family:
        return _digest(own, _FINGERPRINT_SIZE)
    return _digest((method, user, family), _FAMILY_SIZE) + _digest(own, _FINGERPRINT_SIZE - _FAMILY_SIZE)


class TokenSealer:
    """Makes and reads the tokens of one system; every replica has the same secret."""

    def __init__(self, secret: str) -> None:
        self._key = hmac.digest(secret.encode(), _PURPOSE, "sha256")

    def seal(self, request: bytes, sequence: int, position: bytes) -> bytes:
        """A token for a request's fingerprint and a packed position, as ASCII that needs no escaping in a URL."""
        body = b"".join((_VERSION, request, _SEQUENCE.pack(sequence), position))
        return base64.urlsafe_b64encode(body + self._mac(body)).rstrip(b"=")

    def open(self, token: str, request: bytes, streams: int, *, relatives: bool = False) -> Bookmark:
        """Where the token stands. Raises InvalidArgument when it is forged, or belongs to another request or user.

        With `relatives` the token of another request of the same family counts its envelopes on and stands nowhere.
        """
        body = self._verified(token)
        made_for = body[len(_VERSION) : len(_VERSION) + _FINGERPRINT_SIZE]
        if relatives and made_for != request and made_for[:_FAMILY_SIZE] == request[:_FAMILY_SIZE]:
            return Bookmark(_SEQUENCE.unpack_from(body, _HEAD - _SEQUENCE.size)[0], ())
        if made_for != request:
            _refuse("belongs to another subscription or caller")
        try:
            position = unpack(body[_HEAD:])
        except struct.error:
            _refuse()
        if len(position) not in {0, streams}:
            _refuse("was made before the number of shards changed: start without it")
        (sequence,) = _SEQUENCE.unpack_from(body, _HEAD - _SEQUENCE.size)
        return Bookmark(sequence, position)

    def _verified(self, token: str) -> bytes:
        try:
            data = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            _refuse()
        body, mac = data[:-_MAC_SIZE], data[-_MAC_SIZE:]
        if not hmac.compare_digest(self._mac(body), mac):
            _refuse()
        if len(body) < _HEAD or not body.startswith(_VERSION):
            _refuse()
        return body

    def _mac(self, body: bytes) -> bytes:
        # Keyed BLAKE2 is a MAC by itself (RFC 7693) and costs a third of HMAC: there is one in every envelope.
        return hashlib.blake2b(body, key=self._key, digest_size=_MAC_SIZE).digest()


def _digest(parts: Iterable[str], size: int) -> bytes:
    digest = hashlib.blake2b(digest_size=size)
    for part in parts:
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(4, "big") + encoded)
    return digest.digest()


def _refuse(why: str = "is not a token of this service") -> NoReturn:
    raise InvalidArgument.of(FIELD, why, reason="RESUME_TOKEN_INVALID")

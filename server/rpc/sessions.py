"""Stream tickets: a browser that cannot send headers buys one, and the gateway exchanges it for a session.

A ticket is random, single use, and holds for at most 30 s in Redis. What it stands for is a session: the principal
under a MAC, which any replica can check, and which ends with the token that bought the ticket.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable
from typing import Protocol

from server.domain.errors import Unauthenticated
from server.rpc.call import Principal
from server.rpc.tokens import expired

TICKET_SECONDS = 30
TICKET_BYTES = 32
_PURPOSE = b"strikeline session v1"


class TicketStore(Protocol):
    """Keeps values that can be taken once."""

    async def put(self, name: str, value: bytes, seconds: int) -> None:
        """Stores a value for at most that time."""
        ...

    async def take(self, name: str) -> bytes | None:
        """The value, which is gone afterwards; None when there is none."""
        ...


class Sessions:
    """Issues and redeems tickets, seals and opens sessions."""

    def __init__(self, secret: str, store: TicketStore, clock: Callable[[], float]) -> None:
        self._key = hmac.digest(secret.encode(), _PURPOSE, "sha256")
        self._store = store
        self._clock = clock

    async def issue(self, principal: Principal) -> tuple[str, float]:
        """A ticket for the principal, and the time (seconds since 1970) at which it ends."""
        ticket = secrets.token_urlsafe(TICKET_BYTES)
        await self._store.put(_name(ticket), self.seal(principal).encode(), TICKET_SECONDS)
        return ticket, self._clock() + TICKET_SECONDS

    async def redeem(self, ticket: str) -> tuple[Principal, str]:
        """The principal behind a ticket and the session to go on with. Raises Unauthenticated the second time."""
        sealed = await self._store.take(_name(ticket))
        if sealed is None:
            raise Unauthenticated("the stream ticket is used, expired or unknown", reason="TICKET_INVALID")
        session = sealed.decode()
        return self.open(session), session

    def seal(self, principal: Principal) -> str:
        """The principal as text with a MAC; printable ASCII."""
        body = base64.urlsafe_b64encode(json.dumps(_fields(principal)).encode())
        return f"{body.decode()}.{self._mac(body)}"

    def open(self, session: str) -> Principal:
        """The principal of a session. Raises Unauthenticated when the MAC is wrong or its token has expired."""
        body, _, mac = session.partition(".")
        if not hmac.compare_digest(self._mac(body.encode()).encode(), mac.encode()):
            raise Unauthenticated("the session does not hold", reason="CREDENTIAL_INVALID")
        try:
            principal = _principal(json.loads(base64.urlsafe_b64decode(body)))
        except (binascii.Error, ValueError, KeyError) as error:
            raise Unauthenticated("the session does not hold", reason="CREDENTIAL_INVALID") from error
        if principal.expires_at <= self._clock():
            raise expired(principal.expires_at)
        return principal

    def _mac(self, body: bytes) -> str:
        return base64.urlsafe_b64encode(hmac.digest(self._key, body, "sha256")).decode()


def _name(ticket: str) -> str:
    # Only a digest is stored: who reads Redis cannot use a ticket.
    return hashlib.sha256(ticket.encode()).hexdigest()


def _fields(principal: Principal) -> dict[str, object]:
    return {
        "user": principal.user,
        "scopes": sorted(principal.scopes),
        "roles": sorted(principal.roles),
        "accounts": None if principal.accounts is None else sorted(principal.accounts),
        "credential": principal.credential_id,
        "expires": principal.expires_at,
        "tier": principal.tier,
    }


def _principal(fields: dict[str, object]) -> Principal:
    accounts = fields["accounts"]
    return Principal(
        user=str(fields["user"]),
        scopes=_set(fields["scopes"]),
        roles=_set(fields["roles"]),
        accounts=None if accounts is None else _set(accounts),
        credential_id=str(fields["credential"]),
        expires_at=float(str(fields["expires"])),
        tier=str(fields["tier"]),
    )


def _set(value: object) -> frozenset[str]:
    return frozenset(str(item) for item in value) if isinstance(value, list) else frozenset()

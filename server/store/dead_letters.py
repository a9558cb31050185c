"""Messages that nobody could read, kept for people: a bounded stream in Redis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast

from server.store.redis import RedisClient, Script

MOST_BYTES: Final = 8_192
"""Bytes of a payload that are kept."""

_MARK_SECONDS: Final = 86_400
_LONGEST_REASON: Final = 500
_ATTEMPTS: Final = 3
_PAGE: Final = 500

# KEYS: the stream, a mark of what must come only once. ARGV: seconds that the mark stays (0: no mark), bound of the
# stream, then names and values of the letter.
_ADD: Final = Script("""
if ARGV[1] ~= '0' and not redis.call('SET', KEYS[2], '1', 'NX', 'EX', ARGV[1]) then return false end
return redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', unpack(ARGV, 3))
""")


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """One message. `source` is who could not read it, `place` where it came from: a channel, or a log entry's id.

    `payload` is cut to `MOST_BYTES`; `size` is its whole length. `received_ns` is wall time. `letter` is its id in the
    stream, empty before it is there.
    """

    source: str
    place: str
    reason: str
    payload: bytes
    size: int
    received_ns: int
    letter: str = ""

    @property
    def whole(self) -> bool:
        """Nothing of the payload is missing."""
        return self.size == len(self.payload)


class DeadLetterStore:
    """The dead letters of one namespace. Beyond `most` the oldest go."""

    def __init__(self, redis: RedisClient, namespace: str, most: int) -> None:
        self._redis = redis
        self._key = f"{{{namespace}}}:dead-letters"
        self._most = most

    async def add(self, letter: DeadLetter, *, once: str = "") -> bool:
        """Keeps a letter; one that was added before under the same `once`, within a day, is left out. -> it is new.

        Raises Unavailable.
        """
        fields: dict[str, str | bytes | int] = {
            "source": letter.source,
            "place": letter.place,
            "reason": letter.reason,
            "size": letter.size,
            "received_ns": letter.received_ns,
            "payload": letter.payload[:MOST_BYTES],
        }
        arguments = [part for item in fields.items() for part in item]
        answer = await self._redis.evaluate(
            _ADD, [self._key, f"{self._key}:{once}"], [_MARK_SECONDS if once else 0, self._most, *arguments]
        )
        return bool(answer)

    async def newest(self, count: int) -> list[DeadLetter]:
        """At most `count` letters, the newest first. Raises Unavailable."""
        answer = await self._redis.run(lambda client: client.xrevrange(self._key, count=count), attempts=_ATTEMPTS)
        return [_letter(*row) for row in _rows(answer)]

    async def oldest(self, after: str = "-", count: int = _PAGE) -> list[DeadLetter]:
        """At most `count` letters behind the letter `after`, the oldest first. Raises Unavailable."""
        start = after if after == "-" else f"({after}"
        answer = await self._redis.run(lambda client: client.xrange(self._key, start, count=count), attempts=_ATTEMPTS)
        return [_letter(*row) for row in _rows(answer)]

    async def remove(self, letter: str) -> None:
        """Forgets one letter. Raises Unavailable."""
        await self._redis.run(lambda client: client.xdel(self._key, letter), attempts=_ATTEMPTS)

    async def count(self) -> int:
        """How many are kept. Raises Unavailable."""
        return await self._redis.run(lambda client: client.xlen(self._key), attempts=_ATTEMPTS)


def letter_of(source: str, place: str, reason: str, payload: bytes, received_ns: int) -> DeadLetter:
    """A letter with its payload cut."""
    return DeadLetter(
        source=source,
        place=place,
        reason=reason.encode("utf-8", "backslashreplace").decode()[:_LONGEST_REASON],
        payload=payload[:MOST_BYTES],
        size=len(payload),
        received_ns=received_ns,
    )


def _rows(answer: object) -> list[tuple[bytes, Mapping[bytes, bytes]]]:
    return cast("list[tuple[bytes, Mapping[bytes, bytes]]]", answer or [])


def _letter(letter: bytes, fields: Mapping[bytes, bytes]) -> DeadLetter:
    return DeadLetter(
        letter=letter.decode(),
        source=fields[b"source"].decode(),
        place=fields[b"place"].decode(),
        reason=fields[b"reason"].decode(),
        payload=fields[b"payload"],
        size=int(fields[b"size"]),
        received_ns=int(fields[b"received_ns"]),
    )

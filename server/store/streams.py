"""Open streams of all processes in Redis: counted, listed, and asked to end.

Each process has one sign of life, which it renews however many streams it has. Whoever comes next buries a process
whose sign has expired, with all its streams, so that they count against nobody.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Sequence
from typing import Final, Generic, Protocol, TypeVar, cast

from server.domain.errors import Unavailable
from server.store.redis import RedisClient, Script


class StreamEntry(Protocol):
    """What is kept of a stream. `opened_at` is seconds since 1970 UTC; `server` delivers it."""

    @property
    def stream(self) -> str:
        """Its id."""
        ...

    @property
    def user(self) -> str:
        """Who opened it."""
        ...

    @property
    def address(self) -> str:
        """From which network address."""
        ...

    @property
    def method(self) -> str:
        """Full name of the method."""
        ...

    @property
    def opened_at(self) -> float:
        """When."""
        ...

    @property
    def item_count(self) -> int:
        """How many items it has."""
        ...

    @property
    def server(self) -> str:
        """Which process delivers it."""
        ...


E = TypeVar("E", bound=StreamEntry)

_COMMON: Final = """
local processes, entries, ending, root, self = KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2]
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local own = root .. ':process:' .. self

local function put(entry)
    local fields = cjson.decode(entry)
    redis.call('HSET', entries, fields[1], entry)
    redis.call('SADD', root .. ':user:' .. fields[2], fields[1])
    redis.call('SADD', root .. ':address:' .. fields[3], fields[1])
    redis.call('SADD', own, fields[1])
end

local function drop(ids)
    for start = 1, #ids, 1000 do
        local some = {unpack(ids, start, math.min(start + 999, #ids))}
        for index, entry in ipairs(redis.call('HMGET', entries, unpack(some))) do
            if entry then
                local fields = cjson.decode(entry)
                redis.call('SREM', root .. ':user:' .. fields[2], some[index])
                redis.call('SREM', root .. ':address:' .. fields[3], some[index])
            end
        end
        redis.call('HDEL', entries, unpack(some))
        redis.call('SREM', ending, unpack(some))
    end
end

for _, process in ipairs(redis.call('ZRANGEBYSCORE', processes, '-inf', now)) do
    if process ~= self then
        local streams = root .. ':process:' .. process
        drop(redis.call('SMEMBERS', streams))
        redis.call('DEL', streams)
        redis.call('ZREM', processes, process)
    end
end
"""
"""Begins every script: KEYS are the processes by time of expiry, all entries by id, and the ids of streams asked to
end; ARGV begins with what all keys begin with, and the calling process. Buries the dead."""

_UNKNOWN: Final = "unknown"

# ARGV: …, milliseconds to live, entry, its user, its address, their limits. -> '', 'user', 'address', or 'unknown' when
# the calling process has no sign of life: its other streams may have been forgotten as well.
_ADD: Final = Script(
    _COMMON
    + """
if not redis.call('ZSCORE', processes, self) then return 'unknown' end
redis.call('ZADD', processes, now + ARGV[3], self)
if redis.call('SCARD', root .. ':user:' .. ARGV[5]) >= tonumber(ARGV[7]) then return 'user' end
if redis.call('SCARD', root .. ':address:' .. ARGV[6]) >= tonumber(ARGV[8]) then return 'address' end
put(ARGV[4])
return ''
"""
)

# ARGV: …, milliseconds to live. -> 1 when the process had a sign of life, else 0; then the ids that are asked to end.
_RENEW: Final = Script(
    _COMMON
    + """
local known = redis.call('ZSCORE', processes, self) and 1 or 0
redis.call('ZADD', processes, now + ARGV[3], self)
return {known, unpack(redis.call('SINTER', ending, own))}
"""
)

# ARGV: …, entries.
_PUT: Final = Script(_COMMON + "for index = 3, #ARGV do put(ARGV[index]) end")

# ARGV: …, id.
_REMOVE: Final = Script(
    _COMMON
    + """
drop({ARGV[3]})
redis.call('SREM', own, ARGV[3])
"""
)

# ARGV: …, user, id. -> 1 when the user has such a stream.
_END: Final = Script(
    _COMMON
    + """
if redis.call('SISMEMBER', root .. ':user:' .. ARGV[3], ARGV[4]) == 0 then return 0 end
redis.call('SADD', ending, ARGV[4])
return 1
"""
)

# ARGV: …, user. -> entries.
_OF_USER: Final = Script(
    _COMMON
    + """
local ids = redis.call('SMEMBERS', root .. ':user:' .. ARGV[3])
if #ids == 0 then return {} end
return redis.call('HMGET', entries, unpack(ids))
"""
)

_BATCH: Final = 200
"""Entries that are put back by one script."""

_MOST_DOUBTFUL: Final = 10_000
"""Most streams that are remembered as over although Redis, which was away, may never have heard of them."""


class StreamStore(Generic[E]):
    """The directory of open streams, as one process sees it.

    `make` builds an entry from its fields, in the order of `StreamEntry`.
    """

    def __init__(
        self, redis: RedisClient, namespace: str, make: Callable[[str, str, str, str, float, int, str], E]
    ) -> None:
        self._redis = redis
        self._make = make
        self._root = f"{{{namespace}}}:open-streams"
        # Not the name of the instance: a process must not keep the streams of a dead one of its name alive.
        self._process = secrets.token_hex(8)
        self._own: dict[str, E] = {}
        self._missing: dict[str, E] = {}
        """Own entries that Redis may lack, since it was away."""
        self._leaving: dict[str, E] = {}
        """Entries that Redis may have although their streams are over."""

    async def add(self, entry: E, *, per_user: int, per_address: int, expire: float) -> str:
        """Adds a stream. -> empty, or which limit refuses it: `user` or `address`. Raises Unavailable.

        A stream that could not be added for that counts from the first renewal after Redis is back.
        """
        try:
            answer = await self._added(entry, per_user, per_address, expire)
            if answer == _UNKNOWN:
                await self.renew(expire)
                answer = await self._added(entry, per_user, per_address, expire)
        except Unavailable:
            self._own[entry.stream] = self._missing[entry.stream] = entry
            raise
        except BaseException:
            self._doubt(entry)
            raise
        if answer in {"user", "address"}:
            return answer
        self._own[entry.stream] = entry
        return ""

    async def _added(self, entry: E, per_user: int, per_address: int, expire: float) -> str:
        stated = (_milliseconds(expire), _text(entry), entry.user, entry.address)
        return str(await self._evaluate(_ADD, *stated, per_user, per_address))

    async def renew(self, expire: float) -> Sequence[str]:
        """Keeps this process's entries alive, and mends what Redis missed or forgot. Raises Unavailable.

        -> the streams that somebody asked to end.
        """
        known, *ending = cast("list[int | bytes]", await self._evaluate(_RENEW, _milliseconds(expire)))
        for entry in list(self._leaving.values()):
            await self.remove(entry)
        await self._put(list((self._missing if known else self._own).values()))
        return [stream.decode() for stream in ending if isinstance(stream, bytes)]

    async def _put(self, entries: Sequence[E]) -> None:
        for start in range(0, len(entries), _BATCH):
            some = entries[start : start + _BATCH]
            await self._evaluate(_PUT, *map(_text, some))
            for entry in some:
                self._missing.pop(entry.stream, None)
                if entry.stream not in self._own:  # it ended meanwhile
                    await self.remove(entry)

    async def remove(self, entry: E) -> None:
        """Removes a stream. Raises Unavailable; a later renewal then removes it."""
        self._own.pop(entry.stream, None)
        if self._missing.pop(entry.stream, None) is None:
            self._leaving[entry.stream] = entry
        else:
            self._doubt(entry)
        await self._evaluate(_REMOVE, entry.stream, attempts=2)
        self._leaving.pop(entry.stream, None)

    def _doubt(self, entry: E) -> None:
        """Redis may have the entry. An outage may last while streams come and go: only so many are kept."""
        if len(self._leaving) < _MOST_DOUBTFUL:
            self._leaving[entry.stream] = entry

    async def of_user(self, user: str) -> Sequence[E]:
        """A user's streams on all processes, oldest first. Raises Unavailable."""
        answer = await self._evaluate(_OF_USER, user, attempts=2)
        found = [self._make(*json.loads(item)) for item in cast("list[bytes | None]", answer) if item is not None]
        return sorted(found, key=lambda entry: (entry.opened_at, entry.stream))

    async def request_end(self, user: str, stream: str) -> bool:
        """Asks whoever delivers the stream to end it. -> whether the user has it. Raises Unavailable."""
        return await self._evaluate(_END, user, stream, attempts=2) == 1

    async def count(self) -> int:
        """Entries of all processes, those of dead ones until they are buried. Raises Unavailable."""
        return int(await self._redis.run(lambda client: client.hlen(self._entries), attempts=2))

    @property
    def _entries(self) -> str:
        return f"{self._root}:entries"

    async def _evaluate(self, script: Script, *arguments: str | int, attempts: int = 1) -> object:
        keys = [f"{self._root}:processes", self._entries, f"{self._root}:ending"]
        answer = await self._redis.evaluate(script, keys, [self._root, self._process, *arguments], attempts=attempts)
        return answer.decode() if isinstance(answer, bytes) else answer


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)


def _text(entry: StreamEntry) -> str:
    return json.dumps(
        [entry.stream, entry.user, entry.address, entry.method, entry.opened_at, entry.item_count, entry.server]
    )

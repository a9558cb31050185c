"""Open streams of all processes in Redis: counted, listed, and asked to end. An entry that nobody renews expires."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Final, Generic, Protocol, TypeVar, cast

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

# KEYS: the user's streams, the address's streams (both by time of expiry), all streams by time of expiry, all entries.
# ARGV: id, entry, milliseconds to live, limit of the user, limit of the address. -> '', 'user' or 'address'.
_ADD: Final = Script("""
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local expired = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now, 'LIMIT', 0, 100)
if #expired > 0 then
    redis.call('ZREM', KEYS[3], unpack(expired))
    redis.call('HDEL', KEYS[4], unpack(expired))
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[4]) then return 'user' end
if redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[5]) then return 'address' end
for index = 1, 3 do redis.call('ZADD', KEYS[index], now + ARGV[3], ARGV[1]) end
for index = 1, 2 do redis.call('PEXPIRE', KEYS[index], ARGV[3] * 4) end
redis.call('HSET', KEYS[4], ARGV[1], ARGV[2])
return ''
""")

# KEYS: as above, then the streams asked to end. ARGV: id, entry, milliseconds to live. -> 1 when asked to end. Puts
# back what a restarted Redis has forgotten.
_RENEW: Final = Script("""
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
for index = 1, 3 do redis.call('ZADD', KEYS[index], now + ARGV[3], ARGV[1]) end
for index = 1, 2 do redis.call('PEXPIRE', KEYS[index], ARGV[3] * 4) end
redis.call('HSET', KEYS[4], ARGV[1], ARGV[2])
return redis.call('SISMEMBER', KEYS[5], ARGV[1])
""")

# KEYS: as for renewal. ARGV: id.
_REMOVE: Final = Script("""
for index = 1, 3 do redis.call('ZREM', KEYS[index], ARGV[1]) end
redis.call('HDEL', KEYS[4], ARGV[1])
redis.call('SREM', KEYS[5], ARGV[1])
""")

# KEYS: the user's streams, the streams asked to end. ARGV: id. -> 1 when the user has such a stream.
_END: Final = Script("""
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local expiry = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not expiry or tonumber(expiry) <= now then return 0 end
redis.call('SADD', KEYS[2], ARGV[1])
redis.call('EXPIRE', KEYS[2], 300)
return 1
""")

# KEYS: the user's streams, all entries. -> the entries that have not expired.
_OF_USER: Final = Script("""
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. now, '+inf')
if #ids == 0 then return {} end
return redis.call('HMGET', KEYS[2], unpack(ids))
""")


class StreamStore(Generic[E]):
    """The directory of open streams. `make` builds an entry from its fields, in the order of `StreamEntry`."""

    def __init__(
        self, redis: RedisClient, namespace: str, make: Callable[[str, str, str, str, float, int, str], E]
    ) -> None:
        self._redis = redis
        self._make = make
        self._root = f"{{{namespace}}}:streams"
        self._own: dict[str, E] = {}

    async def add(self, entry: E, *, per_user: int, per_address: int, expire: float) -> str:
        """Adds a stream. -> empty, or which limit refuses it: `user` or `address`. Raises Unavailable."""
        self._own[entry.stream] = entry
        arguments: list[str | bytes | int | float] = [*_arguments(entry, expire), per_user, per_address]
        answer = await self._redis.evaluate(_ADD, self._keys(entry), arguments)
        refused = cast("bytes", answer).decode()
        if refused:
            self._own.pop(entry.stream, None)
        return refused

    async def renew(self, streams: Sequence[str], expire: float) -> Sequence[str]:
        """Keeps this process's entries alive. -> those that somebody asked to end. Raises Unavailable."""
        ended: list[str] = []
        for entry in [self._own[stream] for stream in streams if stream in self._own]:
            keys = [*self._keys(entry), self._ending]
            if await self._redis.evaluate(_RENEW, keys, _arguments(entry, expire)) == 1:
                ended.append(entry.stream)
        return ended

    async def remove(self, entry: E) -> None:
        """Removes a stream. Raises Unavailable; the entry then expires."""
        self._own.pop(entry.stream, None)
        await self._redis.evaluate(_REMOVE, [*self._keys(entry), self._ending], [entry.stream], attempts=2)

    async def of_user(self, user: str) -> Sequence[E]:
        """A user's streams on all processes, oldest first. Raises Unavailable."""
        answer = await self._redis.evaluate(_OF_USER, [self._user_key(user), self._entries], [], attempts=2)
        found = [self._make(*json.loads(item)) for item in cast("list[bytes | None]", answer) if item is not None]
        return sorted(found, key=lambda entry: (entry.opened_at, entry.stream))

    async def request_end(self, user: str, stream: str) -> bool:
        """Asks whoever delivers the stream to end it. -> whether the user has it. Raises Unavailable."""
        return await self._redis.evaluate(_END, [self._user_key(user), self._ending], [stream], attempts=2) == 1

    async def count(self) -> int:
        """Entries of all processes, expired ones until they are cleared. Raises Unavailable."""
        return int(await self._redis.run(lambda client: client.hlen(self._entries), attempts=2))

    @property
    def _entries(self) -> str:
        return f"{self._root}:entries"

    @property
    def _ending(self) -> str:
        return f"{self._root}:ending"

    def _user_key(self, user: str) -> str:
        return f"{self._root}:user:{user}"

    def _keys(self, entry: E) -> list[str]:
        address = f"{self._root}:address:{entry.address}"
        return [self._user_key(entry.user), address, f"{self._root}:expiry", self._entries]


def _arguments(entry: StreamEntry, expire: float) -> list[str | bytes | int | float]:
    fields = [entry.stream, entry.user, entry.address, entry.method, entry.opened_at, entry.item_count, entry.server]
    return [entry.stream, json.dumps(fields), int(expire * 1000)]

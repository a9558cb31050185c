"""The logs in Redis: what the worker acts on, and what it publishes. An id orders entries across all streams."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Sequence
from typing import Final, cast

from redis.exceptions import ResponseError

from server.store.redis import Redis, RedisClient, Script

Entry = tuple[str, bytes]
"""Id (`milliseconds-sequence`) and payload of one entry."""

FIRST_ID: Final = "0-0"
"""Before every entry."""

_FIELD: Final = b"e"
_ATTEMPTS: Final = 3


class LogFull(Exception):
    """The log has as many entries as it may: the worker lags. Nothing was appended."""


# Appends one entry to every shard under one id. A producer that repeats a batch after a lost answer gets the id that
# the batch has already. KEYS: the producers' hash, then the shards. ARGV: limit of entries, producer, its sequence
# number, then a payload for each shard. A limit that is reached refuses, because trimming would lose what the worker
# has not committed.
_APPEND: Final = Script("""
local known = ARGV[2] ~= '' and redis.call('HGET', KEYS[1], ARGV[2])
if known then
    local sequence, id = string.match(known, '^(%d+) (.+)$')
    if tonumber(sequence) >= tonumber(ARGV[3]) then return id end
end
if redis.call('XLEN', KEYS[2]) >= tonumber(ARGV[1]) then return false end
local id = redis.call('XADD', KEYS[2], '*', 'e', ARGV[4])
for shard = 3, #KEYS do
    redis.call('XADD', KEYS[shard], id, 'e', ARGV[shard + 2])
end
if ARGV[2] ~= '' then redis.call('HSET', KEYS[1], ARGV[2], ARGV[3] .. ' ' .. id) end
return id
""")


class MarketLog:
    """The one ordered log that the worker acts on, as one stream for each shard of instruments."""

    def __init__(self, redis: RedisClient, namespace: str, shards: int = 1, max_entries: int = 200_000) -> None:
        self._redis = redis
        self._shards = shards
        self._max_entries = max_entries
        self._keys = [f"{{{namespace}}}:log:{shard}" for shard in range(shards)]
        self._producers = f"{{{namespace}}}:log:producers"

    async def append(self, payloads: Sequence[bytes], *, producer: str = "", sequence: int = 0) -> str:
        """Appends one entry with a payload for each shard. -> its id, the same on all shards.

        With a `producer` (a run's name) and growing `sequence` numbers from 1, repeating a call whose answer was lost
        appends nothing and gives the same id. Raises LogFull: wait for the worker.
        """
        if len(payloads) != self._shards:
            raise ValueError(f"a payload for each of {self._shards} shards, got {len(payloads)}")
        arguments: list[str | bytes | int | float] = [self._max_entries, producer, sequence, *payloads]
        attempts = _ATTEMPTS if producer else 1
        answer = await self._redis.evaluate(_APPEND, [self._producers, *self._keys], arguments, attempts=attempts)
        if not isinstance(answer, bytes):
            raise LogFull
        return answer.decode()

    async def forget_producer(self, producer: str) -> None:
        """Drops what is remembered of a run that has ended."""
        await self._redis.run(lambda client: client.hdel(self._producers, producer), attempts=_ATTEMPTS)

    async def read(self, shard: int, after_id: str, count: int, block_ms: int = 0) -> list[Entry]:
        """At most `count` entries behind `after_id`, oldest first; waits up to `block_ms` for the first one."""
        return await _read(self._redis, self._keys[shard], after_id, count, block_ms)

    async def range(self, shard: int, after: str, until: str, count: int) -> list[Entry]:
        """At most `count` entries behind `after` up to and including `until`, oldest first."""
        return await _range(self._redis, self._keys[shard], after, until, count)

    async def first_id(self, shard: int = 0) -> str | None:
        """The oldest entry that is still held; None for an empty log."""
        return await _first_id(self._redis, self._keys[shard])

    async def last_id(self, shard: int = 0) -> str:
        """The newest entry that was ever appended, trimmed or not; `0-0` before the first."""
        return await _last_id(self._redis, self._keys[shard])

    async def is_whole(self, shard: int = 0) -> bool:
        """No entry was ever removed."""
        return await _is_whole(self._redis, self._keys[shard])

    async def trim(self, min_id: str) -> None:
        """Removes the entries before `min_id` from all shards."""
        for key in self._keys:
            await _trim(self._redis, key, min_id)

    async def length(self, shard: int = 0) -> int:
        """How many entries are held."""
        return await _length(self._redis, self._keys[shard])


class OutputLog:
    """What one slot of the worker publishes. An entry has the id of the entry that caused it."""

    def __init__(self, redis: RedisClient, namespace: str, name: str) -> None:
        self._redis = redis
        self._key = f"{{{namespace}}}:{name}"

    async def publish(self, entries: Sequence[Entry]) -> None:
        """Appends entries in ascending order of id. Those that are there already are left out, so repeating is safe."""
        if not entries:
            return

        async def send(client: Redis) -> None:
            async with client.pipeline(transaction=False) as pipeline:
                for entry_id, payload in entries:
                    pipeline.execute_command("XADD", self._key, entry_id, _FIELD, payload)
                for answer in await pipeline.execute(raise_on_error=False):
                    if isinstance(answer, Exception) and not _is_repetition(answer):
                        raise answer

        await self._redis.run(send, attempts=_ATTEMPTS)

    async def read(self, after_id: str, count: int, block_ms: int = 0) -> list[Entry]:
        """At most `count` entries behind `after_id`, oldest first; waits up to `block_ms` for the first one."""
        return await _read(self._redis, self._key, after_id, count, block_ms)

    async def range(self, after: str, until: str, count: int) -> list[Entry]:
        """At most `count` entries behind `after` up to and including `until`, oldest first."""
        return await _range(self._redis, self._key, after, until, count)

    async def first_id(self) -> str | None:
        """The oldest entry that is still held; None for an empty stream."""
        return await _first_id(self._redis, self._key)

    async def last_id(self) -> str:
        """The newest entry that was ever published, trimmed or not; `0-0` before the first."""
        return await _last_id(self._redis, self._key)

    async def is_whole(self) -> bool:
        """No entry was ever removed."""
        return await _is_whole(self._redis, self._key)

    async def trim(self, min_id: str) -> None:
        """Removes the entries before `min_id`."""
        await _trim(self._redis, self._key, min_id)

    async def length(self) -> int:
        """How many entries are held."""
        return await _length(self._redis, self._key)


def id_of(milliseconds: int) -> str:
    """The first id that an entry of that wall time can have, for trimming by age."""
    return f"{max(milliseconds, 0)}-0"


def id_key(entry_id: str) -> tuple[int, int]:
    """Orders ids."""
    milliseconds, _, sequence = entry_id.partition("-")
    return int(milliseconds), int(sequence or 0)


def _is_repetition(error: Exception) -> bool:
    return isinstance(error, ResponseError) and "equal or smaller than the target stream top item" in str(error)


async def _read(redis: RedisClient, key: str, after_id: str, count: int, block_ms: int) -> list[Entry]:
    wait: list[str | int] = ["BLOCK", block_ms] if block_ms else []
    answer = await redis.run(
        lambda client: _command(client, "XREAD", "COUNT", count, *wait, "STREAMS", key, after_id),
        block=block_ms / 1000,
        attempts=_ATTEMPTS,
    )
    return [entry for _, entries in answer for entry in _entries(entries)]


async def _command(client: Redis, *words: str | int) -> list[tuple[bytes, list[object]]]:
    """A command as it is: what the client's own methods are typed for fits none of the two protocols."""
    answer: object = await cast("Awaitable[object]", client.execute_command(*words))  # type: ignore[no-untyped-call]
    return cast("list[tuple[bytes, list[object]]]", answer or [])


async def _range(redis: RedisClient, key: str, after: str, until: str, count: int) -> list[Entry]:
    answer = await redis.run(lambda client: client.xrange(key, f"({after}", until, count=count), attempts=_ATTEMPTS)
    return _entries(answer or [])


async def _first_id(redis: RedisClient, key: str) -> str | None:
    answer = await redis.run(lambda client: client.xrange(key, count=1), attempts=_ATTEMPTS)
    return _entries(answer)[0][0] if answer else None


async def _last_id(redis: RedisClient, key: str) -> str:
    found = (await _info(redis, key)).get("last-generated-id", FIRST_ID)
    return found.decode() if isinstance(found, bytes) else str(found)


async def _is_whole(redis: RedisClient, key: str) -> bool:
    info = await _info(redis, key)
    return info.get("entries-added", 0) == info.get("length", 0)


async def _info(redis: RedisClient, key: str) -> dict[str, object]:
    """What Redis says of a stream; nothing of one that does not exist."""
    try:
        return await redis.run(lambda client: client.xinfo_stream(key), attempts=_ATTEMPTS)
    except ResponseError as error:
        if "no such key" in str(error):
            return {}
        raise


async def _trim(redis: RedisClient, key: str, min_id: str) -> None:
    await redis.run(lambda client: client.xtrim(key, minid=min_id, approximate=True), attempts=_ATTEMPTS)


async def _length(redis: RedisClient, key: str) -> int:
    return await redis.run(lambda client: client.xlen(key), attempts=_ATTEMPTS)


def _entries(answer: Iterable[object]) -> list[Entry]:
    pairs = cast("Iterable[tuple[bytes, dict[bytes, bytes]]]", answer)
    return [(entry_id.decode(), fields[_FIELD]) for entry_id, fields in pairs]

"""Connection to Redis: every operation has a time limit, and every failure of the connection is Unavailable."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Final, TypeVar, cast

import redis.asyncio as redis_client
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, NoScriptError, OutOfMemoryError, ReadOnlyError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from server.domain.errors import Unavailable
from server.store.breaker import Breaker
from server.store.timings import CommandTimes, TimedRedis

T = TypeVar("T")
Redis = redis_client.Redis
"""The client of redis-py; answers are bytes."""

_POOL: Final = 64
_RETRY_PAUSE: Final = 0.02
_PAUSE: Final = 1.0
"""Seconds between two probes of a Redis that is away: it must be found soon after it is back."""

RETRY_AFTER: Final = 1.0
"""Seconds after which a caller may try a Redis that was away."""

_AWAY: Final = (
    RedisConnectionError,
    RedisTimeoutError,
    BusyLoadingError,
    ConnectionError,
    OSError,
    TimeoutError,
)
_TAKES_NO_WRITES: Final = (OutOfMemoryError, ReadOnlyError)
"""Its memory is full, or it has become a replica. Reading goes on, hence these do not open the breaker."""


@dataclass(frozen=True)
class Script:
    """The text of a Lua script. Redis learns it at its first use and then runs it by its digest."""

    text: str

    @cached_property
    def digest(self) -> str:
        """The name under which Redis knows it."""
        return hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


class RedisClient:
    """Runs operations on one pool of connections. Made by `open_redis`."""

    def __init__(self, client: Redis, timeout: float, times: CommandTimes) -> None:
        self._client = client
        self._timeout = timeout
        self.times = times
        self.breaker = Breaker("Redis", "REDIS_UNAVAILABLE", pause=_PAUSE)

    async def run(self, operation: Callable[[Redis], Awaitable[T]], *, block: float = 0.0, attempts: int = 1) -> T:
        """The answer of `operation`, within the time limit plus `block` seconds of intended waiting.

        `attempts` above 1 repeats after a failed connection, still within the limit: only for operations that may
        run twice. Raises Unavailable (reason REDIS_UNAVAILABLE), at once while Redis is known to be away.
        """
        try:
            with self.breaker.guard():
                return await self._run(operation, block, attempts)
        except _TAKES_NO_WRITES as error:
            raise Unavailable("Redis takes no writes", reason="REDIS_UNAVAILABLE", retry_after=RETRY_AFTER) from error

    async def _run(self, operation: Callable[[Redis], Awaitable[T]], block: float, attempts: int) -> T:
        try:
            async with asyncio.timeout(self._timeout + block):
                for left in reversed(range(attempts)):
                    try:
                        return await operation(self._client)
                    except _AWAY:
                        if left == 0:
                            raise
                    await asyncio.sleep(_RETRY_PAUSE)
        except _AWAY as error:
            raise Unavailable("Redis is away", reason="REDIS_UNAVAILABLE", retry_after=RETRY_AFTER) from error
        raise ValueError(f"attempts must be at least 1, was {attempts}")

    async def evaluate(
        self, script: Script, keys: list[str], arguments: list[str | bytes | int | float], *, attempts: int = 1
    ) -> object:
        """Runs a Lua script atomically. -> its answer."""
        return await self.run(lambda client: _evaluate(client, script, keys, arguments), attempts=attempts)

    async def ping(self) -> None:
        """Returns when Redis answers."""
        await self.run(lambda client: client.ping())

    @asynccontextmanager
    async def pubsub(self) -> AsyncIterator[PubSub]:
        """A connection of its own that can subscribe; given back when the block is left."""
        pubsub = self._client.pubsub()
        try:
            yield pubsub
        finally:
            await pubsub.aclose()  # type: ignore[no-untyped-call]

    async def remove_namespace(self, namespace: str) -> None:
        """Deletes all keys of a namespace, for tests and development. Walks the whole key space."""

        async def remove(client: Redis) -> None:
            keys = [key async for key in client.scan_iter(match=f"{{{namespace}}}:*", count=1000)]
            if keys:
                await client.unlink(*keys)

        await self.run(remove, block=10.0)


@asynccontextmanager
async def open_redis(url: str, timeout: float) -> AsyncIterator[RedisClient]:
    """A client with a bounded pool. Connects at its first use, so that a Redis that is away hinders nothing else.

    `timeout` is the limit of one operation in seconds.
    """
    pool = redis_client.BlockingConnectionPool.from_url(
        url,
        max_connections=_POOL,
        timeout=timeout,
        socket_connect_timeout=timeout,
        socket_timeout=None,
        health_check_interval=0,
        retry=Retry(NoBackoff(), 0),
        decode_responses=False,
        protocol=2,
    )
    times = CommandTimes()
    client = TimedRedis.on(pool, times)
    try:
        yield RedisClient(client, timeout, times)
    finally:
        await client.aclose()


async def _evaluate(
    client: Redis, script: Script, keys: list[str], arguments: list[str | bytes | int | float]
) -> object:
    try:
        return await cast("Awaitable[object]", client.evalsha(script.digest, len(keys), *keys, *arguments))
    except NoScriptError:
        return await cast("Awaitable[object]", client.eval(script.text, len(keys), *keys, *arguments))

"""Which processes are alive, in Redis: each says so every few seconds."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final, cast

from server.store.redis import RedisClient

ALIVE_SECONDS: Final = 10.0
"""A process that has said nothing for so long is gone."""


@dataclass(frozen=True, order=True)
class LivingProcess:
    """A process that said it was alive. Times are seconds since 1970 UTC, by its own clock.

    `started_at` is when it began; None when it does not say.
    """

    role: str
    instance: str
    seen_at: float
    started_at: float | None = None


class PresenceStore:
    """The processes of one namespace."""

    def __init__(self, redis: RedisClient, namespace: str) -> None:
        self._redis = redis
        self._key = f"{{{namespace}}}:presence"

    async def announce(self, role: str, instance: str, started_at: float) -> None:
        """This process is alive; forgets those that are long gone. Raises Unavailable."""
        now = time.time()
        member = f"{role}/{instance}"

        await self._redis.run(
            lambda client: client.set(self._start_key(member), started_at, ex=round(10 * ALIVE_SECONDS))
        )
        await self._redis.run(lambda client: client.zadd(self._key, {member: now}))
        await self._redis.run(lambda client: client.zremrangebyscore(self._key, 0, now - 10 * ALIVE_SECONDS))

    async def leave(self, role: str, instance: str) -> None:
        """This process goes. Raises Unavailable."""
        await self._redis.run(lambda client: client.zrem(self._key, f"{role}/{instance}"))

    async def living(self) -> list[LivingProcess]:
        """Those alive, by role and instance. Raises Unavailable."""
        since = time.time() - ALIVE_SECONDS
        rows = await self._redis.run(
            lambda client: client.zrange(self._key, since, "+inf", byscore=True, withscores=True)
        )
        seen = {member.decode(): float(seen_at) for member, seen_at in cast("list[tuple[bytes, float]]", rows)}
        if not seen:
            return []
        keys = [self._start_key(member) for member in seen]
        starts = cast("list[bytes | None]", await self._redis.run(lambda client: client.mget(keys)))
        return sorted(_process(*pair, start) for pair, start in zip(seen.items(), starts, strict=True))

    def _start_key(self, member: str) -> str:
        return f"{self._key}:{member}"


def _process(member: str, seen_at: float, started_at: bytes | None) -> LivingProcess:
    role, _, instance = member.partition("/")
    return LivingProcess(role, instance, seen_at, None if started_at is None else float(started_at))

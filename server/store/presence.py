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
    """A process that said it was alive. `seen_at` is seconds since 1970 UTC, by its own clock."""

    role: str
    instance: str
    seen_at: float


class PresenceStore:
    """The processes of one namespace."""

    def __init__(self, redis: RedisClient, namespace: str) -> None:
        self._redis = redis
        self._key = f"{{{namespace}}}:presence"

    async def announce(self, role: str, instance: str) -> None:
        """This process is alive; forgets those that are long gone. Raises Unavailable."""
        now = time.time()
        member = f"{role}/{instance}"

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
        pairs = cast("list[tuple[bytes, float]]", rows)
        return sorted(_process(member.decode(), float(seen_at)) for member, seen_at in pairs)


def _process(member: str, seen_at: float) -> LivingProcess:
    role, _, instance = member.partition("/")
    return LivingProcess(role, instance, seen_at)

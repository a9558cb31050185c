"""Values in Redis that can be taken once."""

from __future__ import annotations

from typing import cast

from server.store.redis import RedisClient


class TicketStore:
    """Short-lived values by name; taking one removes it."""

    def __init__(self, redis: RedisClient, namespace: str) -> None:
        self._redis = redis
        self._prefix = f"{{{namespace}}}:ticket:"

    async def put(self, name: str, value: bytes, seconds: int) -> None:
        """Stores a value for at most that time. Raises Unavailable."""
        await self._redis.run(lambda client: client.set(self._prefix + name, value, ex=seconds))

    async def take(self, name: str) -> bytes | None:
        """The value, which is gone afterwards; None when there is none. Raises Unavailable."""
        return cast("bytes | None", await self._redis.run(lambda client: client.getdel(self._prefix + name)))

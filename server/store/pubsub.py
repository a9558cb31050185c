"""Redis pub/sub: a subscription that knows when it is lost, and publishing. What is published meanwhile is gone."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final, cast

from redis.asyncio.client import PubSub

from server.domain.errors import Unavailable
from server.store.redis import RedisClient

_PING_SECONDS: Final = 2.0
_LOST_SECONDS: Final = 6.0


class Subscription:
    """Messages of some channels, in order. Made by `subscribed`."""

    def __init__(self, redis: RedisClient, pubsub: PubSub, clock: Callable[[], float]) -> None:
        self._redis = redis
        self._pubsub = pubsub
        self._clock = clock
        self._heard = self._pinged = clock()

    async def next(self, timeout: float) -> tuple[str, bytes] | None:
        """Channel and payload of the next message; None when none came within `timeout` seconds.

        Raises Unavailable when the connection is lost, also when it is silent in spite of pings.
        """
        await self._ping()
        found = await self._redis.run(
            lambda _: self._pubsub.get_message(ignore_subscribe_messages=True, timeout=timeout), block=timeout
        )
        if found is None:
            return None
        self._heard = self._clock()
        message = cast("dict[str, object]", found)
        channel, data = message.get("channel"), message.get("data")
        if message.get("type") != "message" or not isinstance(channel, bytes) or not isinstance(data, bytes):
            return None
        return channel.decode(), data

    async def confirmed(self, channels: int) -> None:
        """Returns when Redis has confirmed so many channels. Raises Unavailable."""
        while channels:
            found = await self._redis.run(
                lambda _: self._pubsub.get_message(timeout=_PING_SECONDS), block=_PING_SECONDS
            )
            if found is None:
                raise Unavailable("Redis does not confirm the subscription", reason="REDIS_UNAVAILABLE")
            if cast("dict[str, object]", found).get("type") == "subscribe":
                channels -= 1
        self._heard = self._clock()

    async def _ping(self) -> None:
        now = self._clock()
        if now - self._heard >= _LOST_SECONDS:
            raise Unavailable("the subscription is silent in spite of pings", reason="REDIS_UNAVAILABLE")
        if now - max(self._heard, self._pinged) >= _PING_SECONDS:
            self._pinged = now
            await self._redis.run(lambda _: self._pubsub.ping())


@asynccontextmanager
async def subscribed(
    redis: RedisClient, channels: Sequence[str], clock: Callable[[], float] = time.monotonic
) -> AsyncIterator[Subscription]:
    """A subscription that Redis has confirmed. Raises Unavailable. `clock` gives monotonic seconds."""
    async with redis.pubsub() as pubsub:
        await redis.run(lambda _: pubsub.subscribe(*channels))
        subscription = Subscription(redis, pubsub, clock)
        await subscription.confirmed(len(channels))
        yield subscription


async def publish(redis: RedisClient, channel: str, payload: bytes) -> int:
    """Publishes once. -> how many subscribers got it. Raises Unavailable."""
    return await redis.run(lambda client: client.publish(channel, payload))

"""Pub/sub with a real Redis: what comes, and how a loss is noticed."""

import pytest

from server.domain.errors import Unavailable
from server.store.pubsub import publish, subscribed
from server.store.redis import RedisClient, open_redis
from tests.support.network import faulty_network


class Clock:
    """Monotonic seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_messages_come_in_order_with_their_channel(redis: RedisClient, namespace: str):
    one, two = f"{namespace}:one", f"{namespace}:two"
    async with subscribed(redis, [one, two]) as subscription:
        for channel, payload in ((one, b"1"), (two, b"\xff\x00"), (one, b"3")):
            assert await publish(redis, channel, payload) == 1
        heard = [await subscription.next(5.0) for _ in range(3)]
        nothing = await subscription.next(0.01)

    assert heard == [(one, b"1"), (two, b"\xff\x00"), (one, b"3")]
    assert nothing is None


async def test_nobody_hears_what_is_published_after_leaving(redis: RedisClient, namespace: str):
    async with subscribed(redis, [namespace]):
        pass

    assert await publish(redis, namespace, b"1") == 0


async def test_a_connection_that_breaks_is_lost(redis_url: str, namespace: str):
    async with (
        faulty_network(redis_url) as network,
        open_redis(network.through(redis_url), timeout=1.0) as redis,
        subscribed(redis, [namespace]) as subscription,
    ):
        network.cut()
        with pytest.raises(Unavailable):
            await subscription.next(5.0)


async def test_a_connection_that_is_silent_in_spite_of_pings_is_lost(redis_url: str, namespace: str):
    clock = Clock()
    async with (
        faulty_network(redis_url) as network,
        open_redis(network.through(redis_url), timeout=1.0) as redis,
        subscribed(redis, [namespace], clock) as subscription,
    ):
        network.freeze()
        clock.now = 3.0
        first = await subscription.next(0.01)
        clock.now = 6.0
        with pytest.raises(Unavailable, match="silent"):
            await subscription.next(0.01)
        network.mend()

    assert first is None


async def test_a_quiet_channel_is_not_lost(redis: RedisClient, namespace: str):
    clock = Clock()
    async with subscribed(redis, [namespace], clock) as subscription:
        for second in range(2, 30, 2):
            clock.now = float(second)
            assert await subscription.next(0.2) is None
        await publish(redis, namespace, b"still here")

        assert await subscription.next(5.0) == (namespace, b"still here")

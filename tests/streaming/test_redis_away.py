"""Redis away, connections broken, entries gone before they were read."""

import asyncio
from dataclasses import replace

import pytest

from server.domain.errors import Unavailable
from server.store.market_log import MarketLog
from server.store.redis import open_redis
from strikeline.v1 import stream_pb2
from tests.streaming.checkers import violations_of
from tests.streaming.conftest import AT_ONCE, settled, ticks
from tests.support.network import faulty_network
from tests.support.waiting import eventually, source

DEGRADED = stream_pb2.STREAM_CONDITION_DEGRADED
LIVE = stream_pb2.STREAM_CONDITION_LIVE


@pytest.fixture
async def network(redis_url):
    async with faulty_network(redis_url) as made:
        yield made


@pytest.fixture
async def hub(make, market, network, redis_url):
    """A hub whose Redis is behind the network; the market's is not."""
    async with open_redis(network.through(redis_url), timeout=1.0) as client, make(client=client) as made:
        yield made


def conditions(client):
    return [envelope.condition for envelope in client.connection.envelopes if envelope.kind == "status"]


async def until(clock, condition):
    """Time passes in small steps, so that what waits a little tries again."""

    async def look() -> bool:
        await clock.advance(0.05)
        return bool(condition())

    await eventually(look, what=source(condition))


async def test_broken_connections_lose_nothing(hub, market, network, clock):
    async with ticks(hub, market.keys) as client:
        client.read()
        await client.started()
        for _ in range(5):
            await market.trade_randomly(10)
            network.break_connections()
            await market.trade_randomly(10)
        await until(clock, lambda: hub.intake.ticks.channel.head.position[0] == market.last_id)
        await settled(hub, market)

    assert violations_of([client.connection], market.source()) == []
    assert len(client.connection.events) == sum(map(len, market.source().entries))


async def test_streams_say_degraded_while_redis_is_away_and_catch_up(hub, market, network, clock):
    async with ticks(hub, market.keys) as client:
        client.read()
        await client.started()
        await market.trade_randomly(10)
        await settled(hub, market)
        network.cut()
        await until(clock, lambda: DEGRADED in conditions(client))
        degraded = hub.degraded
        await market.trade_randomly(20)
        network.mend()
        await until(clock, lambda: LIVE in conditions(client))
        await settled(hub, market)

    assert degraded
    assert not hub.degraded
    assert conditions(client) == [DEGRADED, LIVE]
    assert violations_of([client.connection], market.source()) == []
    assert len(client.connection.events) == sum(map(len, market.source().entries))


async def test_entries_that_went_unread_are_healed_by_a_snapshot(hub, market, network, clock, redis, namespace):
    async with ticks(hub, market.keys) as client:
        client.read()
        await client.started()
        await market.trade_randomly(10)
        await settled(hub, market)
        network.cut()
        await until(clock, lambda: DEGRADED in conditions(client))
        await market.trade_randomly(400)
        await MarketLog(redis, namespace).trim(str(market.last_id))
        await market.trade()
        network.mend()
        await until(clock, lambda: client.kinds.count("snapshot") == 2)
        await settled(hub, market)

    latest = {event.key: event for entry in market.source().entries for event in entry}
    snapshots = [envelope for envelope in client.connection.envelopes if envelope.kind == "snapshot"]
    behind = [event for envelope in client.connection.envelopes[-3:] for event in envelope.events]
    assert set(latest.values()) <= set(snapshots[-1].events) | set(behind)


async def test_hub_starts_without_redis_and_serves_when_it_comes(make, market, redis_url, clock):
    async with faulty_network(redis_url) as network, open_redis(network.through(redis_url), timeout=1.0) as client:
        network.cut()
        started = asyncio.create_task(_start(make, client))
        await until(clock, started.done)
        manager, hub = await started
        degraded = hub.degraded
        network.mend()
        async with ticks(hub, market.keys) as reader:
            reader.read()
            await reader.started()
            await market.trade()
            await until(clock, lambda: len(reader.connection.events) == 4)
        await manager.__aexit__(None, None, None)

    assert degraded


async def test_resuming_without_redis_says_so(hub, market, network, clock):
    async with ticks(hub, market.keys) as client:
        await client.take(2)
    network.cut()
    async with ticks(hub, market.keys, replace(AT_ONCE, resume_token=client.connection.last_token())) as resumed:
        with pytest.raises(Unavailable) as caught:
            await resumed.take(1)

    assert caught.value.reason == "REDIS_UNAVAILABLE"


async def _start(make, client):
    manager = make(client=client)
    return manager, await manager.__aenter__()

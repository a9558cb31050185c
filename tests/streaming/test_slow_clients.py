"""Clients that read slower than events come."""

import tracemalloc
from dataclasses import replace

import pytest

from server.domain.errors import ResourceExhausted
from server.market.hub.options import SlowPolicy
from strikeline.v1 import stream_pb2
from tests.streaming.checkers import violations_of
from tests.streaming.conftest import AT_ONCE, settled, ticks

FEW = {"subscriber_queue_events": 10}


async def test_slow_client_is_told_how_much_was_replaced_and_gets_the_latest(make, market):
    async with make(**FEW) as hub, ticks(hub, market.keys) as client:
        await client.take(2)
        for _ in range(10):
            await market.trade()
        await settled(hub, market)
        await client.take(2)

    status, batch = client.messages[2:]
    assert status.status.condition == stream_pb2.STREAM_CONDITION_CONFLATED
    assert status.status.conflated_events == 36
    assert client.connection.envelopes[3].events == market.source().entries[-1]
    assert violations_of([client.connection], market.source()) == []
    assert batch.sequence == 4


async def test_client_that_keeps_up_with_the_bound_gets_everything(make, market):
    async with make(**FEW) as hub, ticks(hub, market.keys) as client:
        await client.take(2)
        for _ in range(2):
            await market.trade()
        await settled(hub, market)
        await client.take(1)

    assert client.kinds[2:] == ["batch"]
    assert len(client.connection.events) == 8


async def test_client_that_was_left_far_behind_gets_the_latest_and_an_exact_count(make, market, clock):
    async with make(subscriber_queue_age=2.0) as hub, ticks(hub, market.keys[:2]) as client:
        await client.take(2)
        for _ in range(10):
            await market.trade(0, 1, 2)
            await settled(hub, market)
            await clock.advance(1.0)
        await client.take(2)

    assert client.messages[2].status.conflated_events == 18
    assert client.connection.envelopes[3].events == market.source(market.keys[:2]).entries[-1]


async def test_events_that_waited_too_long_are_conflated(make, market, clock):
    async with make(subscriber_queue_age=4.0) as hub, ticks(hub, market.keys[:1]) as client:
        await client.take(2)
        await market.trade(0)
        await market.trade(0)
        await settled(hub, market)
        await clock.advance(4.5)
        await client.take(2)

    assert client.kinds[2:] == ["status", "batch"]
    assert client.messages[2].status.conflated_events == 1


async def test_bytes_are_bounded_too(make, market):
    async with make(subscriber_queue_bytes=500) as hub, ticks(hub, market.keys[:1]) as client:
        await client.take(2)
        for _ in range(10):
            await market.trade(0)
        await settled(hub, market)
        await client.take(2)

    assert client.messages[2].status.conflated_events == 9


async def test_client_that_wants_no_conflation_is_disconnected_with_the_reason(make, market):
    options = replace(AT_ONCE, slow=SlowPolicy.DISCONNECT)
    async with make(**FEW) as hub, ticks(hub, market.keys, options) as client:
        await client.take(2)
        for _ in range(10):
            await market.trade()
        await settled(hub, market)
        with pytest.raises(ResourceExhausted) as caught:
            await client.take(1)
        assert hub.counts().open == 0

    assert caught.value.reason == "SLOW_CONSUMER"
    assert caught.value.metadata == {"waiting_events": "40"}


async def test_slow_client_delays_nobody(make, market):
    async with make(**FEW) as hub, ticks(hub, market.keys) as slow, ticks(hub, market.keys) as quick:
        await slow.take(2)
        quick.read()
        await quick.started()
        await market.trade_randomly(200)
        await settled(hub, market)

    assert violations_of([quick.connection], market.source()) == []
    assert len(quick.connection.events) == sum(map(len, market.source().entries))


async def test_late_tick_does_not_replace_a_newer_one(make, market):
    async with make(subscriber_queue_events=1) as hub, ticks(hub, market.keys[:1]) as client:
        await client.take(2)
        await market.trade(0, seconds=10)
        await market.trade(0, seconds=10)
        await market.late(0, seconds=15)
        await settled(hub, market)
        await client.take(2)

    newest = market.source().entries[-2]
    assert client.messages[2].status.conflated_events == 2
    assert client.connection.envelopes[3].events == newest


async def test_client_that_takes_nothing_is_given_up(make, market, clock):
    async with make(subscriber_stall_timeout=30.0) as hub, ticks(hub, market.keys) as client:
        client.read_and_stop_taking_after(2)
        await client.started()
        await market.trade()
        await settled(hub, market)
        await clock.advance(31.0)
        await client.until(lambda: client.cancelled)
        assert hub.counts().open == 0


async def test_waiting_clients_share_one_memory(make, market, clock):
    async with make() as hub:
        clients = [ticks(hub, market.keys) for _ in range(20)]
        for client in clients:
            await client.take(2)
        await market.trade_randomly(50)
        await settled(hub, market)
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        await market.trade_randomly(400)
        await settled(hub, market)
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        for client in clients:
            await client.leave()

    # A thousand ticks of about 100 bytes and what Python adds, once and not twenty times.
    assert after - before < 2_000_000

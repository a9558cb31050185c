"""What streams say about themselves: a silent feed, the session's end, Redis away, draining, expiry, cancellation."""

from dataclasses import replace

import pytest

from server.domain.errors import Aborted, Unavailable
from server.market.hub.feed import FeedState
from server.market.hub.options import DeliveryOptions
from strikeline.v1 import stream_pb2
from tests.streaming.conftest import AT_ONCE, settled, ticks

STALE = stream_pb2.STREAM_CONDITION_STALE
LIVE = stream_pb2.STREAM_CONDITION_LIVE
CLOSED = stream_pb2.STREAM_CONDITION_MARKET_CLOSED
RECONNECT = stream_pb2.STREAM_CONDITION_RECONNECT
SESSION = 375 * 60


def conditions(client):
    return [envelope.condition for envelope in client.connection.envelopes if envelope.kind == "status"]


async def test_silent_feed_is_stale_until_it_speaks(hub, market, clock):
    async with ticks(hub, market.keys) as client:
        client.read()
        await client.started()
        await clock.advance(2.5)
        before = hub.feed_state()
        await clock.advance(1.0)
        silent = hub.feed_state()
        await market.beat()
        await settled(hub, market)

    assert (before, silent, hub.feed_state()) == (FeedState.LIVE, FeedState.STALE, FeedState.LIVE)
    assert conditions(client) == [STALE, LIVE]


async def test_who_subscribes_to_a_silent_feed_is_told(hub, market, clock):
    await clock.advance(4.0)

    async with ticks(hub, market.keys) as client:
        await client.take(3)

    assert conditions(client) == [STALE]


async def test_session_end_comes_behind_its_last_tick(hub, market, clock):
    await market.trade()
    async with ticks(hub, market.keys) as client:
        client.read()
        await client.started()
        await market.trade(seconds=SESSION - 1)
        await market.beat(seconds=5)
        await settled(hub, market)
        await clock.advance(4.0)

    assert client.kinds[2:] == ["batch", "status"]
    assert conditions(client) == [CLOSED]
    assert hub.feed_state() is FeedState.ENDED


async def test_end_of_the_run_closes_the_market(hub, market):
    await market.trade()
    async with ticks(hub, market.keys) as client:
        client.read()
        await client.started()
        await market.end()
        await settled(hub, market)

    assert conditions(client) == [CLOSED]


async def test_draining_delivers_what_waits_and_asks_to_reconnect(hub, market):
    options = DeliveryOptions(flush=1.0)
    async with ticks(hub, market.keys, options) as client:
        client.read()
        await client.started()
        await market.trade()
        await settled(hub, market)
        hub.drain()
        error = await client.failed()

    assert client.kinds[2:] == ["batch", "status"]
    assert conditions(client) == [RECONNECT]
    assert isinstance(error, Unavailable)
    assert error.reason == "SERVER_DRAINING"
    assert hub.counts().open == 0


async def test_draining_hub_takes_no_new_streams(hub, market):
    hub.drain()

    async with ticks(hub, market.keys) as client:
        with pytest.raises(Unavailable) as caught:
            await client.take(1)

    assert caught.value.reason == "SERVER_DRAINING"


async def test_drained_stream_goes_on_elsewhere(make, market):
    async with make() as one, make() as other:
        async with ticks(one, market.keys) as client:
            client.read()
            await client.started()
            one.drain()
            await client.failed()
        resuming = replace(AT_ONCE, resume_token=client.connection.last_token())
        async with ticks(other, market.keys, resuming) as resumed:
            resumed.read()
            await resumed.joined()
            await market.trade()
            await resumed.until(lambda: len(resumed.connection.events) == 4)


async def test_stream_can_be_ended_by_name_with_an_error(hub, market):
    error = Aborted("enough", reason="STREAM_CANCELLED")
    async with ticks(hub, market.keys) as client:
        client.read()
        await client.started()
        was_open = hub.end(client.messages[0].subscribed.stream, error)
        told = await client.failed()

    assert was_open
    assert told is error


async def test_unknown_stream_cannot_be_ended(hub):
    assert not hub.end("s-unknown", Aborted("enough"))


async def test_open_streams_are_listed(hub, market, clock):
    async with ticks(hub, market.keys[:2]) as client:
        client.read()
        await client.started()
        await market.trade()
        await settled(hub, market)
        (record,) = hub.streams()

    assert record.stream == client.messages[0].subscribed.stream
    assert (record.user, record.method) == ("user-1", "strikeline.v1.MarketDataService/StreamTicks")
    assert record.items == ("NSE:NIFTY 50", "NSE:RELIANCE")
    assert (record.since, record.sent, record.events, record.replaced) == (clock.wall(), 3, 2, 0)


async def test_market_time_is_the_runs(hub, market):
    await market.beat(seconds=61)
    await settled(hub, market)

    assert hub.market_time() == market.time

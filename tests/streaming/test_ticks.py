"""Streams of ticks from the hub."""

from dataclasses import replace

from server.market.hub.options import DeliveryOptions
from strikeline.v1 import stream_pb2
from tests.streaming.checkers import violations_of
from tests.streaming.conftest import AT_ONCE, settled, ticks


async def test_stream_begins_with_results_and_snapshot(hub, market):
    await market.trade()
    await market.trade(1)
    await settled(hub, market)

    async with ticks(hub, market.keys[:2]) as client:
        await client.take(2)

    subscribed, _ = client.messages
    assert [(result.item, result.key, result.refusal) for result in subscribed.subscribed.results] == [
        ("NSE:NIFTY 50", "NSE:NIFTY 50", 0),
        ("NSE:RELIANCE", "NSE:RELIANCE", 0),
    ]
    first, second = (entry for entry in market.source().entries if entry)
    assert client.connection.envelopes[1].events == (first[0], second[0])


async def test_unknown_items_are_refused_one_by_one(hub, market):
    async with ticks(hub, ["nse:nifty50", "NSE:NOSUCH", "nonsense"]) as client:
        await client.take(2)

    results = [(result.item, result.key, result.refusal) for result in client.messages[0].subscribed.results]
    assert results == [
        ("nse:nifty50", "NSE:NIFTY 50", 0),
        ("NSE:NOSUCH", "", stream_pb2.ITEM_REFUSAL_NOT_FOUND),
        ("nonsense", "", stream_pb2.ITEM_REFUSAL_NOT_FOUND),
    ]


async def test_stream_without_any_item_says_so_and_ends(hub, market):
    async with ticks(hub, ["NSE:NOSUCH"]) as client:
        client.read()
        error = await client.failed()

    assert client.kinds == ["subscribed"]
    assert error.reason == "INSTRUMENT_NOT_FOUND"


async def test_stream_without_any_item_names_the_field(hub, market):
    async with ticks(hub, ["NSE:NOSUCH", "NSE:NEITHER"]) as client:
        client.read()
        error = await client.failed()

    assert [violation.field for violation in error.violations] == ["instruments[0]"]


async def test_every_tick_is_delivered_once_and_in_order(hub, market):
    async with ticks(hub, market.keys) as client:
        client.read()
        await client.started()
        await market.trade_randomly(200)
        await settled(hub, market)

    assert violations_of([client.connection], market.source()) == []
    assert len(client.connection.events) == sum(map(len, market.source().entries))


async def test_only_the_wanted_instruments_come(hub, market):
    wanted = market.keys[1:3]
    async with ticks(hub, wanted) as client:
        client.read()
        await client.started()
        await market.trade_randomly(50)
        await settled(hub, market)

    expected = [event for entry in market.source(wanted).entries for event in entry]
    assert client.connection.events == expected


async def test_batch_holds_every_event_of_its_interval(hub, market, clock):
    async with ticks(hub, market.keys, DeliveryOptions(flush=0.25)) as client:
        client.read()
        await client.started()
        for _ in range(5):
            await market.trade()
        await hub.reached(market.last_id)
        before = list(client.kinds)
        await clock.advance(0.25)

    assert before == ["subscribed", "snapshot"]
    assert client.kinds == ["subscribed", "snapshot", "batch"]
    assert len(client.connection.events) == 20


async def test_equal_subscriptions_get_the_same_bytes(hub, market, clock):
    options = DeliveryOptions(flush=0.1)
    async with ticks(hub, market.keys, options) as one, ticks(hub, market.keys, options) as other:
        one.read()
        other.read()
        await one.started()
        await other.started()
        await market.trade_randomly(20)
        await hub.reached(market.last_id)
        await clock.advance(0.1)

    assert one.messages[2].batch == other.messages[2].batch


async def test_quiet_stream_sends_heartbeats(hub, market, clock):
    async with ticks(hub, market.keys, replace(AT_ONCE, heartbeat=2.0)) as client:
        client.read()
        await client.started()
        await clock.advance(2.5)
        await market.beat()
        await settled(hub, market)
        await clock.advance(2.0)

    assert client.kinds[2:] == ["heartbeat", "heartbeat"]


async def test_late_tick_comes_and_does_not_become_the_snapshot(hub, market):
    async with ticks(hub, market.keys[:1]) as client:
        client.read()
        await client.started()
        await market.trade(0, seconds=10)
        await market.late(0, seconds=5)
        await settled(hub, market)
        async with ticks(hub, market.keys[:1]) as second:
            await second.take(2)

    newest, late = (entry[0] for entry in market.source().entries if entry)
    assert client.connection.events == [newest, late]
    assert second.connection.envelopes[1].events == (newest,)


async def test_as_of_is_market_time(hub, market):
    await market.beat(seconds=90)
    await settled(hub, market)

    async with ticks(hub, market.keys) as client:
        await client.take(1)

    assert client.messages[0].as_of.ToNanoseconds() == market.time

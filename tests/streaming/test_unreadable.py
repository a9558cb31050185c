"""Entries of the logs that nobody can read: the worker makes dead letters of them, and streams pass them over."""

from dataclasses import replace

import pytest

from server.market.hub.position import ORIGIN, EntryId
from server.market.hub.redis_streams import SlotLog
from server.market.records import TICK
from server.store.market_log import MarketLog, OutputLog
from strikeline.internal.v1 import log_pb2
from tests.streaming.bar_market import Bars, batches, client_of
from tests.streaming.checkers import violations_of
from tests.streaming.conftest import AT_ONCE, settled, ticks
from tests.streaming.market import happened

CUT_OFF = log_pb2.LogEntry(
    run="run-1", source="feed", kind=log_pb2.LOG_ENTRY_KIND_TICKS, ticks=b"x" * (TICK.itemsize - 1)
).SerializeToString()
NO_ENTRY = b"\xff\xff\xff"


@pytest.fixture(params=[CUT_OFF, NO_ENTRY], ids=["cut off", "no entry"])
def poison(request) -> bytes:
    return request.param


@pytest.fixture
def log(redis, namespace) -> MarketLog:
    return MarketLog(redis, namespace)


async def test_ticks_behind_an_unreadable_entry_arrive(hub, market, log, poison):
    async with ticks(hub, market.keys) as client:
        client.read()
        await client.started()
        await market.trade_randomly(5)
        await log.append([poison])
        await market.trade_randomly(5)
        await client.until(lambda: len(client.connection.events) == happened(market))

    assert violations_of([client.connection], market.source()) == []


async def test_a_stream_resumes_across_an_unreadable_entry(hub, market, log, poison):
    async with ticks(hub, market.keys) as client:
        client.read()
        await client.started()
        await market.trade_randomly(5)
        await settled(hub, market)
    await log.append([poison])
    await market.trade_randomly(5)
    await settled(hub, market)
    async with ticks(hub, market.keys, replace(AT_ONCE, resume_token=client.connection.last_token())) as resumed:
        resumed.read()
        await resumed.until(lambda: len(client.connection.events) + len(resumed.connection.events) == happened(market))

    assert violations_of([client.connection, resumed.connection], market.source()) == []


async def test_a_hub_starts_behind_an_unreadable_entry(make, market, log, poison):
    await log.append([poison])
    await market.trade_randomly(5)
    async with make() as hub, ticks(hub, market.keys) as client:
        client.read()
        await client.started()
        before = happened(market)
        await market.trade_randomly(5)
        await settled(hub, market)

    assert len(client.connection.events) == happened(market) - before


async def test_bars_behind_an_unreadable_entry_of_the_worker_arrive(hub, market, bars_output):
    bars = Bars(market, bars_output)
    async with client_of(hub, [bars.key]) as client:
        client.read()
        await client.started()
        await bars.publish(bars.row(0, (100, 101, 99, 100)))
        await market.trade(0)
        await bars_output.publish([(str(market.last_id), NO_ENTRY)])
        await bars.publish(bars.row(1, (100, 102, 100, 101)))
        await bars.settled(hub)

    assert [(minute, closed) for minute, *_, closed in batches(client)] == [(0, False), (0, True), (1, False)]


CUT_OFF_OUTPUTS = {
    "bars:0": log_pb2.BarsEntry(bars=b"x"),
    "m2m:0": log_pb2.M2mEntry(legs=b"x"),
    "chains:0": log_pb2.ChainsEntry(chains=[log_pb2.ChainState(rows=b"x")]),
    "chains:1": log_pb2.ChainsEntry(minutes=[log_pb2.ChainMinute(rows=b"x")]),
}


@pytest.mark.parametrize(("name", "cut_off"), CUT_OFF_OUTPUTS.items())
async def test_the_place_of_an_unreadable_entry_is_empty(redis, namespace, name, cut_off):
    output = OutputLog(redis, namespace, name)
    whole = type(cut_off)(run="run-1").SerializeToString()
    unreadable = cut_off.SerializeToString()
    await output.publish([("1-0", whole), ("2-0", NO_ENTRY), ("3-0", unreadable), ("4-0", whole)])

    entries = await SlotLog(output, type(cut_off)).range(ORIGIN, EntryId(9, 0), 10)

    assert entries == [
        (EntryId(1, 0), (whole,)),
        (EntryId(2, 0), (b"",)),
        (EntryId(3, 0), (b"",)),
        (EntryId(4, 0), (whole,)),
    ]

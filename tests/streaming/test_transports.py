"""The guarantees over every transport, through Envoy, with two api replicas, while processes are killed."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from server.market.records import BAR, M2M
from server.store.strategies import StrategyStore
from server.store.strategy_values import NewLeg, NewStrategy, Side
from strikeline.internal.v1.log_pb2 import BarsEntry, M2mEntry
from tests.streaming.checkers import violations_of
from tests.streaming.systems import published, restarted, trade_steadily
from tests.streaming.transports import BARS, clients_of, events_of, more_events
from tests.streaming.transports import M2M as M2M_SAMPLES

pytestmark = pytest.mark.slow


def recovered(killed, client):
    """Seconds from the kill to the first message of the last connection that began after it; 0 when none broke."""
    return max((moment - killed for moment in client.first_arrivals[1:] if moment > killed), default=0.0)


async def test_all_transports_deliver_the_same_events(system, market):
    async with clients_of(system, {"instruments": market.keys}) as clients:
        await market.trade_randomly(300)
        happened = sum(map(len, market.source().entries))
        for client in clients.values():
            await client.until(lambda client=client: client.event_count == happened)

    for client in clients.values():
        assert violations_of(client.history, market.source()) == []
    one, *others = (events_of(client.history) for client in clients.values())
    assert [events == one for events in others] == [True, True, True]


async def test_bars_are_the_same_over_all_transports(system, market, bars_output):
    async with clients_of(system, {"instruments": market.keys, "timeframe": "1min"}, BARS) as clients:
        began = market.last_id
        await market.trade_randomly(200)
        await market.end()
        entries = await published(bars_output, began, market.last_id, BarsEntry)
        happened = sum(len(entry.bars) for entry in entries) // BAR.itemsize
        for client in clients.values():
            await client.until(lambda client=client: client.event_count == happened)

    one, *others = (events_of(client.history) for client in clients.values())
    assert [events == one for events in others] == [True, True, True]


async def test_samples_are_the_same_over_all_transports(system, market, m2m_output, api_db):
    strategy = await strangle(api_db, market)
    async with clients_of(system, {"account": "demo", "strategy": strategy}, M2M_SAMPLES) as clients:
        began = market.last_id
        await market.trade_randomly(200)
        entries = await published(m2m_output, began, market.last_id, M2mEntry)
        happened = sum(len(entry.samples) for entry in entries) // M2M.itemsize
        for client in clients.values():
            await client.until(lambda client=client: client.event_count == happened)

    one, *others = (events_of(client.history) for client in clients.values())
    assert [events == one for events in others] == [True, True, True]


async def strangle(database, market):
    """A stored strategy of the demo account that bought a call and sold the next. -> its id."""
    legs = tuple(
        NewLeg(instrument_id=market.instruments[place].instrument_id, side=side, quantity=75, entry_price=Decimal(90))
        for place, side in ((2, Side.BUY), (3, Side.SELL))
    )
    stored = await StrategyStore(database).create("demo", "demo", NewStrategy(display_name="Spread", legs=legs))
    return stored.strategy


@pytest.mark.parametrize(
    "victim", [("server", "api"), ("-m gateway",), ("server", "worker")], ids=["api", "gateway", "worker"]
)
async def test_killed_process_costs_no_event(system, market, victim):
    stop = asyncio.Event()
    async with clients_of(system, {"instruments": market.keys}) as clients:
        trading = asyncio.create_task(trade_steadily(market, stop))
        await more_events(clients)
        killed = asyncio.get_running_loop().time()
        await restarted(system, victim)
        await more_events(clients)
        stop.set()
        await trading
        happened = sum(map(len, market.source().entries))
        for client in clients.values():
            await client.until(lambda client=client: client.event_count == happened)

    for name, client in clients.items():
        assert violations_of(client.history, market.source()) == [], name
        print(f"{name} recovered after {recovered(killed, client):.2f} s")


async def test_connections_that_break_all_the_time_miss_nothing(system, market):
    stop = asyncio.Event()
    async with clients_of(system, {"instruments": market.keys}, transports=("grpc", "websocket")) as clients:
        trading = asyncio.create_task(trade_steadily(market, stop))
        for _ in range(3):
            await more_events(clients)
            await restarted(system, ("server", "api"))
        await more_events(clients)
        stop.set()
        await trading
        happened = sum(map(len, market.source().entries))
        for client in clients.values():
            await client.until(lambda client=client: client.event_count == happened)

    for name, client in clients.items():
        assert violations_of(client.history, market.source()) == [], name

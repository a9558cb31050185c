"""Streams of order books from the hub."""

from dataclasses import replace

import numpy as np
import pytest

from server.market.records import ABSENT, DEPTH
from strikeline.v1 import depth_pb2, stream_pb2
from tests.streaming.checkers import violations_of
from tests.streaming.clients import HubClient
from tests.streaming.conftest import AT_ONCE, USER, settled
from tests.streaming.histories import Source, event_of

RESPONSE = depth_pb2.StreamDepthResponse


class Books:
    """Order books into the log, as a feed sends them, and a record of what happened."""

    def __init__(self, market):
        self.market = market
        self.entries = []
        self.row = 0

    async def change(self, *numbers, seconds=0.01):
        """One entry with a book of each instrument, by its place in the market; no two are equal."""
        self.market.time += int(seconds * 1_000_000_000)
        depths = np.array([self._record(number) for number in numbers], DEPTH)
        await self.market.books(depths)
        self.entries.append(tuple(self._event(number, row) for number, row in zip(numbers, depths, strict=True)))

    def source(self):
        return Source(tuple(self.entries))

    def _record(self, number):
        self.row += 1
        nothing = (ABSENT, 0, 0)
        bids = [(1_000_000 + 500 * self.row, 75, 2), *[nothing] * 4]
        asks = [(1_001_000 + 500 * self.row, 150, 3), *[nothing] * 4]
        return (self.market.instruments[number].instrument_id, 0, self.market.time, self.row, bids, asks)

    def _event(self, number, row):
        depth = depth_pb2.DepthAnalysis(instrument=self.market.keys[number])
        depth.event_time.FromNanoseconds(int(row["event_time"]))
        depth.depth.bids.add(price=row["bids"]["price"][0] / 10_000, quantity=75, orders=2)
        depth.depth.asks.add(price=row["asks"]["price"][0] / 10_000, quantity=150, orders=3)
        return event_of(depth)


@pytest.fixture
def books(market):
    return Books(market)


def client_of(hub, keys, options=AT_ONCE, *, analysis=False):
    return HubClient(hub.subscribe_depth(keys, options, USER, analysis=analysis), options.resume_token, RESPONSE)


async def test_every_change_comes_once_and_in_order(hub, market, books):
    async with client_of(hub, market.keys) as client:
        client.read()
        await client.started()
        for number in range(60):
            await books.change(number % 4, (number + 1) % 4)
        await settled(hub, market)

    assert violations_of([client.connection], books.source()) == []
    assert len(client.connection.events) == 120


async def test_the_snapshot_is_the_newest_book_of_each_instrument(hub, market, books):
    await books.change(1)
    await books.change(1, 2)
    await settled(hub, market)

    async with client_of(hub, market.keys[:3]) as client:
        await client.take(2)

    assert client.connection.envelopes[1].events == books.entries[1]


async def test_ticks_move_the_stream_on_without_an_event(hub, market, books):
    async with client_of(hub, market.keys) as client:
        client.read()
        await client.started()
        await market.trade_randomly(5)
        await books.change(0)
        await settled(hub, market)

    assert client.kinds == ["subscribed", "snapshot", "batch"]


async def test_a_resumed_stream_misses_and_repeats_nothing(hub, market, books):
    async with client_of(hub, market.keys) as first:
        first.read()
        await first.started()
        await books.change(0, 1)
        await settled(hub, market)
    await books.change(2, 3)
    await books.change(1)
    await settled(hub, market)

    options = replace(AT_ONCE, resume_token=first.connection.last_token())
    async with client_of(hub, market.keys, options) as second:
        second.read()
        await books.change(3)
        await settled(hub, market)

    assert violations_of([first.connection, second.connection], books.source()) == []


async def test_a_token_of_another_variant_is_refused(hub, market):
    async with client_of(hub, market.keys) as client:
        await client.take(2)
    options = replace(AT_ONCE, resume_token=client.connection.last_token())

    async with client_of(hub, market.keys, options, analysis=True) as other:
        other.read()
        error = await other.failed()

    assert error.reason == "RESUME_TOKEN_INVALID"


async def test_analysis_comes_with_the_book(hub, market, books):
    async with client_of(hub, market.keys[1:2], analysis=True) as client:
        client.read()
        await client.started()
        await books.change(1)
        await settled(hub, market)

    (book,) = client.messages[2].batch.books
    assert (book.instrument, book.spread.spread) == (market.keys[1], pytest.approx(0.1))
    assert (book.bids.total_quantity, book.balance.imbalance) == (75, -75)
    assert [impact.quantity for impact in book.impacts] == [100, 100, 500, 500]


async def test_a_slow_client_gets_the_newest_book(make, market, books):
    async with (
        make(subscriber_queue_events=10) as hub,
        client_of(hub, market.keys) as client,
    ):
        await client.take(2)
        for _ in range(30):
            await books.change(0, 1)
        await settled(hub, market)
        await client.take(2)

    kinds = {envelope.kind: envelope for envelope in client.connection.envelopes[2:]}
    assert kinds["status"].condition == stream_pb2.STREAM_CONDITION_CONFLATED
    assert kinds["batch"].events == books.entries[-1]

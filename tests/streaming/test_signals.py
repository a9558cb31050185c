"""Streams of position signals: each bar of a future against the bar before it, however the bars come."""

from dataclasses import replace
from datetime import date
from functools import partial

import numpy as np
import pytest

from server.domain.timeframes import Timeframe
from server.market.hub.signals import SignalKind
from server.market.records import ABSENT, BAR, BAR_CLOSED
from server.store.bars import BarStore
from server.store.market_log import MarketLog
from strikeline.internal.v1 import log_pb2
from strikeline.v1 import futures_pb2, futures_requests_pb2, stream_pb2
from tests.streaming.clients import HubClient
from tests.streaming.conftest import AT_ONCE, USER
from tests.streaming.market import OPEN, Market, publish_bars
from tests.support.clock import turn
from tests.support.market import MINUTE, NIFTY, bar, future, instruments

RESPONSE = futures_requests_pb2.StreamPositionSignalsResponse


@pytest.fixture
async def market(worker_db, redis, namespace) -> Market:
    """NIFTY and two of its futures; the run has begun."""
    futures = (future("NIFTY25NOVFUT", date(2025, 11, 25)), future("NIFTY25DECFUT", date(2025, 12, 30)))
    rows = await instruments(worker_db, NIFTY, *futures)
    market = Market(MarketLog(redis, namespace), rows)
    await market.start()
    return market


class Futures:
    """Publishes minutes of the futures, as the worker does for each entry of the log."""

    def __init__(self, market, output):
        self.market, self.output = market, output
        self.near, self.following = market.instruments[1:]

    def row(self, minute, close, interest, *, instrument=None, volume=10, closed=False):
        scaled = [round(close * 10_000)] * 4
        number = (instrument or self.near).instrument_id
        return (number, BAR_CLOSED if closed else 0, OPEN + minute * MINUTE, *scaled, volume, interest)

    async def publish(self, *rows, **more):
        last = max(row[2] for row in rows) if rows else self.market.time
        self.market.time = max(self.market.time, last)
        await self.market.trade(0)
        await publish_bars(self.output, self.market.last_id, self.market.time, rows, **more)

    async def publish_of_run(self, run, row):
        await self.market.trade(0)
        entry = log_pb2.BarsEntry(run=run, market_time=row[2], bars=np.array([row], BAR).tobytes())
        await self.output.publish([(str(self.market.last_id), entry.SerializeToString())])

    async def settled(self, hub, timeframe="1min", closed_only=False):
        topic = hub.intake.signals.get(SignalKind(Timeframe.parse(timeframe), closed_only))
        await topic.channel.reached((self.market.last_id,))
        await turn()


@pytest.fixture
def futures(market, bars_output):
    return Futures(market, bars_output)


def client_of(hub, futures, timeframe="1min", options=AT_ONCE, closed_only=False, keys=None):
    keys = keys or [futures.near.key]
    stream = hub.subscribe_position_signals(keys, Timeframe.parse(timeframe), options, USER, closed_only=closed_only)
    return HubClient(stream, options.resume_token, RESPONSE)


def shown(signal):
    """Minute (from the open), close, open interest, word, and whether the bar is closed."""
    minute = (signal.open_time.ToNanoseconds() - OPEN) // MINUTE
    word = futures_pb2.PositionSignal.Name(signal.signal).removeprefix("POSITION_SIGNAL_")
    return minute, signal.close, signal.open_interest, word, signal.closed


def batches(client):
    return [shown(row) for message in client.messages if message.HasField("batch") for row in message.batch.signals]


def has_come(client, count):
    return len(batches(client)) >= count


def snapshot(client):
    return [shown(row) for row in client.messages[1].snapshot.signals]


async def store_minute(worker_db, futures, opened, close, interest, before=0):
    row = bar(futures.near.instrument_id, opened, (close,) * 4, cumulative_max=before + 10, cumulative_before=before)
    row["open_interest"] = interest
    async with worker_db.transaction() as transaction:
        await BarStore(worker_db).merge_bars(transaction, row)


async def test_each_change_of_a_minute_is_compared_with_the_minute_before(hub, futures):
    async with client_of(hub, futures) as client:
        client.read()
        await client.started()
        await futures.publish(futures.row(0, 1_000, 1_000))
        await futures.publish(futures.row(0, 1_000, 1_000, closed=True), futures.row(1, 1_002, 1_010))
        await futures.publish(futures.row(1, 998, 1_010))
        await futures.settled(hub)

    assert batches(client) == [
        (0, 1_000, 1_000, "UNSPECIFIED", False),
        (0, 1_000, 1_000, "UNSPECIFIED", True),
        (1, 1_002, 1_010, "LONG_BUILDUP", False),
        (1, 998, 1_010, "SHORT_BUILDUP", False),
    ]


async def test_a_signal_tells_both_moves_and_its_strength(hub, futures):
    await futures.publish(futures.row(0, 1_000, 1_000, closed=True), futures.row(1, 1_002.5, 1_025))
    await futures.settled(hub)

    async with client_of(hub, futures) as client:
        await client.take(2)

    (signal,) = client.messages[1].snapshot.signals
    assert (signal.instrument, signal.expiry, signal.volume) == ("NFO:NIFTY25NOVFUT", "2025-11-25", 10)
    assert (signal.price_change, signal.open_interest_change) == (2.5, 25)
    assert (signal.price_change_percent, signal.open_interest_change_percent) == (0.25, 2.5)
    assert (signal.strength, signal.sentiment) == (0.625, futures_pb2.POSITION_SENTIMENT_BULLISH)


async def test_a_contract_without_open_interest_has_no_signal(hub, futures):
    await futures.publish(futures.row(0, 1_000, 1_000, closed=True), futures.row(1, 1_002, ABSENT))
    await futures.settled(hub)

    async with client_of(hub, futures) as client:
        await client.take(2)

    (signal,) = client.messages[1].snapshot.signals
    assert signal.price_change == 2.0
    assert not signal.HasField("open_interest")
    assert not signal.HasField("strength")
    assert signal.signal == futures_pb2.POSITION_SIGNAL_UNSPECIFIED


async def test_the_first_minute_is_compared_with_the_last_one_of_the_day_before(hub, futures, worker_db):
    await store_minute(worker_db, futures, "2025-11-21T15:29:00", 1_000, 1_000)
    await futures.publish(futures.row(0, 1_002, 990))
    await futures.settled(hub)

    async with client_of(hub, futures) as client:
        await client.take(2)

    assert snapshot(client) == [(0, 1_002, 990, "SHORT_COVERING", False)]


async def test_a_contract_that_trades_for_the_first_time_since_is_compared_with_what_was_stored(
    hub, futures, worker_db
):
    await store_minute(worker_db, futures, "2025-11-21T15:29:00", 1_000, 1_000)
    await futures.publish(futures.row(0, 500, 50, instrument=futures.following))
    await futures.settled(hub)

    async with client_of(hub, futures) as client:
        client.read()
        await client.started()
        await futures.publish(futures.row(1, 998, 990))
        await futures.settled(hub)

    assert batches(client) == [(1, 998, 990, "LONG_UNWINDING", False)]


async def test_larger_bars_are_compared_with_larger_bars(hub, futures):
    async with client_of(hub, futures, "3min") as client:
        client.read()
        await client.started()
        await futures.publish(futures.row(0, 1_000, 1_000))
        await futures.publish(futures.row(2, 1_010, 1_020, closed=True))
        await futures.publish(futures.row(3, 1_005, 1_030))
        await futures.settled(hub, "3min")

    assert batches(client) == [
        (0, 1_000, 1_000, "UNSPECIFIED", False),
        (0, 1_010, 1_020, "UNSPECIFIED", True),
        (3, 1_005, 1_030, "SHORT_BUILDUP", False),
    ]


async def test_a_late_tick_changes_the_signal_of_the_bar_after_it_as_well(hub, futures):
    async with client_of(hub, futures) as client:
        client.read()
        await client.started()
        await futures.publish(futures.row(0, 1_000, 1_000, closed=True), futures.row(1, 1_002, 1_010))
        await futures.publish(futures.row(0, 1_004, 1_000, closed=True))
        await futures.settled(hub)

    assert batches(client)[2:] == [
        (0, 1_004, 1_000, "UNSPECIFIED", True),
        (1, 1_002, 1_010, "SHORT_BUILDUP", False),
    ]


async def test_closed_bars_alone_can_be_chosen(hub, futures):
    async with client_of(hub, futures, closed_only=True) as client:
        client.read()
        await client.started()
        await futures.publish(futures.row(0, 1_000, 1_000))
        await futures.publish(futures.row(0, 1_000, 1_000, closed=True), futures.row(1, 1_002, 1_010))
        await futures.publish(futures.row(1, 1_003, 1_010, closed=True))
        await futures.settled(hub, closed_only=True)

    assert batches(client) == [
        (0, 1_000, 1_000, "UNSPECIFIED", True),
        (1, 1_003, 1_010, "LONG_BUILDUP", True),
    ]


async def test_market_time_alone_closes_a_larger_bar(hub, futures):
    async with client_of(hub, futures, "3min") as client:
        client.read()
        await client.started()
        await futures.publish(futures.row(0, 1_000, 1_000))
        futures.market.time = OPEN + 4 * MINUTE
        await futures.publish()
        await futures.settled(hub, "3min")

    assert batches(client) == [
        (0, 1_000, 1_000, "UNSPECIFIED", False),
        (0, 1_000, 1_000, "UNSPECIFIED", True),
    ]


async def test_contracts_of_one_stream_have_each_their_own_predecessor(hub, futures):
    keys = [futures.near.key, futures.following.key]
    async with client_of(hub, futures, keys=keys) as client:
        client.read()
        await client.started()
        await futures.publish(futures.row(0, 1_000, 1_000), futures.row(0, 500, 100, instrument=futures.following))
        await futures.publish(futures.row(1, 1_002, 1_010), futures.row(1, 498, 90, instrument=futures.following))
        await futures.settled(hub)

    assert [(row[1], row[3]) for row in batches(client)] == [
        (1_000, "UNSPECIFIED"),
        (500, "UNSPECIFIED"),
        (1_000, "UNSPECIFIED"),
        (1_002, "LONG_BUILDUP"),
        (500, "UNSPECIFIED"),
        (498, "LONG_UNWINDING"),
    ]


async def ticking(futures, worker_db, minutes):
    """Minutes with a change and a close each; like the worker, the database has a minute soon after its end."""
    for minute in range(minutes):
        close, interest = 1_000 + 3 * (minute % 4), 1_000 + 20 * (minute % 3)
        await futures.publish(futures.row(minute, close - 1, interest))
        futures.market.time = OPEN + (minute + 1) * MINUTE
        await futures.publish(futures.row(minute, close, interest, closed=True))
        await store_minute(worker_db, futures, OPEN + minute * MINUTE, close, interest, 10 * minute)


@pytest.mark.parametrize("timeframe", ["1min", "3min", "5min"])
@pytest.mark.parametrize("closed_only", [False, True])
async def test_a_resumed_stream_tells_the_missed_signals_as_they_were(hub, futures, worker_db, timeframe, closed_only):
    async with client_of(hub, futures, timeframe, closed_only=closed_only) as client:
        client.read()
        await client.started()
        await ticking(futures, worker_db, 8)
        await futures.settled(hub, timeframe, closed_only)
        whole = list(client.messages)
        for message in whole[1:]:
            options = replace(AT_ONCE, resume_token=message.resume_token)
            async with client_of(hub, futures, timeframe, options, closed_only) as resumed:
                resumed.read()
                behind = [row for later in whole[message.sequence :] for row in later.batch.signals]
                await resumed.until(partial(has_come, resumed, len(behind)))
                await turn()
            again = [row for later in resumed.messages for row in later.batch.signals]
            assert again == behind


async def test_a_resumed_stream_closes_what_market_time_closed_meanwhile(hub, futures):
    async with client_of(hub, futures, "3min") as client:
        client.read()
        await client.started()
        await futures.publish(futures.row(0, 1_000, 1_000))
        await futures.settled(hub, "3min")
        token = client.connection.last_token()
    futures.market.time = OPEN + 4 * MINUTE
    await futures.publish()
    await futures.settled(hub, "3min")

    async with client_of(hub, futures, "3min", replace(AT_ONCE, resume_token=token)) as resumed:
        resumed.read()
        await resumed.joined()
        await futures.settled(hub, "3min")
        await resumed.until(lambda: bool(batches(resumed)))

    assert batches(resumed) == [(0, 1_000, 1_000, "UNSPECIFIED", True)]


@pytest.mark.parametrize("closed_only", [False, True])
async def test_a_contract_that_has_not_traded_for_long_has_the_signal_of_its_last_whole_bar(
    hub, futures, worker_db, closed_only
):
    for minute, interest in ((0, 1_000), (14, 1_010), (16, 1_030), (28, ABSENT), (29, ABSENT)):
        await futures.publish(futures.row(minute, 1_000 + minute, interest, closed=True))
        await store_minute(worker_db, futures, OPEN + minute * MINUTE, 1_000 + minute, interest, 10 * minute)
    futures.market.time = OPEN + 85 * MINUTE
    await futures.publish()
    await futures.settled(hub)

    async with client_of(hub, futures, "15min", closed_only=closed_only) as client:
        await client.take(2)

    assert snapshot(client) == [(15, 1_029, 1_030, "LONG_BUILDUP", True)]
    assert client.messages[1].snapshot.signals[0].volume == 30


async def test_a_late_tick_for_an_earlier_bar_changes_the_signal_of_the_whole_bar(hub, futures, worker_db):
    for minute, interest in ((0, 1_000), (15, 1_020), (29, ABSENT), (45, 1_050)):
        await store_minute(worker_db, futures, OPEN + minute * MINUTE, 1_000 + minute, interest, 10 * minute)
    futures.market.time = OPEN + 85 * MINUTE
    await futures.publish()
    async with client_of(hub, futures, "15min") as client:
        client.read()
        await client.started()
        await futures.publish(futures.row(20, 900, ABSENT, closed=True))
        await futures.settled(hub, "15min")

    assert batches(client) == [
        (15, 1_029, 1_020, "LONG_BUILDUP", True),
        (45, 1_045, 1_050, "LONG_BUILDUP", True),
    ]


async def test_slow_client_gets_the_latest_state_of_each_bar(make, futures):
    async with make(subscriber_queue_events=3) as hub, client_of(hub, futures) as client:
        await client.take(2)
        for close in (1_001, 1_002, 1_003):
            await futures.publish(futures.row(0, close, 1_000))
        await futures.publish(futures.row(0, 1_003, 1_000, closed=True), futures.row(1, 1_001, 990))
        await futures.publish(futures.row(1, 1_000, 990))
        await futures.settled(hub)
        await client.take(2)

    assert client.messages[2].status.conflated_events == 4
    assert batches(client) == [(0, 1_003, 1_000, "UNSPECIFIED", True), (1, 1_000, 990, "LONG_UNWINDING", False)]


async def test_market_closes_behind_the_last_bar(hub, futures):
    async with client_of(hub, futures) as client:
        client.read()
        await client.started()
        futures.market.time = OPEN + 375 * MINUTE
        await futures.publish(futures.row(374, 1_000, 1_000, closed=True), session_ended=True)
        await futures.settled(hub)

    assert client.kinds[2:] == ["batch", "status"]
    assert client.messages[3].status.condition == stream_pb2.STREAM_CONDITION_MARKET_CLOSED


async def test_another_run_about_an_earlier_day_begins_anew(hub, futures):
    async with client_of(hub, futures) as client:
        client.read()
        await client.started()
        await futures.publish(futures.row(5, 1_000, 1_000))
        await futures.publish_of_run("run-0", futures.row(2, 900, 900))
        await futures.settled(hub)

    assert batches(client) == [(5, 1_000, 1_000, "UNSPECIFIED", False), (2, 900, 900, "UNSPECIFIED", False)]

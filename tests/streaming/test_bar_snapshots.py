"""Streams of bars beside ListBars at the same moment: of instruments that trade seldom, at borders, between runs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from server.domain.timeframes import Timeframe
from server.market.records import ABSENT
from server.services.converters_market import bar_message
from server.store.bar_series import BarQuery
from server.store.bars import BarStore
from server.store.calendar import CalendarStore
from server.store.records import LARGER_BAR, to_datetime
from tests.streaming.bar_market import Bars, batches, client_of, shown
from tests.streaming.conftest import AT_ONCE
from tests.streaming.market import OPEN
from tests.support.market import MINUTE, nanoseconds

DAY = 1_440
"""Minutes from the open of a day to that of the next."""


@pytest.fixture
def bars(market, bars_output):
    return Bars(market, bars_output)


@pytest.fixture
def other(market, bars_output):
    """Another instrument's minutes: it trades while the first one does not."""
    return Bars(market, bars_output, 2)


async def snapshot(hub, bars, timeframe, *, closed_only=False):
    """What a new subscriber gets."""
    async with client_of(hub, [bars.key], timeframe, closed_only=closed_only) as client:
        await client.take(2)
    return [update.bar for update in client.messages[1].snapshot.bars]


async def listed(hub, database, bars, timeframe, *, closed_only=False):
    """The newest bar of a query without end."""
    query = BarQuery(
        instrument_id=bars.instrument.instrument_id,
        timeframe=Timeframe.parse(timeframe),
        ascending=False,
        market_time=to_datetime(hub.market_time()),
    )
    page = await BarStore(database).list_bars(query, await CalendarStore(database).load("NSE"), 2)
    return [bar_message(bar) for bar in page.items if bar.closed or not closed_only][:1]


@pytest.mark.parametrize("timeframe", ["3min", "15min", "1hour", "1day"])
async def test_an_instrument_that_has_not_traded_for_long_has_its_last_bar_whole(hub, bars, worker_db, timeframe):
    await bars.trade(worker_db, range(59))
    await bars.pass_time(85)
    await bars.settled(hub)

    got = await snapshot(hub, bars, timeframe)

    assert got == await listed(hub, worker_db, bars, timeframe) != []


@pytest.mark.parametrize("timeframe", ["1min", "15min", "1hour", "1day", "1week", "1month"])
async def test_an_instrument_of_an_earlier_day_has_its_last_bar_whole(hub, bars, other, worker_db, timeframe):
    for minute in range(-3 * DAY, -3 * DAY + 40):
        await bars.store(worker_db, minute, (100, 102, 99, 101))
    await other.trade(worker_db, range(3))
    await other.settled(hub)

    got = await snapshot(hub, bars, timeframe)

    assert got == await listed(hub, worker_db, bars, timeframe) != []


@pytest.mark.parametrize("timeframe", ["3min", "5min", "15min", "1hour"])
async def test_the_last_closed_bar_is_whole_when_the_next_one_has_just_begun(hub, bars, worker_db, timeframe):
    await bars.trade(worker_db, range(60))
    await bars.publish(bars.row(60, (160, 160, 160, 160)))
    await bars.store(worker_db, 60, (160, 160, 160, 160), closed=False)
    await bars.settled(hub)

    got = await snapshot(hub, bars, timeframe, closed_only=True)

    assert got == await listed(hub, worker_db, bars, timeframe, closed_only=True) != []


async def test_the_minute_that_only_the_log_has_is_in_the_bar_that_is_over(hub, bars, worker_db):
    await bars.trade(worker_db, range(14))
    await bars.publish(bars.row(14, (200, 200, 200, 200), closed=True))
    await bars.publish(bars.row(15, (100, 100, 100, 100)))
    await bars.settled(hub)

    (got,) = await snapshot(hub, bars, "15min", closed_only=True)

    assert (got.open, got.high, got.close, got.volume) == (100, 200, 200, 150)


async def test_a_recorded_bar_stands_where_there_are_no_minutes(hub, bars, other, worker_db):
    opened = nanoseconds("2025-11-21T00:00:00")
    scaled = (price * 10_000 for price in (100, 110, 90, 105))
    row = np.array([(bars.instrument.instrument_id, 0, opened, *scaled, 500, ABSENT)], LARGER_BAR)
    async with worker_db.transaction() as transaction:
        await BarStore(worker_db).store_larger(transaction, Timeframe.parse("1day"), "test", row)
    await other.trade(worker_db, range(3))
    await other.settled(hub)

    got = await snapshot(hub, bars, "1day")

    assert got == await listed(hub, worker_db, bars, "1day") != []


async def test_a_late_tick_for_an_earlier_bar_tells_the_whole_bar(hub, bars, worker_db):
    await bars.trade(worker_db, [*range(15, 30), *range(45, 50)])
    await bars.pass_time(85)
    await bars.settled(hub)
    async with client_of(hub, [bars.key], "15min") as client:
        client.read()
        await client.started()
        await bars.publish(bars.row(20, (500, 500, 500, 500), volume=30, closed=True))
        await bars.settled(hub, "15min")

    assert batches(client) == [(15, 115, 500, 114, 130, 170, True)]


async def test_a_late_tick_between_two_bars_makes_a_bar_of_its_own(hub, bars, worker_db):
    await bars.trade(worker_db, [*range(15), *range(45, 50)])
    await bars.settled(hub)
    async with client_of(hub, [bars.key], "15min") as client:
        client.read()
        await client.started()
        await bars.publish(bars.row(20, (500, 500, 500, 500), closed=True))
        await bars.settled(hub, "15min")

    assert batches(client) == [(15, 500, 500, 500, 500, 10, True)]


async def test_a_bar_that_was_only_stored_closes_by_market_time(hub, bars, other, worker_db):
    for minute in range(3):
        await bars.store(worker_db, minute, (100, 102, 99, 101))
    await other.trade(worker_db, [3])
    await other.settled(hub)
    async with client_of(hub, [bars.key], "5min") as client:
        client.read()
        await client.started()
        await other.pass_time(6)
        await other.settled(hub, "5min")

    assert batches(client) == [(0, 100, 102, 99, 101, 30, True)]


async def test_a_run_about_an_earlier_day_goes_on_with_what_is_stored_of_it(hub, bars, worker_db):
    for minute in range(-3 * DAY, -3 * DAY + 10):
        await bars.store(worker_db, minute, (100, 102, 99, 101))
    await bars.trade(worker_db, range(3))
    await bars.settled(hub)
    async with client_of(hub, [bars.key], "15min") as client:
        client.read()
        await client.started()
        await bars.publish_of_run("run-0", bars.row(-3 * DAY + 10, (101, 103, 101, 103)))
        await bars.settled(hub, "15min")

    assert batches(client) == [(-3 * DAY, 100, 103, 99, 103, 110, False)]


async def test_a_resumed_stream_tells_a_run_about_an_earlier_day_as_it_was(hub, bars, worker_db):
    for minute in range(-3 * DAY, -3 * DAY + 10):
        await bars.store(worker_db, minute, (100, 102, 99, 101))
    await bars.trade(worker_db, range(3))
    await bars.settled(hub)
    async with client_of(hub, [bars.key], "15min") as client:
        client.read()
        await client.started()
        token = client.connection.last_token()
        await bars.publish_of_run("run-0", bars.row(-3 * DAY + 10, (101, 103, 101, 103)))
        await bars.settled(hub, "15min")

    async with client_of(hub, [bars.key], "15min", replace(AT_ONCE, resume_token=token)) as resumed:
        resumed.read()
        await resumed.until(lambda: bool(batches(resumed)))

    assert batches(resumed) == [(-3 * DAY, 100, 103, 99, 103, 110, False)]


async def test_a_run_about_the_same_day_leaves_nothing_of_what_comes_later_in_it(hub, bars, worker_db):
    await bars.trade(worker_db, range(30))
    await bars.settled(hub)
    async with client_of(hub, [bars.key], "1day") as client:
        client.read()
        await client.started()
        await bars.publish_of_run("run-2", bars.row(5, (105, 107, 104, 106)))
        await bars.settled(hub, "1day")

    assert batches(client) == [(0, 100, 107, 99, 106, 60, False)]


async def test_a_snapshot_has_nothing_from_after_market_time(hub, bars, other, worker_db):
    for minute in range(-3 * DAY, -3 * DAY + 10):
        await bars.store(worker_db, minute, (100, 102, 99, 101))
    await bars.trade(worker_db, range(3))
    await other.publish_of_run("run-0", other.row(-3 * DAY + 20, (1, 1, 1, 1)))
    await other.settled(hub)

    async with client_of(hub, [bars.key], "15min") as client:
        await client.take(2)

    assert [shown(update)[:1] for update in client.messages[1].snapshot.bars] == [(-3 * DAY,)]


async def test_another_subscriber_has_nothing_from_after_market_time_either(hub, bars, other, worker_db):
    for minute in range(-3 * DAY, -3 * DAY + 10):
        await bars.store(worker_db, minute, (100, 102, 99, 101))
    await bars.trade(worker_db, range(3))
    await bars.settled(hub)
    async with client_of(hub, [bars.key], "15min") as client:
        await client.take(2)
        await other.publish_of_run("run-0", other.row(-3 * DAY + 20, (1, 1, 1, 1)))
        await other.settled(hub, "15min")
        got = await snapshot(hub, bars, "15min")

    assert [bar.open_time.ToNanoseconds() for bar in got] == [OPEN - 3 * DAY * MINUTE]


async def test_a_hub_that_starts_has_nothing_from_after_market_time(make, bars, other, worker_db):
    for minute in range(-3 * DAY, -3 * DAY + 10):
        await bars.store(worker_db, minute, (100, 102, 99, 101))
    await bars.trade(worker_db, range(3))
    await other.publish_of_run("run-0", other.row(-3 * DAY + 20, (1, 1, 1, 1)))

    async with make() as hub:
        got = await snapshot(hub, bars, "15min")

    assert [bar.open_time.ToNanoseconds() for bar in got] == [OPEN - 3 * DAY * MINUTE]

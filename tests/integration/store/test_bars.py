"""Storing and merging minute bars."""

import itertools

import numpy as np
import pytest

from server.domain.errors import NotFound
from server.domain.prices import ABSENT
from server.domain.timeframes import ONE_MINUTE, Timeframe
from server.store.bars import BarQuery, BarStore
from server.store.calendar import CalendarStore
from server.store.database import Database
from server.store.records import CLOSED, LARGER_BAR, PARTIAL, Records
from tests.support.market import MINUTE, bar, instruments, nanoseconds, utc, walk

OPENED = "2025-11-10T09:15:00"
START, END = nanoseconds("2025-11-10T00:00:00"), nanoseconds("2025-11-11T00:00:00")


@pytest.fixture
async def store(worker_db: Database) -> BarStore:
    await instruments(worker_db)
    return BarStore(worker_db)


async def merge(database: Database, store: BarStore, *rows: Records) -> None:
    for row in rows:
        async with database.transaction() as transaction:
            await store.merge_bars(transaction, row)


async def stored(store: BarStore) -> Records:
    return await store.day_bars([1, 2], START, END)


async def test_a_bar_comes_back_as_it_was_given(worker_db: Database, store: BarStore):
    given = bar(2, OPENED, (1402.5, 1403.05, 1401.9, 1402.95), cumulative_max=500, cumulative_before=0, open_interest=7)
    await merge(worker_db, store, given)
    assert (await stored(store)).tolist() == given.tolist()


async def test_absent_volume_and_open_interest_stay_absent(worker_db: Database, store: BarStore):
    await merge(worker_db, store, bar(1, OPENED, (25000.1, 25001, 24999, 25000)))
    (found,) = await stored(store)
    assert (found["open_interest"], found["cumulative_max"]) == (ABSENT, ABSENT)


async def test_every_scaled_price_survives_the_double(worker_db: Database, store: BarStore):
    prices = [1, 9_999, 123_456_789, 9_999_999_999_999, 1_402_050_000]
    rows = np.concatenate([bar(2, nanoseconds(OPENED) + n * MINUTE, (1, 1, 1, 1)) for n in range(len(prices))])
    for name in ("open", "high", "low", "close"):
        rows[name] = prices
    await merge(worker_db, store, rows)
    assert (await stored(store))["close"].tolist() == prices


def versions() -> list[Records]:
    """Three writers' views of one minute: each saw some of its ticks."""
    start = nanoseconds(OPENED)
    late = {"first_time": start + 30, "last_time": start + 50, "cumulative_max": 90, "cumulative_before": 20}
    early = {"first_time": start + 10, "last_time": start + 20, "cumulative_max": 40, "cumulative_before": 25}
    middle = {"first_time": start + 20, "last_time": start + 40, "cumulative_max": 60, "cumulative_before": 25}
    return [
        bar(2, OPENED, (103, 105, 102, 104), **late, open_interest=9),
        bar(2, OPENED, (100, 101, 99, 101), **early, open_interest=5),
        bar(2, OPENED, (101, 110, 100, 102), **middle, open_interest=7),
    ]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
async def test_merging_is_commutative(worker_db: Database, store: BarStore, order: tuple[int, ...]):
    parts = versions()
    await merge(worker_db, store, *(parts[index] for index in order))
    (found,) = await stored(store)
    assert [found[name] / 10_000 for name in ("open", "high", "low", "close")] == [100, 110, 99, 104]
    assert (found["open_interest"], found["cumulative_max"], found["cumulative_before"]) == (9, 90, 25)


async def test_merging_is_idempotent(worker_db: Database, store: BarStore):
    await merge(worker_db, store, *versions())
    once = await stored(store)
    await merge(worker_db, store, *versions())
    assert (await stored(store)).tolist() == once.tolist()


async def test_ticks_of_one_time_are_ordered_by_row(worker_db: Database, store: BarStore):
    moment = nanoseconds(OPENED)
    first = bar(2, OPENED, (100, 100, 100, 100), first_time=moment, first_row=3, last_time=moment, last_row=3)
    second = bar(2, OPENED, (101, 101, 101, 101), first_time=moment, first_row=4, last_time=moment, last_row=4)
    await merge(worker_db, store, second, first)
    (found,) = await stored(store)
    assert (found["open"], found["close"]) == (1_000_000, 1_010_000)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_knowing_the_days_beginning_beats_a_baseline(
    worker_db: Database, store: BarStore, order: tuple[int, ...]
):
    start = nanoseconds(OPENED)
    counts = {"cumulative_max": 900, "first_time": start + 5, "last_time": start + 9}
    parts = [
        bar(2, OPENED, (1, 1, 1, 1), flags=PARTIAL, **counts, cumulative_before=800),
        bar(2, OPENED, (1, 1, 1, 1), flags=CLOSED, **counts, cumulative_before=700),
    ]
    await merge(worker_db, store, *(parts[index] for index in order))
    (found,) = await stored(store)
    assert (found["flags"], found["cumulative_before"]) == (CLOSED, 700)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_of_two_baselines_the_earlier_counts(worker_db: Database, store: BarStore, order: tuple[int, ...]):
    start = nanoseconds(OPENED)
    parts = [
        bar(2, OPENED, (1, 1, 1, 1), flags=PARTIAL, first_time=start + 5, cumulative_max=900, cumulative_before=800),
        bar(2, OPENED, (1, 1, 1, 1), flags=PARTIAL, first_time=start + 2, cumulative_max=850, cumulative_before=790),
    ]
    await merge(worker_db, store, *(parts[index] for index in order))
    (found,) = await stored(store)
    assert (found["flags"], found["cumulative_before"], found["cumulative_max"]) == (PARTIAL, 790, 900)


async def test_volume_is_never_negative(worker_db: Database, store: BarStore):
    await merge(worker_db, store, bar(2, OPENED, (1, 1, 1, 1), cumulative_max=10, cumulative_before=30))
    calendar = await CalendarStore(worker_db).load("NSE")
    page = await store.list_bars(BarQuery(instrument_id=2, timeframe=ONE_MINUTE), calendar, 10)
    assert page.items[0].volume == 0


async def test_bars_of_an_unknown_instrument_are_refused(worker_db: Database, store: BarStore):
    with pytest.raises(NotFound, match="no such instrument"):
        await merge(worker_db, store, bar(99, OPENED, (1, 1, 1, 1)))


async def test_days_with_bars(worker_db: Database, store: BarStore):
    await merge(worker_db, store, bar(2, OPENED, (1, 1, 1, 1)))
    wanted = [(1, START, END), (2, START, END), (2, END, END + 1_000)]
    assert await store.days_with_bars(wanted) == {(2, START, END)}


async def test_a_replayed_day_bar_replaces_the_first(worker_db: Database, store: BarStore):
    row = np.zeros(1, LARGER_BAR)
    row["instrument"], row["open_time"], row["open_interest"] = 2, START, ABSENT
    for close in (100, 200):
        row["open"] = row["high"] = row["low"] = row["close"] = close * 10_000
        async with worker_db.transaction() as transaction:
            await store.store_larger(transaction, Timeframe.parse("1day"), "kite", row)
    calendar = await CalendarStore(worker_db).load("NSE")
    page = await store.list_bars(BarQuery(instrument_id=2, timeframe=Timeframe.parse("1day")), calendar, 10)
    assert [(item.open_time, item.close) for item in page.items] == [(utc(OPENED), 200.0)]


async def test_no_rows_write_nothing(worker_db: Database, store: BarStore):
    await merge(worker_db, store, walk(2, OPENED, 0))
    assert len(await stored(store)) == 0

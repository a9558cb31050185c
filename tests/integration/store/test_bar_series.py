"""Series of all timeframes against a plain computation over the minute bars."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from server.domain.calendar import EXCHANGE_ZONE, MarketCalendar, Session
from server.domain.errors import InvalidArgument
from server.domain.prices import ABSENT
from server.domain.timeframes import TIMEFRAMES, Timeframe, Unit
from server.store.bars import Bar, BarQuery, BarStore
from server.store.calendar import CalendarStore
from server.store.database import Database
from server.store.records import LARGER_BAR, PARTIAL, Records, to_datetime
from server.store.rollups import RollupStore
from tests.support.databases import TestDatabase
from tests.support.market import bar, instruments, nanoseconds, utc, walk

# Diwali week of 2024: the muhurat session of 1 November opens at 18:00, and the month changes within the week.
DAYS = [
    walk(2, "2024-10-28T09:15:00", 375),
    walk(2, "2024-10-31T09:20:00", 370),
    walk(2, "2024-11-01T18:00:00", 60),
    walk(2, "2024-11-04T09:15:00", 300),
]
ROWS: Records = np.concatenate(DAYS)


@dataclass(frozen=True)
class Series:
    """A store with bars, and the calendar that they follow."""

    store: BarStore
    calendar: MarketCalendar

    async def all(self, name: str, **changes: object) -> Sequence[Bar]:
        return (await self.store.list_bars(query(name, **changes), self.calendar, 5_000)).items


ALL = [timeframe.name for timeframe in TIMEFRAMES]


@pytest.fixture
async def calendar(worker_db: Database) -> MarketCalendar:
    return await CalendarStore(worker_db).load("NSE")


@pytest.fixture
async def store(worker_db: Database) -> BarStore:
    return await _fill(worker_db)


async def _fill(database: Database) -> BarStore:
    await instruments(database)
    store = BarStore(database)
    async with database.transaction() as transaction:
        await store.merge_bars(transaction, ROWS)
    return store


async def _prepare(url: str, rolled_up: bool) -> None:
    async with Database.open(url, size=2) as database:
        await _fill(database)
        if rolled_up:
            await RollupStore(database).roll_up(1_000)


@pytest.fixture(scope="module", params=[False, True], ids=["fresh", "rolled up"])
def filled(request: pytest.FixtureRequest, module_database: TestDatabase) -> str:
    """URL of a database that has the bars, before and after their roll-up. For reading only."""
    asyncio.run(_prepare(module_database.worker_url, request.param))
    return module_database.worker_url


@pytest.fixture
async def series(filled: str) -> AsyncIterator[Series]:
    async with Database.open(filled, size=2) as database:
        yield Series(BarStore(database), await CalendarStore(database).load("NSE"))


def expected(name: str, calendar: MarketCalendar, rows: Records = ROWS) -> list[tuple]:
    """Bars by the definition, one minute after the other."""
    timeframe = Timeframe.parse(name)
    buckets: dict[datetime, list[tuple]] = {}
    for row in rows:
        opened = to_datetime(int(row["open_time"]))
        buckets.setdefault(_bucket(opened, timeframe, calendar), []).append(row)
    return [_bar(opened, pieces) for opened, pieces in sorted(buckets.items())]


def _bucket(opened: datetime, timeframe: Timeframe, calendar: MarketCalendar) -> datetime:
    day = opened.astimezone(EXCHANGE_ZONE).date()
    if timeframe.length is not None:
        (session,) = [item for item in calendar.session_on(day) if item.open <= opened < item.close]
        return session.open + (opened - session.open) // timeframe.length * timeframe.length
    first = {
        Unit.DAY: day,
        Unit.WEEK: day - timedelta(days=day.weekday()),
        Unit.MONTH: day.replace(day=1),
    }[timeframe.unit]
    sessions: Sequence[Session] = list(calendar.sessions_between(first, day))
    return sessions[0].open


def _bar(opened: datetime, rows: list) -> tuple:
    volume = sum(int(row["cumulative_max"] - row["cumulative_before"]) for row in rows)
    prices = (rows[0]["open"], max(row["high"] for row in rows), min(row["low"] for row in rows), rows[-1]["close"])
    return (opened, *(int(price) / 10_000 for price in prices), volume, int(rows[-1]["open_interest"]))


def plain(bars: Sequence[Bar]) -> list[tuple]:
    return [(b.open_time, b.open, b.high, b.low, b.close, b.volume, b.open_interest) for b in bars]


def query(name: str, **changes: object) -> BarQuery:
    return BarQuery(instrument_id=2, timeframe=Timeframe.parse(name), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ALL)
async def test_a_series_equals_its_definition(series: Series, name: str):
    assert plain(await series.all(name)) == expected(name, series.calendar)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("ascending", [True, False])
async def test_pages_make_up_the_series(series: Series, name: str, ascending: bool):
    size = 400 if name == "1min" else 17
    bars: list[Bar] = []
    token = ""
    while token or not bars:
        page = await series.store.list_bars(query(name, ascending=ascending), series.calendar, size, token)
        bars += page.items
        token = page.next_page_token
        if not token:
            break
    whole = expected(name, series.calendar)
    assert plain(bars) == (whole if ascending else whole[::-1])


@pytest.mark.parametrize("name", ALL)
async def test_a_range_has_whole_bars_that_begin_within_it(series: Series, name: str):
    start, end = utc("2024-10-31T10:07:00"), utc("2024-11-04T11:02:00")
    bars = await series.all(name, start=start, end=end)
    assert plain(bars) == [item for item in expected(name, series.calendar) if start <= item[0] < end]


@pytest.mark.parametrize(
    ("name", "count", "second"),
    [
        ("30min", 38, "2024-10-28T09:45:00"),
        ("1hour", 20, "2024-10-28T10:15:00"),
        ("1day", 4, "2024-10-31T09:15:00"),
        ("1week", 2, "2024-11-04T09:15:00"),
        ("1month", 2, "2024-11-01T18:00:00"),
    ],
)
async def test_buckets_begin_at_the_open(series: Series, name: str, count: int, second: str):
    bars = await series.all(name)
    assert (len(bars), bars[1].open_time) == (count, utc(second))


async def test_a_special_session_has_its_own_origin(series: Series):
    bars = await series.all("45min", start=utc("2024-11-01T00:00:00"), end=utc("2024-11-02T00:00:00"))
    assert [item.open_time for item in bars] == [utc("2024-11-01T18:00:00"), utc("2024-11-01T18:45:00")]


async def test_an_instrument_without_bars_has_an_empty_series(series: Series):
    empty = BarQuery(instrument_id=1, timeframe=Timeframe.parse("1hour"))
    page = await series.store.list_bars(empty, series.calendar, 10)
    assert (page.items, page.next_page_token) == ((), "")


async def test_a_late_bar_shows_before_it_is_rolled_up(store: BarStore, calendar: MarketCalendar, worker_db: Database):
    rollups = RollupStore(worker_db)
    await rollups.roll_up(1_000)
    late = walk(2, "2024-10-31T09:15:00", 5)
    async with worker_db.transaction() as transaction:
        await store.merge_bars(transaction, late)
    rows = np.sort(np.concatenate([ROWS, late]), order="open_time")
    for _ in range(2):
        page = await store.list_bars(query("15min"), calendar, 5_000)
        assert plain(page.items) == expected("15min", calendar, rows)
        await rollups.roll_up(1_000)


async def test_the_bar_that_market_time_is_in_is_open(series: Series):
    bars = await series.all("1day", market_time=utc("2024-11-04T14:10:00"))
    assert [item.closed for item in bars] == [True, True, True, False]


@pytest.mark.parametrize("moment", ["2024-10-28T11:07:30", "2024-11-01T18:20:00", "2024-11-03T12:00:00"])
@pytest.mark.parametrize("name", ALL)
async def test_without_an_end_a_series_knows_nothing_behind_market_time(series: Series, name: str, moment: str):
    bars = await series.all(name, market_time=utc(moment))
    known = ROWS[ROWS["open_time"] <= nanoseconds(moment)]
    assert plain(bars) == expected(name, series.calendar, known)


@pytest.mark.parametrize("name", ["1min", "15min", "1day"])
async def test_an_end_behind_market_time_is_taken_at_its_word(series: Series, name: str):
    bars = await series.all(name, market_time=utc("2024-10-28T11:07:30"), end=utc("2024-11-05T00:00:00"))
    assert plain(bars) == expected(name, series.calendar)


async def test_recorded_bars_fill_what_minutes_lack(store: BarStore, calendar: MarketCalendar, worker_db: Database):
    rows = np.zeros(2, LARGER_BAR)
    rows["instrument"] = 2
    rows["open_time"] = [nanoseconds("2024-10-25T00:00:00"), nanoseconds("2024-10-28T00:00:00")]
    rows["open"] = rows["high"] = rows["low"] = rows["close"] = 777_0000
    rows["volume"], rows["open_interest"] = 5, ABSENT
    async with worker_db.transaction() as transaction:
        await store.store_larger(transaction, Timeframe.parse("1day"), "kite", rows)
    page = await store.list_bars(query("1day"), calendar, 10)
    recorded = (utc("2024-10-25T09:15:00"), 777.0, 777.0, 777.0, 777.0, 5, None)
    assert plain(page.items) == [recorded, *expected("1day", calendar)]


async def test_a_recorded_day_counts_where_minutes_miss_a_part(
    store: BarStore, calendar: MarketCalendar, worker_db: Database
):
    minute = bar(2, "2024-10-24T15:29:00", (1.0, 1.0, 1.0, 1.0), cumulative_max=70, cumulative_before=70)
    minute["flags"] |= PARTIAL
    rows = np.zeros(1, LARGER_BAR)
    rows["instrument"], rows["open_time"], rows["open_interest"] = 2, nanoseconds("2024-10-24T00:00:00"), ABSENT
    rows["open"] = rows["high"] = rows["low"] = rows["close"] = 1_0000
    rows["volume"] = 70
    async with worker_db.transaction() as transaction:
        await store.merge_bars(transaction, minute)
        await store.store_larger(transaction, Timeframe.parse("1day"), "replay", rows)

    found = [(await store.list_bars(query(name), calendar, 1)).items[0] for name in ("1day", "1week", "1hour")]

    assert [(item.volume, item.partial) for item in found] == [(70, False), (0, True), (0, True)]


async def test_recorded_days_add_up_to_weeks(store: BarStore, calendar: MarketCalendar, worker_db: Database):
    rows = np.zeros(2, LARGER_BAR)
    rows["instrument"] = 1
    rows["open_time"] = [nanoseconds("2024-10-22T00:00:00"), nanoseconds("2024-10-23T00:00:00")]
    rows["open"], rows["close"] = [10_0000, 11_0000], [11_0000, 12_0000]
    rows["high"], rows["low"], rows["open_interest"] = [15_0000, 14_0000], [9_0000, 8_0000], ABSENT
    async with worker_db.transaction() as transaction:
        await store.store_larger(transaction, Timeframe.parse("1day"), "kite", rows)
    weekly = BarQuery(instrument_id=1, timeframe=Timeframe.parse("1week"))
    page = await store.list_bars(weekly, calendar, 10)
    assert plain(page.items) == [(utc("2024-10-21T09:15:00"), 10.0, 15.0, 8.0, 12.0, 0, None)]


@pytest.mark.parametrize("token", ["x", "!!!!", "eyJhIjoxfQ", "W10"])
async def test_a_made_up_token_is_refused(series: Series, token: str):
    with pytest.raises(InvalidArgument) as raised:
        await series.store.list_bars(query("1min"), series.calendar, 10, token)
    assert raised.value.reason == "PAGE_TOKEN_INVALID"


async def test_times_are_utc(series: Series):
    assert (await series.all("1day"))[0].open_time.tzinfo == UTC

"""Minutes of options: saved once, and read back in buckets of any timeframe."""

from datetime import datetime, timedelta

import psycopg
import pytest

from server.domain.calendar import MarketCalendar
from server.domain.instruments import InstrumentKind
from server.domain.timeframes import Timeframe
from server.store.bars import BarStore
from server.store.calendar import CalendarStore
from server.store.database import Database
from server.store.expiry_metrics import ExpiryMetricsStore
from server.store.option_minutes import OptionMinuteStore, Sampled
from server.store.rollups import RollupStore
from server.store.windows import Cut, windows_between
from tests.support.databases import TestDatabase
from tests.support.market import NIFTY, bar, instruments, option, utc
from tests.support.option_minutes import EXPIRY, contract, minute, strike

DAY = (utc("2025-11-10T00:00:00"), utc("2025-11-11T00:00:00"))
ALWAYS = (utc("2000-01-01T00:00:00"), utc("2100-01-01T00:00:00"))
CALL, PUT = 2, 3


@pytest.fixture
async def store(worker_db: Database) -> OptionMinuteStore:
    await instruments(worker_db, NIFTY, option(25_000), option(25_000, InstrumentKind.PUT))
    return OptionMinuteStore(worker_db)


@pytest.fixture
def metrics(worker_db: Database) -> ExpiryMetricsStore:
    return ExpiryMetricsStore(worker_db)


@pytest.fixture
async def calendar(worker_db: Database) -> MarketCalendar:
    return await CalendarStore(worker_db).load("NSE")


async def save(database: Database, store: OptionMinuteStore, *minutes) -> int:
    async with database.transaction() as transaction:
        return await store.save_minutes(transaction, minutes)


async def figures(store: OptionMinuteStore, calendar: MarketCalendar, timeframe: str, span=ALWAYS, limit=100):
    return await store.figures([CALL, PUT], Timeframe.parse(timeframe), calendar, span, limit)


def cut_of(calendar: MarketCalendar, timeframe: str) -> Cut:
    length = Timeframe.parse(timeframe)
    return Cut(length, windows_between(length, calendar, DAY, DAY))


async def test_a_minute_reads_back_as_it_was_saved(worker_db, store, calendar):
    call = contract(CALL, 4, volatility=0.14, delta=0.52, vanna=-0.003, spread=0.5, spread_pct=0.2, score=91.0)
    assert await save(worker_db, store, minute("2025-11-10T09:15:00", strike(25_000, call))) == 1
    (found,) = await figures(store, calendar, "1min")
    assert (found.instrument_id, found.open_time, found.samples) == (CALL, utc("2025-11-10T09:15:00"), 4)
    assert (found.spot, found.forward) == (25_000.0, 25_040.0)
    assert found.sampled["volatility"] == Sampled(pytest.approx(0.14), 4, 0.14)
    assert found.sampled["theta"] == Sampled(None, 0, None)
    assert (found.second_order["vanna"], found.second_order["charm"]) == (-0.003, None)
    assert found.book == {"spread": 0.5, "spread_pct": 0.2, "liquidity_score": 91.0}


async def test_a_contract_without_a_figure_leaves_no_row(worker_db, store, calendar):
    rows = strike(25_000, contract(CALL, 0), contract(PUT, 0, spread=0.1))
    assert await save(worker_db, store, minute("2025-11-10T09:15:00", rows)) == 1
    (found,) = await figures(store, calendar, "1min")
    assert (found.instrument_id, found.samples, found.sampled["delta"].mean) == (PUT, 0, None)


async def test_saving_again_changes_nothing(worker_db, store, calendar):
    once = minute("2025-11-10T09:15:00", strike(25_000, contract(CALL, 4, volatility=0.14)))
    await save(worker_db, store, once)
    before = await figures(store, calendar, "1min")
    assert await save(worker_db, store, once) == 0
    assert await figures(store, calendar, "1min") == before


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_of_two_versions_the_one_with_more_samples_stays(worker_db, store, metrics, calendar, order):
    versions = (
        minute("2025-11-10T09:15:00", strike(25_000, contract(CALL, 9, delta=0.5)), metrics={"pcr_oi": 0.9}),
        minute("2025-11-10T09:15:00", strike(25_000, contract(CALL, 3, delta=0.7)), metrics={"pcr_oi": 0.2}),
    )
    for number in order:
        await save(worker_db, store, versions[number])
    (found,) = await figures(store, calendar, "1min")
    (series,) = await metrics.series("NIFTY", EXPIRY, Timeframe.parse("1min"), calendar, ALWAYS, 10)
    assert (found.samples, found.sampled["delta"].last, series.samples, series.metrics.pcr_oi) == (9, 0.5, 9, 0.9)


async def test_two_versions_in_one_batch(worker_db, store, calendar):
    await save(
        worker_db,
        store,
        minute("2025-11-10T09:15:00", strike(25_000, contract(CALL, 3, delta=0.7))),
        minute("2025-11-10T09:15:00", strike(25_000, contract(CALL, 9, delta=0.5))),
    )
    (found,) = await figures(store, calendar, "1min")
    assert found.samples == 9


async def test_a_mean_over_minutes_weighs_each_sample_alike(worker_db, store, calendar):
    """2 samples of 0.10 and 6 of 0.20 make a mean of 0.175."""
    await save(
        worker_db,
        store,
        minute("2025-11-10T09:15:00", strike(25_000, contract(CALL, 2, volatility=0.10, colour=1.0))),
        minute("2025-11-10T09:17:00", strike(25_000, contract(CALL, 6, volatility=0.20))),
    )
    (found,) = await figures(store, calendar, "5min")
    assert found.sampled["volatility"] == Sampled(pytest.approx(0.175), 8, 0.20)
    assert (found.open_time, found.second_order["colour"]) == (utc("2025-11-10T09:15:00"), 1.0)


@pytest.mark.parametrize("rolled_up", [False, True])
@pytest.mark.parametrize(("timeframe", "starts"), [
    ("3min", ["09:15", "09:18", "09:45"]), ("5min", ["09:15", "09:20", "09:45"]), ("15min", ["09:15", "09:45"]),
    ("30min", ["09:15", "09:45"]), ("1hour", ["09:15"]), ("1day", ["09:15"]),
])  # fmt: skip
async def test_buckets_begin_at_the_sessions_open(worker_db, store, calendar, timeframe, starts, rolled_up):
    minutes = [minute(f"2025-11-10T09:{at}:00", strike(25_000, contract(CALL, 1, delta=0.5))) for at in (16, 20, 47)]
    await save(worker_db, store, *minutes)
    if rolled_up:
        assert await RollupStore(worker_db).roll_up() == 2
    found = await figures(store, calendar, timeframe)
    assert [bucket.open_time for bucket in found] == [utc(f"2025-11-10T{start}:00") for start in starts]
    assert sum(bucket.samples for bucket in found) == 3


async def test_a_limit_counts_lengths_of_time_not_contracts(worker_db, store, calendar):
    both = strike(25_000, contract(CALL, 1, delta=0.5), contract(PUT, 1, delta=-0.5))
    await save(worker_db, store, *(minute(f"2025-11-10T09:{at}:00", both) for at in (15, 16, 17)))
    found = await figures(store, calendar, "1min", limit=2)
    assert [bucket.instrument_id for bucket in found] == [CALL, PUT, CALL, PUT]


async def test_the_bucket_that_market_time_is_in_is_open(worker_db, store, calendar):
    await save(
        worker_db, store, *(minute(f"2025-11-10T09:{at}:00", strike(25_000, contract(CALL, 1))) for at in (15, 20))
    )
    found = await store.figures(
        [CALL], Timeframe.parse("5min"), calendar, DAY, 10, market_time=utc("2025-11-10T09:21:07")
    )
    assert [bucket.closed for bucket in found] == [True, False]


async def test_means_of_many_contracts(worker_db, store, calendar):
    rows = strike(25_000, contract(CALL, 2, volatility=0.1, delta=0.6), contract(PUT, 2, delta=-0.4))
    await save(worker_db, store, minute("2025-11-10T09:15:00", rows))
    found = await store.means([CALL, PUT], cut_of(calendar, "5min"), "delta")
    assert {(row.instrument_id, row.mean, row.volatility) for row in found} == {(CALL, 0.6, 0.1), (PUT, -0.4, None)}


async def test_prices_of_many_contracts(worker_db, store, calendar):
    async with worker_db.transaction() as transaction:
        for at, close, total in (("09:15", 101.5, 75), ("09:16", 99.05, 225)):
            row = bar(CALL, f"2025-11-10T{at}:00", (100, 102, 99, close), cumulative_max=total, open_interest=total * 2)
            row["cumulative_before"] = 0 if total == 75 else 75
            await BarStore(worker_db).merge_bars(transaction, row)
    (found,) = await store.prices([CALL, PUT], cut_of(calendar, "5min"))
    assert (found.close, found.volume) == (99.05, 225)


async def test_open_interest_is_known_without_a_trade(worker_db, store, calendar):
    """The put did not trade; the call traded at 09:15 and its open interest changed again at 09:16."""
    await save(
        worker_db,
        store,
        minute("2025-11-10T09:16:00", strike(25_000, contract(CALL, 0, open_interest=120), contract(PUT, 1))),
        minute("2025-11-10T09:17:00", strike(25_000, None, contract(PUT, 0, open_interest=75))),
    )
    async with worker_db.transaction() as transaction:
        await BarStore(worker_db).merge_bars(
            transaction, bar(CALL, "2025-11-10T09:15:00", (1, 1, 1, 1), open_interest=100)
        )
    at_minutes = await store.open_interest([CALL, PUT], cut_of(calendar, "1min"))
    at_fives = await store.open_interest([CALL, PUT], cut_of(calendar, "5min"))
    assert sorted((row.open_time.minute, row.open_interest) for row in at_minutes) == [(45, 100), (46, 120), (47, 75)]
    assert {(row.instrument_id, row.open_interest) for row in at_fives} == {(CALL, 120), (PUT, 75)}


async def test_the_last_open_interest_of_days(worker_db, store):
    await save(worker_db, store, minute("2025-11-10T15:29:00", strike(25_000, contract(CALL, 0, open_interest=130))))
    async with worker_db.transaction() as transaction:
        for day, level in (("2025-11-07", 90), ("2025-11-10", 120)):
            await BarStore(worker_db).merge_bars(
                transaction, bar(CALL, f"{day}T15:28:00", (1, 1, 1, 1), open_interest=level)
            )
    starts = [utc(f"2025-11-{day}T00:00:00") for day in ("06", "07", "10")]
    found = await store.closing_open_interest(CALL, [(start, start + timedelta(days=1)) for start in starts])
    assert found == {starts[1]: 90, starts[2]: 130}


async def test_metrics_of_a_bucket_are_its_last(worker_db, store, metrics, calendar):
    await save(
        worker_db,
        store,
        minute("2025-11-10T09:15:00", metrics={"pcr_oi": 0.8, "max_pain": 25_000.0}),
        minute("2025-11-10T09:19:00", metrics={"pcr_oi": 0.9}, years=0.0399),
        minute("2025-11-10T09:20:00", metrics={"pcr_oi": 1.1, "call_open_interest": 1_234_575.0}),
    )
    found = await metrics.series("NIFTY", EXPIRY, Timeframe.parse("5min"), calendar, DAY, 10)
    assert [(row.open_time, row.metrics.pcr_oi) for row in found] == [
        (utc("2025-11-10T09:15:00"), 0.9),
        (utc("2025-11-10T09:20:00"), 1.1),
    ]
    assert (found[0].years, found[0].metrics.max_pain, found[0].rate) == (0.0399, None, 0.065)
    assert found[1].metrics.call_open_interest == 1_234_575


async def test_a_moment_is_the_newest_valued_minute(worker_db, store):
    await save(
        worker_db,
        store,
        minute("2025-11-10T09:15:00", strike(25_000, contract(CALL, 1, volatility=0.1, delta=0.5))),
        minute("2025-11-10T09:16:00", strike(25_000, contract(CALL, 1))),
    )
    found = await store.at(CALL, utc("2025-11-10T09:00:00"), utc("2025-11-10T09:17:00"))
    assert found is not None
    assert (found.open_time, found.figures["delta"], found.figures["zomma"], found.close) == (
        utc("2025-11-10T09:15:00"), 0.5, None, None,
    )  # fmt: skip
    assert await store.at(CALL, utc("2025-11-10T09:16:00"), utc("2025-11-10T09:17:00")) is None


async def test_an_undone_save_leaves_nothing(worker_db, store, calendar):
    async def fail() -> None:
        async with worker_db.transaction() as transaction:
            await store.save_minutes(transaction, [minute("2025-11-10T09:15:00", strike(25_000, contract(CALL, 1)))])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await figures(store, calendar, "1min") == []
    assert await RollupStore(worker_db).waiting() == 0


async def test_more_rows_than_one_statement_takes(worker_db, store, calendar):
    start = datetime.fromisoformat("2025-11-10T09:15:00+05:30")
    times = (int((start + timedelta(minutes=number % 375, days=number // 375)).timestamp()) for number in range(2_200))
    rows = strike(25_000, contract(CALL, 1, delta=0.5))
    assert await save(worker_db, store, *(minute(second * 10**9, rows) for second in times)) == 2_200


def test_forgotten_is_what_was_recorded_long_ago_whatever_day_it_shows(database: TestDatabase):
    with database.connect() as owner:
        owner.execute(
            "INSERT INTO instruments (exchange, tradingsymbol, kind, tick_size, lot_size, provenance) "
            "VALUES ('NSE', 'X', 'EQUITY', 0.05, 1, 'kite')"
        )
        columns = ("volatility", "delta", "gamma", "theta", "vega", "rho")
        sums = ", ".join(f"{name}_sum, {name}_count" for name in columns)
        for day in ("2019-05-02", "2025-11-10"):
            owner.execute(
                f"INSERT INTO option_minutes (instrument_id, open_time, samples, {sums}) "
                f"VALUES (1, '{day} 04:00Z', 1{', 0, 0' * len(columns)})"
            )
        owner.execute(
            "UPDATE _timescaledb_catalog.chunk SET creation_time = now() - interval '40 days' WHERE table_name = "
            "(SELECT chunk_name FROM timescaledb_information.chunks WHERE hypertable_name = 'option_minutes' "
            "ORDER BY range_start DESC LIMIT 1)"
        )
    with database.connect(database.worker_url) as worker:
        dropped = worker.execute("SELECT forget_option_minutes('30 days')").fetchone()
        left = worker.execute("SELECT open_time::date::text FROM option_minutes").fetchall()
    assert (dropped, left) == ((1,), [("2019-05-02",)])


@pytest.mark.parametrize(("role", "kept"), [("api_url", "30 days"), ("worker_url", "23 hours")])
def test_nobody_forgets_what_he_should_keep(database: TestDatabase, role: str, kept: str):
    with database.connect(getattr(database, role)) as connection, pytest.raises(psycopg.Error, match=r"forget|a day"):
        connection.execute("SELECT forget_option_minutes(%s)", [kept])

"""The queue of dirty quarter hours, and what it keeps equal."""

import asyncio
from datetime import timedelta

import numpy as np
import pytest

from server.domain.prices import ABSENT
from server.store.bars import BarStore
from server.store.database import Database
from server.store.option_minutes import OptionMinuteStore
from server.store.rollups import Edition, RollupStore
from tests.support.databases import TestDatabase
from tests.support.market import MINUTE, bar, instruments, nanoseconds, walk
from tests.support.option_minutes import contract, minute, strike

DIRECT = """
    SELECT instrument_id, time_bucket(%(length)s::interval, open_time), first(open, open_time), max(high), min(low),
           last(close, open_time), sum(volume)::bigint,
           last(open_interest, open_time) FILTER (WHERE open_interest IS NOT NULL), bool_or(partial), bool_and(closed),
           count(*)::integer
    FROM bars_1m GROUP BY 1, 2 ORDER BY 1, 2
"""
DIRECT_FIGURES = """
    SELECT instrument_id, time_bucket(%(length)s::interval, open_time), sum(samples)::integer, sum(delta_sum),
           sum(delta_count)::integer, last(delta, open_time) FILTER (WHERE delta IS NOT NULL),
           last(spread, open_time) FILTER (WHERE spread IS NOT NULL), last(spot, open_time), count(*)::integer,
           last(open_interest, open_time) FILTER (WHERE open_interest IS NOT NULL)
    FROM option_minutes GROUP BY 1, 2 ORDER BY 1, 2
"""
ROLLED_FIGURES = """
    SELECT instrument_id, open_time, samples, delta_sum, delta_count, delta, spread, spot, minutes, open_interest
    FROM {} ORDER BY 1, 2
"""
DIRECT_METRICS = """
    SELECT DISTINCT ON (expiry, time_bucket(%(length)s::interval, open_time)) expiry,
           time_bucket(%(length)s::interval, open_time), pcr_oi, forward, forward_source, years
    FROM expiry_metrics ORDER BY 1, 2, open_time DESC
"""
ROLLED_METRICS = "SELECT expiry, open_time, pcr_oi, forward, forward_source, years FROM {} ORDER BY 1, 2"
ADVISORY_LOCKS = """
    FROM pg_locks JOIN pg_database ON pg_database.oid = database
    WHERE locktype = 'advisory' AND datname = current_database()
"""
ROLLED = """
    SELECT instrument_id, open_time, open, high, low, close, volume, open_interest, partial, closed, minutes
    FROM {} ORDER BY 1, 2
"""


@pytest.fixture
async def bars(worker_db: Database) -> BarStore:
    await instruments(worker_db)
    return BarStore(worker_db)


@pytest.fixture
def rollups(worker_db: Database) -> RollupStore:
    return RollupStore(worker_db)


async def merge(database: Database, bars: BarStore, rows: np.ndarray) -> None:
    async with database.transaction() as transaction:
        await bars.merge_bars(transaction, rows)


def assert_parity(database: TestDatabase) -> None:
    """Both roll-ups of everything equal a direct aggregation over the minutes."""
    sources = (
        ("bars", DIRECT, ROLLED),
        ("option_minutes", DIRECT_FIGURES, ROLLED_FIGURES),
        ("expiry_metrics", DIRECT_METRICS, ROLLED_METRICS),
    )
    with database.connect() as connection:
        for table, direct, rolled in sources:
            for minutes in (5, 15):
                expected = connection.execute(direct, {"length": timedelta(minutes=minutes)}).fetchall()
                assert connection.execute(rolled.format(f"{table}_{minutes}m")).fetchall() == expected


async def test_roll_ups_equal_a_direct_aggregation(
    worker_db: Database, bars: BarStore, rollups: RollupStore, database: TestDatabase
):
    await merge(worker_db, bars, np.concatenate([walk(1, "2025-11-10T09:15:00", 100, volume=False),
                                                 walk(2, "2025-11-10T09:21:00", 90)]))  # fmt: skip
    assert await rollups.roll_up(100) == 7
    assert_parity(database)


async def test_an_old_day_after_a_newer_one_is_rolled_up_too(
    worker_db: Database, bars: BarStore, rollups: RollupStore, database: TestDatabase
):
    await merge(worker_db, bars, walk(2, "2025-11-10T09:15:00", 20))
    await rollups.roll_up(100)
    await merge(worker_db, bars, walk(2, "2019-05-02T09:15:00", 20))
    assert await rollups.roll_up(100) == 2
    assert_parity(database)


async def test_a_late_change_is_rolled_up_again(
    worker_db: Database, bars: BarStore, rollups: RollupStore, database: TestDatabase
):
    await merge(worker_db, bars, walk(2, "2025-11-10T09:15:00", 20))
    await rollups.roll_up(100)
    await merge(worker_db, bars, bar(2, "2025-11-10T09:16:00", (1, 500, 0.5, 2)))
    assert await rollups.roll_up(100) == 1
    assert_parity(database)


async def test_figures_of_options_are_rolled_up_too(
    worker_db: Database, bars: BarStore, rollups: RollupStore, database: TestDatabase
):
    start = nanoseconds("2025-11-10T09:15:00")
    minutes = [
        minute(
            start + number * MINUTE,
            strike(
                25_000,
                contract(
                    2,
                    number % 4,
                    open_interest=number if number % 3 else ABSENT,
                    delta=number / 64,
                    **({"spread": number / 8} if number % 7 else {}),
                ),
                contract(1, 2) if number % 2 else None,
            ),
            spot=25_000.0 + number,
            forward=None if number % 5 == 4 else 25_040.0 + number,
            metrics={"pcr_oi": number / 32},
        )
        for number in range(40)
    ]
    async with worker_db.transaction() as transaction:
        await OptionMinuteStore(worker_db).save_minutes(transaction, minutes)
    assert await rollups.roll_up(100) == 3
    with database.connect() as connection:
        assert connection.execute("SELECT count(*) FROM option_minutes_15m").fetchone() == (6,)
    assert_parity(database)


async def test_prices_stand_beside_the_figures_of_the_same_time(
    worker_db: Database, bars: BarStore, rollups: RollupStore, database: TestDatabase
):
    await merge(worker_db, bars, walk(2, "2025-11-10T09:15:00", 15))
    async with worker_db.transaction() as transaction:
        figures = minute("2025-11-10T09:15:00", strike(25_000, contract(2, 3, delta=0.5)))
        await OptionMinuteStore(worker_db).save_minutes(transaction, [figures])
    await rollups.roll_up(100)
    with database.connect(database.api_url) as connection:
        for length in ("1m", "5m", "15m"):
            joined = f"SELECT delta, open, high, low, close, volume FROM option_bars_{length}"
            bar_alone = f"SELECT 0.5, open, high, low, close, volume FROM bars_{length} ORDER BY open_time"
            assert connection.execute(joined).fetchall() == [connection.execute(bar_alone).fetchone()]


async def test_work_is_done_in_portions(worker_db: Database, bars: BarStore, rollups: RollupStore):
    await merge(worker_db, bars, walk(2, "2025-11-10T09:15:00", 100))
    done = [await rollups.roll_up(3) for _ in range(4)]
    assert (done, await rollups.waiting()) == ([3, 3, 1, 0], 0)


async def test_a_quarter_that_still_fills_is_left_alone(worker_db: Database, bars: BarStore, rollups: RollupStore):
    await merge(worker_db, bars, walk(2, "2025-11-10T09:15:00", 20))
    assert await rollups.roll_up(100, settle=3_600) == 0
    assert await rollups.waiting() == 2


async def test_a_change_that_is_not_committed_is_not_lost(
    worker_db: Database, bars: BarStore, rollups: RollupStore, database: TestDatabase
):
    """Its mark has a smaller id than one that is rolled up meanwhile."""
    await merge(worker_db, bars, bar(2, "2025-11-10T09:15:00", (1, 2, 1, 2)))  # makes the chunk, which locks
    await rollups.roll_up(100)
    async with worker_db.transaction() as slow:
        await bars.merge_bars(slow, bar(1, "2025-11-10T09:16:00", (1, 2, 1, 2)))
        await merge(worker_db, bars, bar(2, "2025-11-10T09:15:00", (1, 2, 1, 2)))
        assert await rollups.roll_up(100) == 1
    assert await rollups.roll_up(100) == 1
    assert_parity(database)


async def test_an_undone_change_leaves_no_mark(worker_db: Database, bars: BarStore, rollups: RollupStore):
    async def fail() -> None:
        async with worker_db.transaction() as transaction:
            await bars.merge_bars(transaction, walk(2, "2025-11-10T09:15:00", 20))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await rollups.waiting() == 0


async def test_several_workers_share_the_queue(
    worker_db: Database, bars: BarStore, rollups: RollupStore, database: TestDatabase
):
    await merge(worker_db, bars, walk(2, "2025-11-10T09:15:00", 100))
    await asyncio.gather(*(rollups.roll_up(100) for _ in range(4)))
    assert await rollups.waiting() == 0
    assert_parity(database)


async def test_one_worker_rolls_up_at_a_time(
    worker_db: Database, bars: BarStore, rollups: RollupStore, database: TestDatabase
):
    await merge(worker_db, bars, walk(2, "2025-11-10T09:15:00", 20))
    with database.connect() as other:
        other.execute("SELECT pg_advisory_lock(hashtext('strikeline rollup'))")
        assert await rollups.roll_up(100) == 0
        other.execute("SELECT pg_advisory_unlock(hashtext('strikeline rollup'))")
        assert await rollups.roll_up(100) == 2
        assert other.execute(f"SELECT count(*) {ADVISORY_LOCKS}").fetchone() == (0,)


async def test_the_edition_is_known(rollups: RollupStore, database: TestDatabase):
    with database.connect() as connection:
        (licence,) = connection.execute("SELECT current_setting('timescaledb.license')").fetchone() or ("",)
    assert await rollups.edition() is (Edition.COMMUNITY if licence == "timescale" else Edition.APACHE)


@pytest.mark.community
async def test_community_rolls_up_by_continuous_aggregates(
    worker_db: Database, bars: BarStore, rollups: RollupStore, database: TestDatabase
):
    if await rollups.edition() is not Edition.COMMUNITY:
        pytest.skip("DATABASE_URL is no Community edition of TimescaleDB: continuous aggregates are not tested")
    await merge(worker_db, bars, walk(2, "2025-11-10T09:15:00", 100))
    with database.connect() as connection:
        views = connection.execute("SELECT view_name FROM timescaledb_information.continuous_aggregates").fetchall()
    assert {name for (name,) in views} == {
        f"{source}_{length}" for source in ("bars", "option_minutes", "expiry_metrics") for length in ("5m", "15m")
    }
    await rollups.roll_up(100)
    assert_parity(database)


SERIES = "SELECT series::text FROM {}_series AS series ORDER BY 1"
COMPRESSED = """
    SELECT hypertable_name, count(*) FROM timescaledb_information.chunks WHERE is_compressed GROUP BY 1 ORDER BY 1
"""
LATE = "SELECT (SELECT count(*) FROM bars_1m), (SELECT count(*) FROM option_minutes WHERE samples = 4)"


def run_policies(database: TestDatabase) -> None:
    """What TimescaleDB's scheduler does in time. Tests have none: each says when."""
    with database.connect() as connection:
        jobs = connection.execute("SELECT job_id FROM timescaledb_information.jobs WHERE job_id >= 1000").fetchall()
        for (job,) in jobs:
            connection.execute(f"CALL run_job({job})")


def all_series(database: TestDatabase) -> list[list[tuple[str]]]:
    """What readers see, of the whole database."""
    with database.connect(database.api_url) as connection:
        return [connection.execute(SERIES.format(name)).fetchall() for name in ("bars", "option_minutes",
                                                                                "expiry_metrics")]  # fmt: skip


async def save_minutes(database: Database, *positions: int, samples: int) -> None:
    start = nanoseconds("2025-11-10T09:15:00")
    minutes = [
        minute(start + number * MINUTE, strike(25_000, contract(2, samples, delta=samples / 8)), spot=25_000.0 + number)
        for number in positions
    ]
    async with database.transaction() as transaction:
        await OptionMinuteStore(database).save_minutes(transaction, minutes)


@pytest.mark.community
async def test_late_rows_of_a_compressed_day_are_rolled_up_too(
    worker_db: Database, bars: BarStore, rollups: RollupStore, database: TestDatabase
):
    if await rollups.edition() is not Edition.COMMUNITY:
        pytest.skip("DATABASE_URL is no Community edition of TimescaleDB: compression is not tested")
    await merge(worker_db, bars, walk(2, "2025-11-10T09:15:00", 60))
    await save_minutes(worker_db, *range(40), samples=2)
    await rollups.roll_up(100)
    before = all_series(database)
    run_policies(database)
    with database.connect() as connection:
        compressed = connection.execute(COMPRESSED).fetchall()
    assert compressed == [("bars_1m", 1), ("expiry_metrics", 1), ("option_minutes", 1)]
    assert all_series(database) == before
    await merge(worker_db, bars, np.concatenate([bar(2, "2025-11-10T09:16:00", (1, 500, 0.5, 2)),
                                                 walk(1, "2025-11-10T09:20:00", 3, volume=False)]))  # fmt: skip
    await save_minutes(worker_db, 7, 8, 50, samples=4)
    with database.connect() as connection:
        assert connection.execute(LATE).fetchone() == (63, 3)
    assert await rollups.roll_up(100) == 2
    assert_parity(database)
    run_policies(database)
    assert_parity(database)

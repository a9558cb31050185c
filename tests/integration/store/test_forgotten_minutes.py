"""What stays of minutes of options that were forgotten, and how old days that are kept can be written again."""

import pytest

from server.store.bars import BarStore
from server.store.database import Database
from server.store.option_minutes import OptionMinuteStore
from server.store.rollups import Edition, RollupStore
from tests.support.databases import TestDatabase
from tests.support.market import MINUTE, bar, instruments, nanoseconds
from tests.support.option_minutes import contract, minute, strike

START = nanoseconds("2025-11-10T09:15:00")
ROLLED = "SELECT open_time, minutes, delta FROM option_minutes_{}m WHERE instrument_id = 2 ORDER BY open_time"
SUMS = ("volatility", "delta", "gamma", "theta", "vega", "rho")
DAY_OF_MANY = f"""
    INSERT INTO option_minutes (instrument_id, open_time, samples, {", ".join(f"{n}_sum, {n}_count" for n in SUMS)})
    SELECT contract, TIMESTAMPTZ '2025-11-10 03:45Z' + minute * INTERVAL '1 minute', 1 {", 0, 0" * len(SUMS)}
    FROM generate_series(1, 300) AS contract, generate_series(0, 374) AS minute
"""
MANY = """
    INSERT INTO instruments (exchange, tradingsymbol, kind, tick_size, lot_size, provenance)
    SELECT 'NSE', 'X' || number, 'EQUITY', 0.05, 1, 'kite' FROM generate_series(1, 300) AS number
"""


async def save(database: Database, *positions: int, delta: float) -> None:
    """Minutes of contract 2, numbered from the open."""
    minutes = [minute(START + n * MINUTE, strike(25_000, contract(2, 1, delta=delta))) for n in positions]
    async with database.transaction() as transaction:
        await OptionMinuteStore(database).save_minutes(transaction, minutes)


def rolled(database: TestDatabase) -> list[list[tuple[object, ...]]]:
    with database.connect() as connection:
        return [connection.execute(ROLLED.format(length)).fetchall() for length in (5, 15)]


@pytest.fixture
async def forgotten(worker_db: Database, database: TestDatabase) -> list[list[tuple[object, ...]]]:
    """The roll-ups of a quarter hour whose minutes are gone since."""
    await instruments(worker_db)
    await save(worker_db, *range(15), delta=0.5)
    await RollupStore(worker_db).roll_up()
    with database.connect() as connection:
        connection.execute("SELECT drop_chunks('option_minutes', older_than => now())")
    return rolled(database)


async def test_a_late_bar_leaves_the_roll_ups_of_forgotten_minutes(
    worker_db: Database, database: TestDatabase, forgotten: list[list[tuple[object, ...]]]
):
    async with worker_db.transaction() as transaction:
        await BarStore(worker_db).merge_bars(transaction, bar(2, "2025-11-10T09:16:00", (1, 2, 1, 2)))
    assert await RollupStore(worker_db).roll_up() == 1
    assert [len(rows) for rows in forgotten] == [3, 1]
    assert rolled(database) == forgotten


async def test_a_part_of_the_forgotten_minutes_does_not_replace_their_roll_up(
    worker_db: Database, database: TestDatabase, forgotten: list[list[tuple[object, ...]]]
):
    await save(worker_db, 1, 7, delta=0.75)
    assert await RollupStore(worker_db).roll_up() == 1
    assert rolled(database) == forgotten


async def test_forgotten_minutes_that_are_all_there_again_are_rolled_up_again(
    worker_db: Database, database: TestDatabase, forgotten: list[list[tuple[object, ...]]]
):
    await save(worker_db, *range(15), delta=0.75)
    await RollupStore(worker_db).roll_up()
    expected = [[(open_time, minutes, 0.75) for open_time, minutes, _ in rows] for rows in forgotten]
    assert rolled(database) == expected


@pytest.mark.community
async def test_a_compressed_day_of_many_contracts_can_be_written_again(worker_db: Database, database: TestDatabase):
    """By default TimescaleDB unpacks 100,000 rows for one transaction and no more; these are 112,500."""
    if await RollupStore(worker_db).edition() is not Edition.COMMUNITY:
        pytest.skip("DATABASE_URL is no Community edition of TimescaleDB: compression is not tested")
    with database.connect() as connection:
        connection.execute(MANY)
        connection.execute(DAY_OF_MANY)
        connection.execute("SELECT compress_chunk(chunk) FROM show_chunks('option_minutes') AS chunk")
    strikes = [strike(number, contract(number, 2, delta=0.5)) for number in range(1, 301)]
    async with worker_db.transaction() as transaction:
        written = await OptionMinuteStore(worker_db).save_minutes(transaction, [minute(START, *strikes)])
    assert written == 300

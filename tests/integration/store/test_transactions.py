"""What a transaction promises."""

import asyncio

import pytest

from server.domain.errors import (
    Aborted,
    AlreadyExists,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    StrikelineError,
    Unavailable,
)
from server.store.database import Database, Transaction
from tests.support.databases import TestDatabase

INSERT = "INSERT INTO leases VALUES ($1, 'owner', 1, now())"


@pytest.fixture
def db(worker_db: Database) -> Database:
    return worker_db


async def slots(db: Database) -> list[str]:
    return [row["slot"] for row in await db.fetch("SELECT slot FROM leases ORDER BY slot")]


async def test_commit(db: Database):
    async with db.transaction() as transaction:
        await transaction.execute(INSERT, "a")
        await transaction.execute(INSERT, "b")
    assert await slots(db) == ["a", "b"]


async def test_rollback(db: Database):
    async def fail() -> None:
        async with db.transaction() as transaction:
            await transaction.execute(INSERT, "a")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await slots(db) == []


async def test_nobody_sees_what_is_not_committed(db: Database):
    async with db.transaction() as transaction:
        await transaction.execute(INSERT, "a")
        assert await slots(db) == []


async def test_repeatable_read_sees_one_moment(db: Database):
    async with db.transaction(isolation="repeatable_read") as reader:
        assert await reader.fetchval("SELECT count(*) FROM leases") == 0
        async with db.transaction() as writer:
            await writer.execute(INSERT, "a")
        assert await reader.fetchval("SELECT count(*) FROM leases") == 0


async def test_a_read_only_transaction_writes_nothing(db: Database):
    with pytest.raises(Exception, match="read-only"):
        async with db.transaction(read_only=True) as transaction:
            await transaction.execute(INSERT, "a")
    assert await slots(db) == []


async def test_a_crash_leaves_no_part(db: Database, database: TestDatabase):
    async def crash() -> None:
        async with db.transaction() as transaction:
            await transaction.execute(INSERT, "a")
            process = await transaction.fetchval("SELECT pg_backend_pid()")
            with database.connect() as connection:
                connection.execute("SELECT pg_terminate_backend(%s)", [process])
            await transaction.execute(INSERT, "b")

    with pytest.raises(Unavailable):
        await crash()
    assert await slots(db) == []


async def test_two_writers_that_deadlock_both_succeed(db: Database):
    async with db.transaction() as transaction:
        await transaction.execute(INSERT, "a")
        await transaction.execute(INSERT, "b")
    attempts = 0
    both = asyncio.Barrier(2)

    async def write(first: str, second: str) -> None:
        async def work(transaction: Transaction) -> None:
            nonlocal attempts
            attempts += 1
            await transaction.execute("UPDATE leases SET fence = fence + 1 WHERE slot = $1", first)
            if attempts <= 2:
                await both.wait()
            await transaction.execute("UPDATE leases SET fence = fence + 1 WHERE slot = $1", second)

        await db.run(work)

    await asyncio.gather(write("a", "b"), write("b", "a"))
    assert attempts == 3
    assert [row["fence"] for row in await db.fetch("SELECT fence FROM leases")] == [3, 3]


async def test_serialisation_failures_are_repeated(db: Database):
    attempts = 0

    async def work(transaction: Transaction) -> str:
        nonlocal attempts
        attempts += 1
        if attempts < 3:
            await transaction.execute("DO $$ BEGIN RAISE SQLSTATE '40001'; END $$")
        return "done"

    assert await db.run(work) == "done"
    assert attempts == 3


async def test_repeating_has_an_end(db: Database):
    attempts = 0

    async def work(transaction: Transaction) -> None:
        nonlocal attempts
        attempts += 1
        await transaction.execute("DO $$ BEGIN RAISE SQLSTATE '40P01'; END $$")

    with pytest.raises(Aborted) as raised:
        await db.run(work)
    assert (attempts, raised.value.reason) == (5, "TRANSACTION_CONFLICT")


async def test_other_errors_are_not_repeated(db: Database):
    attempts = 0

    async def work(transaction: Transaction) -> None:
        nonlocal attempts
        attempts += 1
        await transaction.execute(INSERT, "a")
        await transaction.execute(INSERT, "a")

    with pytest.raises(AlreadyExists):
        await db.run(work)
    assert attempts == 1


INSTRUMENT = (
    "INSERT INTO instruments (exchange, tradingsymbol, kind, tick_size, lot_size, provenance) "
    "VALUES ('NSE', 'X', 'EQUITY', {tick}, {lot}, {source})"
)


@pytest.mark.parametrize(
    ("sql", "kind", "text"),
    [
        (INSTRUMENT.format(tick="0", lot="1", source="'seed'"), InvalidArgument, "tick_size: must be above 0"),
        (INSTRUMENT.format(tick="0.05", lot="0", source="'seed'"), InvalidArgument, "lot_size: must be above 0"),
        (INSTRUMENT.format(tick="0.05", lot="1", source="NULL"), InvalidArgument, "provenance: must be given"),
        (INSTRUMENT.format(tick="0.05", lot="3000000000", source="'seed'"), InvalidArgument, "out of range"),
        ("INSERT INTO accounts VALUES ('a b', 'asha')", InvalidArgument, "account: must be 1 to 36"),
        (
            "INSERT INTO strategies (strategy, account, display_name) VALUES ('s', 'x', 'd')",
            NotFound,
            "no such account",
        ),
        ("INSERT INTO leases VALUES ('x', 'o', 0, now())", InvalidArgument, "out of range"),
        ("SELECT pg_sleep(9)", DeadlineExceeded, "did not answer in time"),
    ],
)
async def test_refusals_are_told_in_the_callers_terms(database: TestDatabase, sql: str, kind: type, text: str):
    async with Database.open(database.worker_url, size=1, statement_timeout=0.5) as db:
        with pytest.raises(kind, match=text) as raised:
            await db.fetch(sql)
    assert isinstance(raised.value, StrikelineError)


async def test_a_row_that_is_referred_to_stays(database: TestDatabase):
    with database.connect() as connection:
        connection.execute(INSTRUMENT.format(tick="0.05", lot="1", source="'seed'"))
        connection.execute("INSERT INTO accounts VALUES ('a', 'asha')")
        connection.execute("INSERT INTO strategies (strategy, account, display_name) VALUES ('s', 'a', 'd')")
        connection.execute(
            "INSERT INTO legs (leg, strategy, account, instrument_id, side, quantity, entry_price) "
            "SELECT 'l', number, 'a', 1, 'BUY', 1, 1 FROM strategies"
        )
    async with Database.open(database.owner_url, size=1, allow_superuser=True) as db:
        with pytest.raises(FailedPrecondition, match="still refers"):
            await db.fetch("DELETE FROM instruments")


async def test_a_mistake_of_ours_is_not_hidden(db: Database):
    with pytest.raises(Exception, match="does not exist") as raised:
        await db.fetch("SELECT nothing FROM nowhere")
    assert not isinstance(raised.value, StrikelineError)

"""The connection pool: bounded, quick to refuse, quick to recover."""

import asyncio
import time

import pytest

from server.domain.errors import DeadlineExceeded, FailedPrecondition, Unavailable
from server.store.breaker import BreakerState
from server.store.database import Database
from tests.support.databases import TestDatabase
from tests.support.waiting import eventually

BACKENDS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = %s"
RUNNING = BACKENDS + " AND state = 'active' AND query LIKE '%%pg_sleep%%'"
TERMINATE = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
    "WHERE datname = current_database() AND application_name = %s"
)


def count(database: TestDatabase, sql: str, name: str) -> int:
    with database.connect() as connection:
        row = connection.execute(sql, [name]).fetchone()
    return row[0] if row else 0


async def hold(db: Database, entered: asyncio.Event, leave: asyncio.Event) -> None:
    async with db.transaction():
        entered.set()
        await leave.wait()


async def test_a_connection_is_taken_and_given_back(database: TestDatabase):
    async with Database.open(database.api_url, size=2) as db:
        async with db.transaction():
            assert (db.pool_state().in_use, db.pool_state().limit) == (1, 2)
        assert (db.pool_state().in_use, db.pool_state().idle) == (0, 1)


@pytest.mark.parametrize("callers", [50, 100])
async def test_many_callers_share_few_connections(database: TestDatabase, callers: int):
    async with Database.open(database.api_url, size=5, application_name="few") as db:
        rows = await asyncio.gather(*(db.fetchrow("SELECT $1::int AS n", n) for n in range(callers)))
        assert [row["n"] for row in rows if row] == list(range(callers))
        assert db.pool_state().size <= 5
        assert count(database, BACKENDS, "few") <= 5


async def test_a_full_pool_refuses_in_time(database: TestDatabase):
    async with Database.open(database.api_url, size=1, acquire_timeout=0.2) as db, db.transaction():
        began = time.monotonic()
        with pytest.raises(Unavailable) as raised:
            await db.fetchrow("SELECT 1")
        assert time.monotonic() - began < 2.0
        assert (raised.value.reason, raised.value.retry_after) == ("DATABASE_POOL_EXHAUSTED", 0.2)
        assert db.watch.exhausted == 1


async def test_a_full_pool_is_no_sign_of_a_database_that_is_away(database: TestDatabase):
    async with Database.open(database.api_url, size=1, acquire_timeout=0.2) as db, db.transaction() as transaction:
        for _ in range(6):
            with pytest.raises(Unavailable):
                await db.ping()
        assert (db.watch.exhausted, db.watch.breaker.state) == (6, BreakerState.CLOSED)
        assert await transaction.fetchval("SELECT 1") == 1


async def test_a_caller_waits_while_there_is_time(database: TestDatabase):
    async with Database.open(database.api_url, size=1) as db:
        entered, leave = asyncio.Event(), asyncio.Event()
        holder = asyncio.create_task(hold(db, entered, leave))
        await entered.wait()
        waiting = asyncio.create_task(db.fetchrow("SELECT 1"))
        await eventually(lambda: db.pool_state().waiting == 1)
        leave.set()
        assert (await waiting) is not None
        await holder


async def test_the_pool_recovers_from_exhaustion(database: TestDatabase):
    async with Database.open(database.api_url, size=1, acquire_timeout=0.1) as db:
        async with db.transaction():
            with pytest.raises(Unavailable):
                await db.fetchrow("SELECT 1")
        assert await db.fetchrow("SELECT 1") is not None
        assert db.pool_state().waiting == 0


async def test_a_failing_block_leaks_no_connection(database: TestDatabase):
    async with Database.open(database.api_url, size=2, acquire_timeout=1) as db:
        for _ in range(10):
            with pytest.raises(ZeroDivisionError):
                async with db.transaction():
                    1 / 0  # noqa: B018
        assert db.pool_state().in_use == 0


async def test_a_cancelled_caller_leaks_no_connection(database: TestDatabase):
    async with Database.open(database.api_url, size=2, acquire_timeout=1) as db:
        entered = asyncio.Event()
        task = asyncio.create_task(hold(db, entered, asyncio.Event()))
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert db.pool_state().in_use == 0


async def test_a_caller_cancelled_while_waiting_leaks_no_connection(database: TestDatabase):
    async with Database.open(database.api_url, size=1) as db:
        entered, leave = asyncio.Event(), asyncio.Event()
        holder = asyncio.create_task(hold(db, entered, leave))
        await entered.wait()
        waiting = asyncio.create_task(db.fetchrow("SELECT 1"))
        await eventually(lambda: db.pool_state().waiting == 1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        leave.set()
        await holder
        assert (db.pool_state().in_use, db.pool_state().waiting) == (0, 0)


async def test_a_terminated_backend_is_replaced(database: TestDatabase):
    async with Database.open(database.api_url, size=2, application_name="killed") as db:
        await asyncio.gather(db.ping(), db.ping())
        assert count(database, TERMINATE, "killed") >= 1
        async with db.transaction() as transaction:
            assert await transaction.fetchval("SELECT 1") == 1


async def test_a_lost_connection_is_unavailable_to_the_caller(database: TestDatabase):
    async def work(db: Database) -> None:
        async with db.transaction() as transaction:
            count(database, TERMINATE, "killed")
            await transaction.fetchval("SELECT 1")

    async with Database.open(database.api_url, size=1, application_name="killed") as db:
        with pytest.raises(Unavailable) as raised:
            await work(db)
        assert raised.value.reason == "DATABASE_UNAVAILABLE"


async def test_a_long_statement_is_stopped(database: TestDatabase):
    async with Database.open(database.api_url, size=1, statement_timeout=0.1) as db:
        with pytest.raises(DeadlineExceeded):
            await db.fetchrow("SELECT pg_sleep(5)")
        assert await db.fetchrow("SELECT 1") is not None


async def test_a_cancelled_call_cancels_its_query(database: TestDatabase):
    async with Database.open(database.api_url, size=1, application_name="sleeper", statement_timeout=30) as db:
        task = asyncio.create_task(db.fetchrow("SELECT pg_sleep(20)"))
        await eventually(lambda: count(database, RUNNING, "sleeper") == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await eventually(lambda: count(database, RUNNING, "sleeper") == 0)
        assert await db.fetchrow("SELECT 1") is not None


async def test_a_cancelled_transaction_is_undone(database: TestDatabase):
    async def insert(db: Database) -> None:
        async with db.transaction() as transaction:
            await transaction.execute("INSERT INTO leases VALUES ('slot', 'owner', 1, now())")
            await transaction.fetchval("SELECT pg_sleep(20)")

    async with Database.open(database.worker_url, size=1, application_name="undone", statement_timeout=30) as db:
        task = asyncio.create_task(insert(db))
        await eventually(lambda: count(database, RUNNING, "undone") == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await db.fetch("SELECT slot FROM leases") == []


async def test_closing_leaves_no_connection(database: TestDatabase):
    async with Database.open(database.api_url, size=3, application_name="closed") as db:
        await asyncio.gather(*(db.ping() for _ in range(3)))
        assert count(database, BACKENDS, "closed") >= 1
    await eventually(lambda: count(database, BACKENDS, "closed") == 0)


async def test_closing_does_not_wait_for_ever(database: TestDatabase):
    async with Database.open(database.api_url, size=1, acquire_timeout=0.2, application_name="held") as db:
        entered = asyncio.Event()
        holder = asyncio.create_task(hold(db, entered, asyncio.Event()))
        await entered.wait()
    holder.cancel()
    results = await asyncio.gather(holder, return_exceptions=True)
    assert isinstance(results[0], BaseException)
    await eventually(lambda: count(database, BACKENDS, "held") == 0)


async def test_a_server_that_is_away_is_unavailable():
    with pytest.raises(Unavailable) as raised:
        async with Database.open("postgresql://strikeline_api@127.0.0.1:9/none", acquire_timeout=2):
            pass
    assert raised.value.reason == "DATABASE_UNAVAILABLE"


async def test_connections_carry_their_name_and_limits(database: TestDatabase):
    async with Database.open(database.api_url, size=1, application_name="named", statement_timeout=7) as db:
        row = await db.fetchrow(
            "SELECT current_setting('statement_timeout') AS limit, current_setting('application_name') AS name, "
            "current_setting('idle_in_transaction_session_timeout') AS idle, current_setting('timezone') AS zone"
        )
    assert row is not None
    assert tuple(row) == ("7s", "named", "7s", "UTC")


async def test_production_refuses_an_unverified_server():
    with pytest.raises(FailedPrecondition, match="sslmode=verify-full"):
        async with Database.open("postgresql://strikeline_api@db.example/app", require_tls=True):
            pass


async def test_the_pools_of_all_replicas_must_fit_the_server(database: TestDatabase):
    async with Database.open(database.api_url, size=5) as db:
        row = await db.fetchrow("SELECT current_setting('max_connections')::int - 3 AS connections")
    assert row is not None
    limit = row["connections"]

    async with Database.open(database.api_url, size=5, replicas=limit // 5) as db:
        await db.ping()
    with pytest.raises(FailedPrecondition, match=f"{limit // 5 + 1} pools of 5 exceed the server's {limit} connect"):
        async with Database.open(database.api_url, size=5, replicas=limit // 5 + 1):
            pass


async def test_a_pool_larger_than_the_server_is_refused(database: TestDatabase):
    with pytest.raises(FailedPrecondition, match="a pool of 100000 exceeds"):
        async with Database.open(database.api_url, size=100_000):
            pass

"""Row-level security: whatever the api's role asks for, it gets the rows of one user, and without a user none."""

import psycopg
import pytest
from psycopg import errors

from server.domain.errors import PermissionDenied
from server.store.database import Database
from tests.support.databases import TestDatabase

TENANT_TABLES = ("accounts", "strategies", "legs", "strategy_m2m", "m2m_candles")
READ_BY_USERS = ("accounts", "strategies", "legs", "strategy_m2m", "own_m2m_candles")
FILL = """
    INSERT INTO instruments (exchange, tradingsymbol, kind, tick_size, lot_size, provenance)
    VALUES ('NSE', 'RELIANCE', 'EQUITY', 0.05, 1, 'seed');
    INSERT INTO accounts VALUES ('asha-1', 'asha'), ('ravi-1', 'ravi');
    INSERT INTO strategies (strategy, account, display_name)
    VALUES ('s-asha', 'asha-1', 'S'), ('s-ravi', 'ravi-1', 'S');
    INSERT INTO legs (leg, strategy, account, instrument_id, side, quantity, entry_price)
    SELECT 'l-' || strategy, number, account, 1, 'BUY', 1, 1 FROM strategies;
    INSERT INTO strategy_m2m SELECT number, account, now(), 1, 1, true, '' FROM strategies;
    INSERT INTO m2m_candles SELECT number, account, '2025-11-10 03:45Z', 1, 1, 1, 1, 1, 0, 0 FROM strategies;
"""


LEG_OF_ANOTHER = """
    INSERT INTO legs (leg, strategy, account, instrument_id, side, quantity, entry_price)
    VALUES ('x', 1, 'asha-1', 1, 'BUY', 1, 1)
"""


@pytest.fixture(autouse=True)
def filled(database: TestDatabase) -> None:
    with database.connect() as connection:
        connection.execute(FILL)


async def accounts_seen(db: Database, table: str, user: str | None) -> list[str]:
    async with db.transaction(user) as transaction:
        rows = await transaction.fetch(f"SELECT account FROM {table} ORDER BY account")
    return [row["account"] for row in rows]


@pytest.mark.parametrize("table", READ_BY_USERS)
async def test_a_user_sees_own_rows(api_db: Database, table: str):
    assert await accounts_seen(api_db, table, "asha") == ["asha-1"]


@pytest.mark.parametrize("table", READ_BY_USERS)
@pytest.mark.parametrize("user", [None, "", "nobody", "asha' OR '1'='1"])
async def test_nobody_sees_nothing(api_db: Database, table: str, user: str | None):
    assert await accounts_seen(api_db, table, user) == []


@pytest.mark.parametrize("table", TENANT_TABLES)
async def test_the_worker_sees_all_rows(worker_db: Database, table: str):
    assert await accounts_seen(worker_db, table, None) == ["asha-1", "ravi-1"]


@pytest.mark.parametrize("table", TENANT_TABLES)
def test_row_level_security_is_on(database: TestDatabase, table: str):
    with database.connect() as connection:
        found = connection.execute("SELECT relrowsecurity FROM pg_class WHERE relname = %s", [table]).fetchone()
    assert found == (True,)


async def test_the_user_does_not_outlive_the_transaction(api_db: Database):
    await accounts_seen(api_db, "accounts", "asha")
    rows = await api_db.fetch("SELECT account FROM accounts")
    assert rows == []


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE accounts SET display_name = 'x' WHERE account = 'asha-1'",
        "UPDATE strategies SET display_name = 'x' WHERE strategy = 's-asha'",
        "UPDATE legs SET quantity = 9 WHERE leg = 'l-s-asha'",
        "DELETE FROM legs WHERE leg = 'l-s-asha'",
    ],
)
async def test_foreign_rows_are_neither_changed_nor_deleted(api_db: Database, sql: str):
    async with api_db.transaction("ravi") as transaction:
        assert await transaction.execute(sql) == 0


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO accounts VALUES ('new', 'asha')",
        "UPDATE accounts SET user_id = 'asha' WHERE account = 'ravi-1'",
        "INSERT INTO strategies (strategy, account, display_name) VALUES ('x', 'asha-1', 'X')",
        "UPDATE strategies SET account = 'asha-1' WHERE strategy = 's-ravi'",
        LEG_OF_ANOTHER,
    ],
)
async def test_nothing_is_put_among_foreign_rows(api_db: Database, sql: str):
    async def work() -> None:
        async with api_db.transaction("ravi") as transaction:
            await transaction.execute(sql)

    with pytest.raises(PermissionDenied) as raised:
        await work()
    assert raised.value.reason == "ACCOUNT_FORBIDDEN"


async def test_states_of_strategies_are_seen_by_their_user_only(api_db: Database):
    async with api_db.transaction("asha") as transaction:
        rows = await transaction.fetch("SELECT state->>'account' AS account FROM strategy_states")
    assert [row["account"] for row in rows] == ["asha-1"]


@pytest.mark.parametrize("source", ["the hypertable", "a chunk"])
def test_candles_are_read_through_the_view_alone(database: TestDatabase, source: str):
    with database.connect() as owner:
        (chunk,) = owner.execute("SELECT show_chunks('m2m_candles')::text").fetchone() or ("",)
    table = chunk if source == "a chunk" else "m2m_candles"
    with database.connect(database.api_url) as connection, pytest.raises(errors.InsufficientPrivilege):
        connection.execute(f"SELECT account FROM {table}")


@pytest.mark.parametrize("role", ["api", "worker"])
@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE legs",
        "DROP TABLE bars_1m",
        "ALTER TABLE legs ADD COLUMN x int",
        "ALTER TABLE accounts DISABLE ROW LEVEL SECURITY",
        "DROP POLICY own_rows ON accounts",
        "CREATE TABLE mine (x int)",
        "TRUNCATE legs",
        "CREATE ROLE mine",
        "ALTER ROLE CURRENT_USER SUPERUSER",
        "SET ROLE pg_read_all_data",
        "SELECT drop_chunks('bars_1m', older_than => now())",
        "UPDATE alembic_version SET version_num = '0'",
        "INSERT INTO calendar_sessions VALUES ('NSE', '2030-01-01', 'holiday', NULL, NULL, 'x', 'x')",
    ],
)
def test_programs_cannot_change_the_schema(database: TestDatabase, role: str, sql: str):
    url = database.api_url if role == "api" else database.worker_url
    with database.connect(url) as connection, pytest.raises(psycopg.Error) as raised:
        connection.execute(sql)
    assert raised.value.sqlstate == "42501"


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO m2m_candles SELECT number, account, now(), 1, 1, 1, 1, 1, 0, 0 FROM strategies",
        "UPDATE strategy_m2m SET m2m = 0",
        "INSERT INTO bars_1m (instrument_id) VALUES (1)",
        "DELETE FROM bars_5m",
        "SELECT payload FROM strategy_outbox",
        "DELETE FROM strategy_outbox",
        "UPDATE leases SET fence = 99",
        "DELETE FROM checkpoints",
        "DELETE FROM accounts",
        "DELETE FROM strategies",
    ],
)
def test_the_api_does_not_do_the_workers_work(database: TestDatabase, sql: str):
    with database.connect(database.api_url) as connection, pytest.raises(psycopg.Error) as raised:
        connection.execute(sql)
    assert raised.value.sqlstate == "42501"


@pytest.mark.parametrize("role", ["strikeline_api", "strikeline_worker"])
def test_programs_have_ordinary_roles(database: TestDatabase, role: str):
    with database.connect() as connection:
        found = connection.execute(
            "SELECT rolsuper, rolcreaterole, rolcreatedb, rolbypassrls, rolreplication, rolcanlogin FROM pg_roles "
            "WHERE rolname = %s",
            [role],
        ).fetchone()
    assert found == (False, False, False, False, False, True)

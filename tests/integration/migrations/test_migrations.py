"""Revisions on a real TimescaleDB: up, down, up again, with the data of what stays kept."""

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest

from migrations.schema import COMMITTED, describe
from server.store import migrate
from server.store.calendar import CalendarStore
from server.store.database import Database
from server.store.role_passwords import let_in
from tests.support.databases import TestDatabase, with_user

REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0010")
BELOW = dict(zip(REVISIONS, ("base", *REVISIONS[:-1]), strict=True))
YEAR = (date(2024, 1, 1), date(2024, 12, 31))

# Rows of each table, by the revision that makes it. Those of earlier revisions must survive the later ones.
ROWS = {
    "instruments": (
        "0001",
        """
        INSERT INTO instruments (exchange, tradingsymbol, kind, tick_size, lot_size, provenance)
        VALUES ('NSE', 'RELIANCE', 'EQUITY', 0.05, 1, 'kite')
        """,
    ),
    "calendar_weekdays": (
        "0001",
        "INSERT INTO calendar_weekdays VALUES ('T', 0, '9:00', '17:00', '2020-01-01', NULL, 'test')",
    ),
    "calendar_sessions": (
        "0001",
        "INSERT INTO calendar_sessions VALUES ('T', '2025-01-26', 'holiday', NULL, NULL, 'x', 'test')",
    ),
    "bars_1m": (
        "0002",
        """
        INSERT INTO bars_1m (instrument_id, open_time, open, high, low, close, partial, closed, first_time, first_row,
                             last_time, last_row, cumulative_max, cumulative_before)
        VALUES (1, '2025-11-10 03:45Z', 1402.05, 1403.1, 1401.95, 1402.5, false, true, 1, 2, 3, 4, 900, 100)
        """,
    ),
    "bars_stored": (
        "0002",
        "INSERT INTO bars_stored VALUES (1, '1day', '2025-11-10 03:45Z', 1, 2, 0.5, 1.5, 10, NULL, 'kite')",
    ),
    "rollup_dirty": ("0002", "INSERT INTO rollup_dirty (bucket) VALUES ('2025-11-10 03:45Z')"),
    "accounts": ("0003", "INSERT INTO accounts VALUES ('asha-1', 'asha')"),
    "strategies": (
        "0003",
        "INSERT INTO strategies (strategy, account, display_name, tags) VALUES ('s', 'asha-1', 'S', '{a,b}')",
    ),
    "legs": (
        "0003",
        """
        INSERT INTO legs (leg, strategy, account, instrument_id, side, quantity, entry_price)
        VALUES ('l', 1, 'asha-1', 1, 'SELL', 75, 999999999.9999)
        """,
    ),
    "strategy_m2m": ("0003", "INSERT INTO strategy_m2m VALUES (1, 'asha-1', now(), -0.0001, 12345.6789, true, 'x')"),
    "m2m_candles": (
        "0003",
        "INSERT INTO m2m_candles VALUES (1, 'asha-1', '2025-11-10 03:45Z', -0.0001, 1, -1, 0.5, 2, 1, 2)",
    ),
    "strategy_outbox": ("0003", "INSERT INTO strategy_outbox (payload) VALUES ('{\"number\": 1}')"),
    "leases": ("0004", "INSERT INTO leases VALUES ('bars-0', 'worker-1', 7, now())"),
    "checkpoints": ("0004", "INSERT INTO checkpoints VALUES ('bars-0', 1, 'base', '5-0', '\\x00ff')"),
    "option_minutes": (
        "0007",
        """
        INSERT INTO option_minutes (instrument_id, open_time, samples, spot, volatility_sum, delta_sum, gamma_sum,
                                    theta_sum, vega_sum, rho_sum, volatility_count, delta_count, gamma_count,
                                    theta_count, vega_count, rho_count, volatility)
        VALUES (1, '2025-11-10 03:45Z', 240, 25574.35, 36.1, 120, 0.2, -900, 800, 50, 240, 240, 240, 240, 240, 239, 0.1)
        """,
    ),
    "expiry_metrics": (
        "0007",
        """
        INSERT INTO expiry_metrics (underlying, expiry, open_time, samples, atm_strike, years)
        VALUES ('NIFTY', '2025-11-25', '2025-11-10 03:45Z', 240, 25550, 0.0411)
        """,
    ),
    "expiry_sightings": (
        "0008",
        "INSERT INTO expiry_sightings VALUES ('NIFTY', 'OPTION', 'NFO', '2025-11-25', '2025-11-10', '2025-11-11')",
    ),
    "complete_listings": ("0008", "INSERT INTO complete_listings VALUES ('NIFTY', 'OPTION', 'NFO', '2025-11-10')"),
    "feed_subscriptions": ("0009", "INSERT INTO feed_subscriptions (feed_subscription, user_id) VALUES ('f', 'admin')"),
    "feed_subscription_instruments": ("0009", "INSERT INTO feed_subscription_instruments VALUES ('f', 1, 1)"),
    "backfills": (
        "0009",
        "INSERT INTO backfills (backfill, start_time, end_time) VALUES ('b', '2025-11-10 03:45Z', '2025-11-10 04:45Z')",
    ),
    "backfill_days": (
        "0009",
        "INSERT INTO backfill_days (backfill, instrument_id, day, missing) VALUES ('b', 1, '2025-11-10', 60)",
    ),
    "feed_runs": ("0009", "INSERT INTO feed_runs (run, source) VALUES ('run-1', 'ticker')"),
    "feed_outages": (
        "0009",
        """
        INSERT INTO feed_outages (run, source, reason, started_at, ended_at)
        VALUES ('run-1', 'ticker', 'DISCONNECTED', '2025-11-10 03:45Z', '2025-11-10 03:50Z')
        """,
    ),
    "monitor_sessions": (
        "0010",
        "INSERT INTO monitor_sessions VALUES ('m', 'asha', 3, '2025-11-10 03:45Z', '2025-11-10 03:47Z')",
    ),
    "monitor_session_instruments": ("0010", "INSERT INTO monitor_session_instruments VALUES ('m', 1, 1)"),
}
TABLES_OF_0006 = ("labels", "daily_performance", "positions", "orders", "api_keys", "api_key_usage")
VIEWS_OF_0007 = (
    "option_minutes_series", "expiry_metrics_series", "bars_series", "option_bars_1m", "option_bars_5m",
    "option_bars_15m",
)  # fmt: skip
HYPERTABLES = {
    "bars_1m", "bars_5m", "bars_15m", "bars_stored", "m2m_candles", "api_key_usage",
    "option_minutes", "option_minutes_5m", "option_minutes_15m",
    "expiry_metrics", "expiry_metrics_5m", "expiry_metrics_15m",
}  # fmt: skip
METRICS_OF_0006 = """
    SELECT underlying, expiry, open_time, spot, forward, forward_source, call_open_interest, put_open_interest,
           call_volume, put_volume, pcr_oi, pcr_volume, max_pain, atm_volatility
    FROM expiry_metrics
"""


def fill(database: TestDatabase, until: str) -> None:
    with database.connect() as connection:
        for revision, sql in ROWS.values():
            if revision <= until:
                connection.execute(sql)


def snapshot(database: TestDatabase, until: str) -> dict[str, list[str]]:
    """Every row of the tables that a revision and its predecessors made, as text."""
    with database.connect() as connection:
        return {
            table: [row for (row,) in connection.execute(f"SELECT t::text FROM {table} t ORDER BY 1")]
            for table, (revision, _) in ROWS.items()
            if revision <= until
        }


def tables(database: TestDatabase) -> set[str]:
    with database.connect() as connection:
        rows = connection.execute("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace "
                                  "AND relkind IN ('r', 'v') AND relname <> 'alembic_version'")  # fmt: skip
        return {name for (name,) in rows}


def test_there_is_one_line_of_revisions():
    files = sorted(path.name for path in (migrate.FOLDER / "versions").glob("0*.py"))
    numbers = [name[:4] for name in files]
    assert numbers == [f"{number:04}" for number in range(1, len(files) + 1)]
    assert all(re.fullmatch(r"\d{4}_[a-z_]+\.py", name) for name in files)
    assert (migrate.head(), tuple(numbers)) == (numbers[-1], REVISIONS)


def test_an_empty_database_has_no_revision(empty_database: TestDatabase):
    assert migrate.current(empty_database.owner_url) is None


def test_upgrading_an_empty_database(empty_database: TestDatabase):
    migrate.upgrade(empty_database.owner_url)
    assert migrate.current(empty_database.owner_url) == migrate.head()
    assert tables(empty_database) >= {*ROWS, *TABLES_OF_0006, *VIEWS_OF_0007, "expiry_listings"}


def test_upgrading_twice_changes_nothing(database: TestDatabase):
    fill(database, REVISIONS[-1])
    before = (describe(database.owner_url), snapshot(database, REVISIONS[-1]))
    migrate.upgrade(database.owner_url)
    assert (describe(database.owner_url), snapshot(database, REVISIONS[-1])) == before


def test_several_migrations_at_once_take_turns(empty_database: TestDatabase):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(migrate.upgrade, [empty_database.owner_url] * 4))
    assert migrate.current(empty_database.owner_url) == migrate.head()


@pytest.mark.parametrize("revision", REVISIONS)
def test_a_revision_goes_up_down_and_up_again(empty_database: TestDatabase, revision: str):
    url = empty_database.owner_url
    migrate.upgrade(url, BELOW[revision])
    before = tables(empty_database)
    migrate.upgrade(url, revision)
    schema = describe(url)
    migrate.downgrade(url, BELOW[revision])
    assert tables(empty_database) == before
    migrate.upgrade(url, revision)
    assert describe(url) == schema


@pytest.mark.parametrize("revision", REVISIONS[1:])
def test_what_stays_keeps_its_rows(empty_database: TestDatabase, revision: str):
    url, below = empty_database.owner_url, BELOW[revision]
    migrate.upgrade(url, below)
    fill(empty_database, below)
    before = snapshot(empty_database, below)
    migrate.upgrade(url, revision)
    after_up = snapshot(empty_database, below)
    migrate.downgrade(url, below)
    migrate.upgrade(url, revision)
    assert _without_facts(after_up) == _without_facts(snapshot(empty_database, below)) == _without_facts(before)


def _without_facts(rows: dict[str, list[str]]) -> dict[str, list[str]]:
    """Without the calendar facts that revision 0005 brings and takes."""
    return {table: [row for row in found if "calendar" not in table or "test" in row] for table, found in rows.items()}


def test_metrics_of_expiries_outlive_the_columns_that_they_gain_and_lose(empty_database: TestDatabase):
    url = empty_database.owner_url
    migrate.upgrade(url, "0006")
    with empty_database.connect() as connection:
        connection.execute(
            "INSERT INTO expiry_metrics VALUES ('NIFTY', '2025-11-25', '2025-11-10 03:45Z', 25574.35, 25640.5, "
            "'FUTURE', 900, 800, 70, 60, 0.8889, 0.8571, 25500, 0.1312)"
        )
        before = connection.execute(METRICS_OF_0006).fetchall()
        migrate.upgrade(url, "0007")
        after_up = connection.execute(METRICS_OF_0006).fetchall()
        migrate.downgrade(url, "0006")
        assert before == after_up == connection.execute(METRICS_OF_0006).fetchall()


def test_everything_down_leaves_nothing(database: TestDatabase):
    fill(database, REVISIONS[-1])
    migrate.downgrade(database.owner_url, "base")
    assert tables(database) == set()
    assert migrate.current(database.owner_url) is None


def test_everything_down_and_up_again_is_the_same_schema(database: TestDatabase):
    before = describe(database.owner_url)
    migrate.downgrade(database.owner_url, "base")
    migrate.upgrade(database.owner_url)
    assert describe(database.owner_url) == before


def test_a_failing_revision_leaves_the_one_before(empty_database: TestDatabase):
    migrate.upgrade(empty_database.owner_url, "0003")
    with empty_database.connect() as connection:
        connection.execute("CREATE TABLE checkpoints (x int)")
    with pytest.raises(Exception, match="already exists"):
        migrate.upgrade(empty_database.owner_url)
    assert migrate.current(empty_database.owner_url) == "0003"
    assert "leases" not in tables(empty_database)


def test_the_schema_is_the_committed_one(database: TestDatabase):
    with database.connect() as connection:
        (licence,) = connection.execute("SELECT current_setting('timescaledb.license')").fetchone() or ("",)
    if licence == "timescale":
        pytest.skip("schema.txt describes the Apache edition: Community keeps roll-ups in continuous aggregates")
    assert describe(database.owner_url) == COMMITTED.read_text(encoding="utf-8")


def test_time_series_are_hypertables(database: TestDatabase):
    with database.connect() as connection:
        found = connection.execute("SELECT hypertable_name FROM timescaledb_information.hypertables").fetchall()
        views = connection.execute("SELECT view_name FROM timescaledb_information.continuous_aggregates").fetchall()
    assert {name for (name,) in (*found, *views)} >= HYPERTABLES


def test_a_migrations_owner_need_not_be_a_superuser(empty_database: TestDatabase):
    """Extensions that need one are there already, as on a hosted database."""
    owner = f"owner_{empty_database.name[-8:]}"
    with empty_database.connect() as connection:
        connection.execute("CREATE EXTENSION timescaledb")
        connection.execute(f"CREATE ROLE {owner} LOGIN CREATEROLE")
        connection.execute(f"ALTER DATABASE {empty_database.name} OWNER TO {owner}")
        connection.execute(f"ALTER SCHEMA public OWNER TO {owner}")
        # Community edition: who made the role may hand it on; here another database's owner did.
        if connection.execute("SELECT FROM pg_roles WHERE rolname = 'strikeline_rollup'").fetchone() is not None:
            connection.execute(f"GRANT strikeline_rollup TO {owner} WITH ADMIN OPTION")
    let_in(empty_database.owner_url, [owner])
    try:
        url = with_user(empty_database.owner_url, owner)
        migrate.upgrade(url)
        assert migrate.current(url) == migrate.head()
    finally:
        with empty_database.connect() as connection:
            connection.execute(f"REASSIGN OWNED BY {owner} TO CURRENT_USER")
            connection.execute(f"DROP OWNED BY {owner}")
            connection.execute(f"DROP ROLE {owner}")


def test_the_calendar_knows_its_sources(database: TestDatabase):
    with database.connect() as connection:
        without = connection.execute(
            "SELECT count(*) FROM calendar_sessions WHERE source = '' UNION ALL "
            "SELECT count(*) FROM calendar_weekdays WHERE source = ''"
        ).fetchall()
    assert without == [(0,), (0,)]


def test_the_calendar_loads(database: TestDatabase):
    async def load() -> int:
        async with Database.open(database.api_url, size=1) as db:
            calendar = await CalendarStore(db).load("NSE")
        return sum(1 for _ in calendar.sessions_between(*YEAR))

    # 262 weekdays less 16 holidays (Muhurat counts), and five sessions on three Saturdays.
    assert asyncio.run(load()) == 262 - 16 + 5


def test_the_status_of_a_missing_server_is_an_error():
    with pytest.raises(Exception, match="connection"):
        migrate.current("postgresql://app@127.0.0.1:9/none")


def test_an_unknown_revision_is_refused(database: TestDatabase):
    with pytest.raises(Exception, match="9999"):
        migrate.upgrade(database.owner_url, "9999")

"""Plans of the hot queries on filled tables: by index, never through a whole table."""

import asyncio
import json
from collections.abc import Iterator

import psycopg
import pytest

from server.store.database import Database
from server.store.rollups import RollupStore
from server.store.statements import Statements
from tests.support.databases import TestDatabase

FILL = """
    INSERT INTO instruments (exchange, tradingsymbol, name, kind, underlying, expiry, strike, tick_size, lot_size,
                             provenance)
    SELECT 'NFO', 'S' || n || 'CE', 'NAME ' || n % 97, 'CALL', 'U' || n % 200, date '2025-11-25' + (n % 8) * 7,
           100 + n, 0.05, 75, 'kite' FROM generate_series(1, 20000) n;
    INSERT INTO accounts SELECT 'a' || n, 'u' || n / 2 FROM generate_series(1, 4000) n;
    INSERT INTO strategies (strategy, account, display_name)
    SELECT 's' || n, 'a' || n / 2 + 1, 'S' || n FROM generate_series(1, 6000) n;
    INSERT INTO legs (leg, strategy, account, instrument_id, side, quantity, entry_price)
    SELECT 'l' || s.number || '-' || n, s.number, s.account, n, 'BUY', 75, 100
    FROM strategies s CROSS JOIN generate_series(1, 4) n;
    INSERT INTO strategy_m2m SELECT number, account, now(), 1, 1, true, '' FROM strategies;
    INSERT INTO m2m_candles
    SELECT n, s.account, timestamptz '2025-11-10 03:45Z' + m * interval '1 minute', 1, 1, 1, 1, 1, 0, 0
    FROM generate_series(1, 60) n JOIN strategies s ON s.number = n CROSS JOIN generate_series(0, 374) m;
    INSERT INTO bars_1m (instrument_id, open_time, open, high, low, close, partial, closed, first_time, first_row,
                         last_time, last_row)
    SELECT i, timestamptz '2025-11-03 03:45Z' + d * interval '1 day' + m * interval '1 minute', 1, 1, 1, 1, false, true,
           0, 0, 0, 0
    FROM generate_series(1, 40) i CROSS JOIN generate_series(0, 11) d CROSS JOIN generate_series(0, 374, 3) m;
    INSERT INTO option_minutes (instrument_id, open_time, samples, volatility, volatility_sum, delta_sum, gamma_sum,
                                theta_sum, vega_sum, rho_sum, volatility_count, delta_count, gamma_count, theta_count,
                                vega_count, rho_count)
    SELECT instrument_id, open_time, 1, 0.1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 FROM bars_1m;
    INSERT INTO expiry_metrics (underlying, expiry, open_time, samples)
    SELECT 'U' || u, date '2025-11-25' + (e * 7), open_time, 1
    FROM generate_series(1, 20) u CROSS JOIN generate_series(0, 2) e
    CROSS JOIN (SELECT DISTINCT open_time FROM bars_1m) minute;
    INSERT INTO rollup_dirty (bucket) SELECT DISTINCT time_bucket('15 minutes', open_time) FROM bars_1m;
    INSERT INTO leases SELECT 'slot-' || n, 'w', 1, now() FROM generate_series(1, 1000) n;
    INSERT INTO checkpoints SELECT 'slot-' || n % 50, n, CASE WHEN n < 51 THEN 'base' ELSE 'delta' END, '1-0', 'x'
    FROM generate_series(1, 5000) n;
"""
QUEUED = """
    INSERT INTO rollup_dirty (bucket)
    SELECT timestamptz '2025-11-03 03:45Z' + n * interval '15 minutes' FROM generate_series(1, 3000) n
"""
DAY = "timestamptz '2025-11-10 00:00Z'"
NEXT = "timestamptz '2025-11-11 00:00Z'"
SESSION = (
    "ARRAY[timestamptz '2025-11-10 03:45Z']",
    "ARRAY[timestamptz '2025-11-10 10:00Z']",
    "ARRAY[timestamptz '2025-11-10 03:45Z']",
)
CONTRACTS = "ARRAY[3, 5, 7]"
EXPIRY = ("'U17'", "date '2025-11-25'")
QUEUE = {"rollup_dirty"}
"""Short by its nature: series of many contracts read it once, whole."""
HOT = [
    ("instruments", "by_keys", ("ARRAY['NFO:S17CE']",), "api"),
    ("instruments", "search", ("'%S1777%'", "ARRAY['%S1777%']", "'S1777'", "NULL", "NULL", "51", "0"), "api"),
    ("instruments", "search_prefix", ("'S1777%'", "NULL", "NULL", "51", "0"), "api"),
    (
        "instruments",
        "contracts",
        ("'U17'", "NULL", "date '2025-11-25'", "NULL", "NULL", "NULL", "date '1900-01-01'", "-1", "''", "51"),
        "api",
    ),
    ("accounts", "get", ("'a17'",), "api"),
    ("accounts", "list", ("'u17'", "''", "51"), "api"),
    ("strategies", "get", ("'a17'", "'s33'"), "api"),
    ("strategies", "list", ("'a17'", "NULL", "true", "9223372036854775807", "51"), "api"),
    ("strategy_changes", "lock", ("'a17'", "'s33'"), "api"),
    ("legs", "get", ("'a17'", "'s33'", "'l33-1'"), "api"),
    ("legs", "list", ("'a17'", "'s33'", "true", "0", "51"), "api"),
    ("m2m", "current", ("'a17'", "'s33'"), "api"),
    ("m2m", "candles_ascending", ("33", DAY, NEXT, "1001"), "api"),
    ("m2m", "candles_descending", ("33", DAY, NEXT, "1001"), "api"),
    ("bars", "minutes_ascending", ("7", DAY, NEXT, "1001"), "api"),
    ("bars", "minutes_descending", ("7", DAY, NEXT, "1001"), "api"),
    ("bars", "day", ("ARRAY[7]", DAY, NEXT), "worker"),
    ("bars", "days_with_bars", ("ARRAY[7]", f"ARRAY[{DAY}]", f"ARRAY[{NEXT}]"), "worker"),
    ("bars", "extent", ("7", DAY, NEXT, "ARRAY['1day']"), "api"),
    ("bars", "from_1m", ("7", *SESSION, "interval '3 minutes'"), "api"),
    ("bars", "from_5m", ("7", *SESSION, "interval '5 minutes'"), "api"),
    ("bars", "from_15m", ("7", *SESSION, "interval '1 hour'"), "api"),
    ("newest_bars", "newest", ("ARRAY[7, 9]", NEXT, "ARRAY['5min', '1day']", f"ARRAY[{NEXT}, {DAY}]"), "api"),
    ("option_minutes", "extent", (CONTRACTS, DAY, NEXT), "api"),
    ("option_minutes", "at", ("7", DAY, NEXT), "api"),
    ("option_minutes", "open_interest_before", (CONTRACTS, DAY, NEXT), "api"),
    ("option_minutes", "closing_open_interest", ("7", f"ARRAY[{DAY}]", f"ARRAY[{NEXT}]"), "api"),
    *(
        ("option_minutes", name, (length, CONTRACTS, *SESSION, "interval '30 minutes'", DAY, NEXT, "'delta'"), "api")
        for name in ("figures", "means", "prices", "open_interest")
        for length in ("1", "5", "15")
    ),
    ("expiry_metrics", "extent", (*EXPIRY, DAY, NEXT), "api"),
    ("expiry_metrics", "at", (*EXPIRY, DAY), "api"),
    *(
        ("expiry_metrics", "series", (*EXPIRY, length, *SESSION, "interval '30 minutes'", DAY, NEXT), "api")
        for length in ("1", "5", "15")
    ),
    ("worker_state", "check", ("'slot-7'", "'w'", "1"), "worker"),
    ("worker_state", "load", ("'slot-7'",), "worker"),
]


@pytest.fixture(scope="module")
def filled(module_database: TestDatabase) -> TestDatabase:
    with module_database.connect() as connection:
        connection.execute(FILL)
        asyncio.run(roll_up(module_database))
        connection.execute(QUEUED)
        connection.execute("VACUUM ANALYZE")  # as autovacuum does after an import
    return module_database


async def roll_up(database: TestDatabase) -> None:
    async with Database.open(database.worker_url, size=2, statement_timeout=60.0) as worker:
        while await RollupStore(worker).roll_up(200):
            pass


def nodes(plan: dict) -> Iterator[dict]:
    yield plan
    for part in plan.get("Plans", []):
        yield from nodes(part)


def plan_of(database: TestDatabase, role: str, file: str, name: str, arguments: tuple[str, ...]) -> list[dict]:
    """The plan for these values, under row-level security where the api asks."""
    url = database.api_url if role == "api" else database.worker_url
    sql = Statements.of(file)[name].replace("%", "%%")
    for number in range(len(arguments), 0, -1):
        sql = sql.replace(f"${number}", f"({arguments[number - 1]})".replace("%", "%%"))
    with psycopg.connect(url) as connection:
        connection.execute("SELECT set_config('app.user_id', 'u8', true)")
        row = connection.execute(f"EXPLAIN (FORMAT JSON) {sql}", [], binary=False).fetchone()
    assert row is not None
    plan = row[0] if isinstance(row[0], list) else json.loads(row[0])
    return list(nodes(plan[0]["Plan"]))


@pytest.mark.parametrize(
    ("file", "name", "arguments", "role"), HOT, ids=[f"{hot[0]}.{hot[1]}({hot[2][0]})" for hot in HOT]
)
def test_a_hot_query_reads_by_index(filled: TestDatabase, file: str, name: str, arguments: tuple[str, ...], role: str):
    plan = plan_of(filled, role, file, name, arguments)
    scanned = {node["Relation Name"] for node in plan if node["Node Type"] == "Seq Scan"}
    assert scanned - QUEUE == set()


def test_a_day_of_bars_touches_one_chunk(filled: TestDatabase):
    plan = plan_of(filled, "api", "bars", "minutes_ascending", ("7", DAY, NEXT, "1001"))
    assert len({node["Relation Name"] for node in plan if "Relation Name" in node}) == 1


@pytest.mark.parametrize("table", ["option_minutes", "expiry_metrics"])
def test_a_quarter_hour_of_everything_is_found_by_its_time(filled: TestDatabase, table: str):
    with filled.connect(filled.worker_url) as connection:
        connection.execute("SET enable_seqscan = off")  # the test's tables are too small for the index to pay
        quarter = f"SELECT * FROM {table} WHERE open_time >= {DAY} AND open_time < {DAY} + interval '15 minutes'"
        plan = connection.execute(f"EXPLAIN {quarter}").fetchall()
    assert any("open_time_idx" in line for (line,) in plan)


def test_the_trigram_index_finds_a_part_of_a_name(filled: TestDatabase):
    arguments = ("'%S1777%'", "ARRAY['%S1777%']", "'S1777'", "NULL", "NULL", "51", "0")
    plan = plan_of(filled, "api", "instruments", "search", arguments)
    assert "instruments_search_text_idx" in {node.get("Index Name") for node in plan}

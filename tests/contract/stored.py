"""Market data of one morning, written into the database as the worker would have written it."""

from tests.support.databases import TestDatabase

BARS = """
INSERT INTO bars_1m (instrument_id, open_time, open, high, low, close, open_interest, partial, closed,
    first_time, first_row, last_time, last_row, cumulative_max, cumulative_before)
SELECT instrument_id, start, 100 + n, 101 + n, 99.5 + n, 100.25 + n, 5000 + n, false, true,
    extract(epoch FROM start)::bigint * 1000000000, n, extract(epoch FROM start)::bigint * 1000000000 + 1, n,
    1000 * (n + 1), 1000 * n
FROM instruments, generate_series(0, 9) AS n,
    LATERAL (SELECT timestamptz '2025-11-03 03:45:00Z' + n * interval '1 minute' AS start) AS minute
WHERE key = 'NSE:INFY'
"""

FUTURES = """
INSERT INTO bars_1m (instrument_id, open_time, open, high, low, close, open_interest, partial, closed,
    first_time, first_row, last_time, last_row, cumulative_max, cumulative_before)
SELECT instrument_id, start, 26000 + n, 26000 + n, 26000 + n, 26000 + n,
    CASE kind WHEN 'FUTURE' THEN 5000 + 50 * n END, false, true,
    extract(epoch FROM start)::bigint * 1000000000, n, extract(epoch FROM start)::bigint * 1000000000 + 1, n,
    1000 * (n + 1), 1000 * n
FROM instruments, generate_series(0, 14) AS n,
    LATERAL (SELECT timestamptz '2029-12-24 03:45:00Z' + n * interval '1 minute' AS start) AS minute
WHERE key IN ('NFO:NIFTY29DECFUT', 'NSE:NIFTY 50')
"""

CANDLES = """
INSERT INTO m2m_candles (strategy, account, open_time, open, high, low, close, leg_count, first_time, last_time)
SELECT number, account, timestamptz '2025-11-03 03:45:00Z' + n * interval '1 minute',
    -10.5, 20.25 + n, -30, n * 0.0001, 1, 1, 2
FROM strategies, generate_series(0, 9) AS n WHERE strategy = %s
"""


def store_bars(database: TestDatabase) -> None:
    """Ten minutes of NSE:INFY from 2025-11-03 03:45 UTC; minute n opens at 100 + n and trades 1,000 units."""
    with database.connect() as connection:
        connection.execute(BARS)
        # As the worker does in the same transaction: larger bars are read from the minutes until they are rolled up.
        connection.execute("INSERT INTO rollup_dirty (bucket) VALUES (timestamptz '2025-11-03 03:45:00Z')")


def store_candles(database: TestDatabase, strategy: str) -> None:
    """Ten minutes of a strategy from 2025-11-03 03:45 UTC; minute n closes at n ten-thousandths of a rupee."""
    with database.connect() as connection:
        connection.execute(CANDLES, (strategy,))


def store_futures(database: TestDatabase) -> None:
    """A quarter of an hour of the NIFTY future and its index, on the morning of the future's last day."""
    with database.connect() as connection:
        connection.execute(FUTURES)
        connection.execute("INSERT INTO rollup_dirty (bucket) VALUES (timestamptz '2029-12-24 03:45:00Z')")

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

OPTIONS = """
WITH listed AS (
    SELECT instrument_id, underlying, expiry, strike, start, n
    FROM instruments, generate_series(0, 9) AS n,
        LATERAL (SELECT (expiry + time '03:45') AT TIME ZONE 'UTC' + n * interval '1 minute' AS start) AS minute
    WHERE key = %(option)s
), figures AS (
    INSERT INTO option_minutes (instrument_id, open_time, samples, spot, forward, open_interest,
        volatility_sum, delta_sum, gamma_sum, theta_sum, vega_sum, rho_sum,
        volatility_count, delta_count, gamma_count, theta_count, vega_count, rho_count,
        volatility, delta, gamma, theta, vega, rho, vanna, vomma, charm, speed, zomma, colour,
        spread, spread_pct, imbalance_pct, pressure, microprice, liquidity_score)
    SELECT instrument_id, start, 2, strike, strike, 5000 + n, 0.3, 1.1, 0.004, -16, 24, 14, 2, 2, 2, 2, 2, 2,
        0.15, 0.55, 0.002, -8, 12, 7, -0.003, 0.02, -0.01, -0.00001, -0.0002, 0.0003,
        0.5, 0.27, 12.5, 0.125, 183.1, 91
    FROM listed
), metrics AS (
    INSERT INTO expiry_metrics (underlying, expiry, open_time, samples, spot, forward, forward_source, forward_strike,
        rate, dividend_yield, years, call_open_interest, put_open_interest, call_volume, put_volume, pcr_oi, pcr_volume,
        max_pain, atm_strike, atm_volatility, skew, straddle, expected_move)
    SELECT underlying, expiry, start, 2, strike, strike, 'PARITY_SYNTHETIC', strike, 0.065, 0, 0.0007, 900, 800, 90, 80,
        0.8889, 0.8889, strike, strike, 0.15, 0.02, 366.5, 97.6
    FROM listed
), dirty AS (
    INSERT INTO rollup_dirty (bucket)
    SELECT start - back * interval '1 day' FROM listed, generate_series(0, 4) AS back WHERE n = 0
)
INSERT INTO bars_1m (instrument_id, open_time, open, high, low, close, open_interest, partial, closed,
    first_time, first_row, last_time, last_row, cumulative_max, cumulative_before)
SELECT instrument_id, day.start, 180 + n, 181 + n, 179.5 + n, 180.25 + n, 5000 + n, false, true, n, n, n + 1, n,
    1000 * (n + 1), 1000 * n
FROM listed, generate_series(0, 4) AS back, LATERAL (SELECT listed.start - back * interval '1 day' AS start) AS day
"""

CANDLES = """
INSERT INTO m2m_candles (strategy, account, open_time, open, high, low, close, leg_count, first_time, last_time)
SELECT number, account, timestamptz '2025-11-03 03:45:00Z' + n * interval '1 minute',
    -10.5, 20.25 + n, -30, n * 0.0001, 1, 1, 2
FROM strategies, generate_series(0, 9) AS n WHERE strategy = %s
"""


def store_calendar(database: TestDatabase) -> None:
    """Makes the NSE calendar cover 2029, the year of the contracts here. A system reads it when it starts."""
    with database.connect() as connection:
        connection.execute(
            "INSERT INTO calendar_sessions VALUES ('NSE', '2029-12-25', 'holiday', NULL, NULL, 'Christmas', 'test')"
        )


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


def store_options(database: TestDatabase, option: str) -> None:
    """Ten minutes of an option on the morning of its last day, with prices on some days before."""
    with database.connect() as connection:
        connection.execute(OPTIONS, {"option": option})

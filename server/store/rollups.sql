-- name: mark
INSERT INTO rollup_dirty (bucket) SELECT bucket FROM unnest($1::timestamptz[]) AS given (bucket) ORDER BY bucket;

-- name: edition
SELECT current_setting('timescaledb.license') = 'timescale' AS community;

-- name: pending
-- Quarter hours whose last mark is at least $2 old, oldest first. One that is marked all the time still fills.
SELECT bucket, array_agg(id) AS marks
FROM rollup_dirty GROUP BY bucket
HAVING max(marked_at) <= clock_timestamp() - $2::interval
ORDER BY bucket LIMIT $1;

-- name: waiting
SELECT count(DISTINCT bucket) FROM rollup_dirty;

-- name: done
-- Only the marks that were seen: one with a smaller id may have been committed since.
DELETE FROM rollup_dirty WHERE id = ANY ($1::bigint[]);

-- name: lock
-- One roll-up at a time: two would meet on the same rows.
SELECT pg_try_advisory_xact_lock(hashtext('strikeline rollup'));

-- name: take_turn
-- The same lock for a session, which must leave it: a refresh commits, and would give up a transaction's.
SELECT pg_try_advisory_lock(hashtext('strikeline rollup'));

-- name: leave_turn
SELECT pg_advisory_unlock(hashtext('strikeline rollup'));

-- name: roll_up_bars_5m
INSERT INTO bars_5m (instrument_id, open_time, open, high, low, close, volume, open_interest, partial, closed, minutes)
SELECT bar.instrument_id, time_bucket(INTERVAL '5 minutes', bar.open_time) AS bucket,
       first(bar.open, bar.open_time), max(bar.high), min(bar.low), last(bar.close, bar.open_time),
       sum(bar.volume)::bigint,
       last(bar.open_interest, bar.open_time) FILTER (WHERE bar.open_interest IS NOT NULL),
       bool_or(bar.partial), bool_and(bar.closed), count(*)::integer
FROM unnest($1::timestamptz[]) AS dirty (quarter)
CROSS JOIN LATERAL (
    SELECT instrument_id, open_time, open, high, low, close, volume, open_interest, partial, closed
    FROM bars_1m WHERE open_time >= dirty.quarter AND open_time < dirty.quarter + INTERVAL '15 minutes'
) AS bar
GROUP BY bar.instrument_id, bucket
ORDER BY bar.instrument_id, bucket
ON CONFLICT (instrument_id, open_time) DO UPDATE SET
    open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close, volume = excluded.volume,
    open_interest = excluded.open_interest, partial = excluded.partial, closed = excluded.closed,
    minutes = excluded.minutes;

-- name: roll_up_bars_15m
INSERT INTO bars_15m (instrument_id, open_time, open, high, low, close, volume, open_interest, partial, closed, minutes)
SELECT bar.instrument_id, dirty.quarter,
       first(bar.open, bar.open_time), max(bar.high), min(bar.low), last(bar.close, bar.open_time),
       sum(bar.volume)::bigint,
       last(bar.open_interest, bar.open_time) FILTER (WHERE bar.open_interest IS NOT NULL),
       bool_or(bar.partial), bool_and(bar.closed), count(*)::integer
FROM unnest($1::timestamptz[]) AS dirty (quarter)
CROSS JOIN LATERAL (
    SELECT instrument_id, open_time, open, high, low, close, volume, open_interest, partial, closed
    FROM bars_1m WHERE open_time >= dirty.quarter AND open_time < dirty.quarter + INTERVAL '15 minutes'
) AS bar
GROUP BY bar.instrument_id, dirty.quarter
ORDER BY bar.instrument_id, dirty.quarter
ON CONFLICT (instrument_id, open_time) DO UPDATE SET
    open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close, volume = excluded.volume,
    open_interest = excluded.open_interest, partial = excluded.partial, closed = excluded.closed,
    minutes = excluded.minutes;

-- name: take_rollup_role
SET ROLE strikeline_rollup;

-- name: leave_rollup_role
RESET ROLE;

-- name: refresh_bars_5m
CALL refresh_continuous_aggregate('bars_5m', $1::timestamptz, $2::timestamptz);

-- name: refresh_bars_15m
CALL refresh_continuous_aggregate('bars_15m', $1::timestamptz, $2::timestamptz);

-- name: roll_up_option_minutes_5m
-- What was made of more minutes than are left stays: the others were forgotten since.
INSERT INTO option_minutes_5m AS known
SELECT * FROM rolled_option_minutes($1::timestamptz[], INTERVAL '5 minutes')
ON CONFLICT (instrument_id, open_time) DO UPDATE SET
    samples = excluded.samples, spot = excluded.spot, forward = excluded.forward,
    open_interest = excluded.open_interest,
    volatility_sum = excluded.volatility_sum, delta_sum = excluded.delta_sum, gamma_sum = excluded.gamma_sum,
    theta_sum = excluded.theta_sum, vega_sum = excluded.vega_sum, rho_sum = excluded.rho_sum,
    volatility_count = excluded.volatility_count, delta_count = excluded.delta_count,
    gamma_count = excluded.gamma_count, theta_count = excluded.theta_count, vega_count = excluded.vega_count,
    rho_count = excluded.rho_count, volatility = excluded.volatility, delta = excluded.delta, gamma = excluded.gamma,
    theta = excluded.theta, vega = excluded.vega, rho = excluded.rho, vanna = excluded.vanna, vomma = excluded.vomma,
    charm = excluded.charm, speed = excluded.speed, zomma = excluded.zomma, colour = excluded.colour,
    spread = excluded.spread, spread_pct = excluded.spread_pct, imbalance_pct = excluded.imbalance_pct,
    pressure = excluded.pressure, microprice = excluded.microprice, liquidity_score = excluded.liquidity_score,
    minutes = excluded.minutes
WHERE excluded.minutes >= known.minutes;

-- name: roll_up_option_minutes_15m
INSERT INTO option_minutes_15m AS known
SELECT * FROM rolled_option_minutes($1::timestamptz[], INTERVAL '15 minutes')
ON CONFLICT (instrument_id, open_time) DO UPDATE SET
    samples = excluded.samples, spot = excluded.spot, forward = excluded.forward,
    open_interest = excluded.open_interest,
    volatility_sum = excluded.volatility_sum, delta_sum = excluded.delta_sum, gamma_sum = excluded.gamma_sum,
    theta_sum = excluded.theta_sum, vega_sum = excluded.vega_sum, rho_sum = excluded.rho_sum,
    volatility_count = excluded.volatility_count, delta_count = excluded.delta_count,
    gamma_count = excluded.gamma_count, theta_count = excluded.theta_count, vega_count = excluded.vega_count,
    rho_count = excluded.rho_count, volatility = excluded.volatility, delta = excluded.delta, gamma = excluded.gamma,
    theta = excluded.theta, vega = excluded.vega, rho = excluded.rho, vanna = excluded.vanna, vomma = excluded.vomma,
    charm = excluded.charm, speed = excluded.speed, zomma = excluded.zomma, colour = excluded.colour,
    spread = excluded.spread, spread_pct = excluded.spread_pct, imbalance_pct = excluded.imbalance_pct,
    pressure = excluded.pressure, microprice = excluded.microprice, liquidity_score = excluded.liquidity_score,
    minutes = excluded.minutes
WHERE excluded.minutes >= known.minutes;

-- name: roll_up_expiry_metrics_5m
INSERT INTO expiry_metrics_5m
SELECT * FROM rolled_expiry_metrics($1::timestamptz[], INTERVAL '5 minutes')
ON CONFLICT (underlying, expiry, open_time) DO UPDATE SET
    spot = excluded.spot, forward = excluded.forward, forward_source = excluded.forward_source,
    call_open_interest = excluded.call_open_interest, put_open_interest = excluded.put_open_interest,
    call_volume = excluded.call_volume, put_volume = excluded.put_volume, pcr_oi = excluded.pcr_oi,
    pcr_volume = excluded.pcr_volume, max_pain = excluded.max_pain, atm_volatility = excluded.atm_volatility,
    samples = excluded.samples, forward_strike = excluded.forward_strike, rate = excluded.rate,
    dividend_yield = excluded.dividend_yield, years = excluded.years, atm_strike = excluded.atm_strike,
    skew = excluded.skew, straddle = excluded.straddle, expected_move = excluded.expected_move,
    minutes = excluded.minutes;

-- name: roll_up_expiry_metrics_15m
INSERT INTO expiry_metrics_15m
SELECT * FROM rolled_expiry_metrics($1::timestamptz[], INTERVAL '15 minutes')
ON CONFLICT (underlying, expiry, open_time) DO UPDATE SET
    spot = excluded.spot, forward = excluded.forward, forward_source = excluded.forward_source,
    call_open_interest = excluded.call_open_interest, put_open_interest = excluded.put_open_interest,
    call_volume = excluded.call_volume, put_volume = excluded.put_volume, pcr_oi = excluded.pcr_oi,
    pcr_volume = excluded.pcr_volume, max_pain = excluded.max_pain, atm_volatility = excluded.atm_volatility,
    samples = excluded.samples, forward_strike = excluded.forward_strike, rate = excluded.rate,
    dividend_yield = excluded.dividend_yield, years = excluded.years, atm_strike = excluded.atm_strike,
    skew = excluded.skew, straddle = excluded.straddle, expected_move = excluded.expected_move,
    minutes = excluded.minutes;

-- name: unforgotten
-- Of quarter hours those with all the minutes of options that their roll-ups were made of. Refreshing another one would
-- take away what forgotten minutes were made into.
SELECT bucket FROM unnest($1::timestamptz[]) AS dirty (bucket)
WHERE NOT EXISTS (
    SELECT FROM option_minutes_15m AS rolled
    WHERE rolled.open_time = dirty.bucket AND rolled.minutes > (
        SELECT count(*) FROM option_minutes AS kept
        WHERE kept.instrument_id = rolled.instrument_id AND kept.open_time >= dirty.bucket
          AND kept.open_time < dirty.bucket + INTERVAL '15 minutes'))
ORDER BY bucket;

-- name: refresh_option_minutes_5m
CALL refresh_continuous_aggregate('option_minutes_5m', $1::timestamptz, $2::timestamptz);

-- name: refresh_option_minutes_15m
CALL refresh_continuous_aggregate('option_minutes_15m', $1::timestamptz, $2::timestamptz);

-- name: refresh_expiry_metrics_5m
CALL refresh_continuous_aggregate('expiry_metrics_5m', $1::timestamptz, $2::timestamptz);

-- name: refresh_expiry_metrics_15m
CALL refresh_continuous_aggregate('expiry_metrics_15m', $1::timestamptz, $2::timestamptz);

-- name: forget_option_minutes
-- Drops the minutes that were recorded longer than $1 ago.
SELECT forget_option_minutes($1::interval) AS chunks;

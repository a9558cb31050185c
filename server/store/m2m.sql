-- name: merge_candles
-- Commutative and idempotent by the market times of the first and the last sample. Rows of strategies that do not
-- exist are left out.
INSERT INTO m2m_candles AS known (strategy, account, open_time, open, high, low, close, leg_count, first_time, last_time)
SELECT given.strategy, s.account, given.open_time, given.open::numeric / 10000, given.high::numeric / 10000,
       given.low::numeric / 10000, given.close::numeric / 10000, given.leg_count, given.first_time, given.last_time
FROM unnest($1::bigint[], $2::timestamptz[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::integer[],
            $8::bigint[], $9::bigint[])
     AS given (strategy, open_time, open, high, low, close, leg_count, first_time, last_time)
JOIN strategies s ON s.number = given.strategy
ORDER BY given.strategy, given.open_time
ON CONFLICT (strategy, open_time) DO UPDATE SET
    open = CASE WHEN excluded.first_time < known.first_time THEN excluded.open ELSE known.open END,
    high = greatest(known.high, excluded.high),
    low = least(known.low, excluded.low),
    close = CASE WHEN excluded.last_time >= known.last_time THEN excluded.close ELSE known.close END,
    leg_count = CASE WHEN excluded.last_time >= known.last_time THEN excluded.leg_count ELSE known.leg_count END,
    first_time = least(known.first_time, excluded.first_time),
    last_time = greatest(known.last_time, excluded.last_time);

-- name: save_current
INSERT INTO strategy_m2m (strategy, account, market_time, m2m, premium_flow, complete, legs)
SELECT given.strategy, s.account, given.market_time, given.m2m::numeric / 10000, given.premium_flow::numeric / 10000,
       given.complete, given.legs
FROM unnest($1::bigint[], $2::timestamptz[], $3::bigint[], $4::bigint[], $5::boolean[], $6::bytea[])
     AS given (strategy, market_time, m2m, premium_flow, complete, legs)
JOIN strategies s ON s.number = given.strategy
ORDER BY given.strategy
ON CONFLICT (strategy) DO UPDATE SET
    market_time = excluded.market_time, m2m = excluded.m2m, premium_flow = excluded.premium_flow,
    complete = excluded.complete, legs = excluded.legs;

-- name: current
SELECT latest.market_time, latest.m2m, latest.premium_flow, latest.complete, latest.legs
FROM strategies s JOIN strategy_m2m latest ON latest.strategy = s.number
WHERE s.account = $1 AND s.strategy = $2;

-- name: strategy_number
SELECT number FROM strategies WHERE account = $1 AND strategy = $2;

-- name: candles_ascending
SELECT open_time, open, high, low, close, leg_count
FROM own_m2m_candles
WHERE strategy = $1 AND open_time >= $2 AND open_time < $3
ORDER BY open_time LIMIT $4;

-- name: candles_descending
SELECT open_time, open, high, low, close, leg_count
FROM own_m2m_candles
WHERE strategy = $1 AND open_time >= $2 AND open_time < $3
ORDER BY open_time DESC LIMIT $4;

-- name: minute
-- Candles of the minutes that a worker may still add to.
SELECT strategy, open_time, (open * 10000)::bigint AS open, (high * 10000)::bigint AS high,
       (low * 10000)::bigint AS low, (close * 10000)::bigint AS close, leg_count, first_time, last_time
FROM m2m_candles
WHERE strategy = ANY ($1::bigint[]) AND open_time >= $2 AND open_time < $3
ORDER BY strategy, open_time;

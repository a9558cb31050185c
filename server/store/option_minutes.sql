-- Minutes of options. Parameters of the writing statements are parallel arrays, one element a row; NaN is absent.

-- name: save
-- Of two versions of a minute the one with more samples stays: a replay of the same ticks has as many and changes
-- nothing, a run that began or ended within the minute has fewer.
INSERT INTO option_minutes AS known (
    instrument_id, open_time, samples, spot, forward, open_interest,
    volatility_sum, delta_sum, gamma_sum, theta_sum, vega_sum, rho_sum,
    volatility_count, delta_count, gamma_count, theta_count, vega_count, rho_count,
    volatility, delta, gamma, theta, vega, rho, vanna, vomma, charm, speed, zomma, colour,
    spread, spread_pct, imbalance_pct, pressure, microprice, liquidity_score)
SELECT DISTINCT ON (instrument_id, open_time)
    instrument_id, open_time, samples, nullif(spot, 'NaN'), nullif(forward, 'NaN'), open_interest,
    volatility_sum, delta_sum, gamma_sum, theta_sum, vega_sum, rho_sum,
    volatility_count, delta_count, gamma_count, theta_count, vega_count, rho_count,
    nullif(volatility, 'NaN'), nullif(delta, 'NaN'), nullif(gamma, 'NaN'), nullif(theta, 'NaN'), nullif(vega, 'NaN'),
    nullif(rho, 'NaN'), nullif(vanna, 'NaN'), nullif(vomma, 'NaN'), nullif(charm, 'NaN'), nullif(speed, 'NaN'),
    nullif(zomma, 'NaN'), nullif(colour, 'NaN'),
    nullif(spread, 'NaN'), nullif(spread_pct, 'NaN'), nullif(imbalance_pct, 'NaN'), nullif(pressure, 'NaN'),
    nullif(microprice, 'NaN'), nullif(liquidity_score, 'NaN')
FROM unnest($1::integer[], $2::timestamptz[], $3::integer[], $4::float8[], $5::float8[], $6::bigint[],
            $7::float8[], $8::float8[], $9::float8[], $10::float8[], $11::float8[], $12::float8[],
            $13::integer[], $14::integer[], $15::integer[], $16::integer[], $17::integer[], $18::integer[],
            $19::float8[], $20::float8[], $21::float8[], $22::float8[], $23::float8[], $24::float8[], $25::float8[],
            $26::float8[], $27::float8[], $28::float8[], $29::float8[], $30::float8[],
            $31::float8[], $32::float8[], $33::float8[], $34::float8[], $35::float8[], $36::float8[])
     AS given (instrument_id, open_time, samples, spot, forward, open_interest,
               volatility_sum, delta_sum, gamma_sum, theta_sum, vega_sum, rho_sum,
               volatility_count, delta_count, gamma_count, theta_count, vega_count, rho_count,
               volatility, delta, gamma, theta, vega, rho, vanna, vomma, charm, speed, zomma, colour,
               spread, spread_pct, imbalance_pct, pressure, microprice, liquidity_score)
ORDER BY instrument_id, open_time, samples DESC, volatility_count DESC, volatility_sum DESC
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
    pressure = excluded.pressure, microprice = excluded.microprice, liquidity_score = excluded.liquidity_score
WHERE (excluded.samples, excluded.volatility_count, excluded.volatility_sum)
      > (known.samples, known.volatility_count, known.volatility_sum);

-- name: extent
-- First and last time of any of the contracts in [$2, $3), in minutes or in what outlives them. Each part reads one index
-- entry a contract.
SELECT least(min(minute.first), min(quarter.first)) AS first, greatest(max(minute.last), max(quarter.last)) AS last
FROM unnest($1::integer[]) AS contract (instrument_id)
CROSS JOIN LATERAL (
    SELECT (SELECT open_time FROM option_minutes WHERE instrument_id = contract.instrument_id
              AND open_time >= $2 AND open_time < $3 ORDER BY open_time LIMIT 1) AS first,
           (SELECT open_time FROM option_minutes WHERE instrument_id = contract.instrument_id
              AND open_time >= $2 AND open_time < $3 ORDER BY open_time DESC LIMIT 1) AS last
) AS minute
CROSS JOIN LATERAL (
    SELECT (SELECT open_time FROM option_minutes_15m WHERE instrument_id = contract.instrument_id
              AND open_time >= $2 AND open_time < $3 ORDER BY open_time LIMIT 1) AS first,
           (SELECT open_time FROM option_minutes_15m WHERE instrument_id = contract.instrument_id
              AND open_time >= $2 AND open_time < $3 ORDER BY open_time DESC LIMIT 1) AS last
) AS quarter;

-- name: figures
-- Figures of contracts ($2) in buckets of $6 from the origin ($5) of their session ($3 opens, $4 closes), or in one
-- bucket with others of the same origin when $6 is NULL; from pieces no longer than $1 minutes, within [$7, $8). What
-- the expiry was valued with in the last of its pieces is beside them, as "valued_" and the column's name; OFFSET 0 keeps
-- that read by contract and index.
WITH found AS (
SELECT piece.instrument_id,
       CASE WHEN $6::interval IS NULL THEN session.origin
            ELSE time_bucket($6::interval, piece.open_time, session.origin) END AS open_time,
       max(piece.open_time) AS newest, sum(piece.samples)::integer AS samples,
       last(piece.spot, piece.open_time) AS spot, last(piece.forward, piece.open_time) AS forward,
       last(open_interest, piece.open_time) FILTER (WHERE open_interest IS NOT NULL) AS open_interest,
       sum(volatility_sum) AS volatility_sum, sum(delta_sum) AS delta_sum, sum(gamma_sum) AS gamma_sum,
       sum(theta_sum) AS theta_sum, sum(vega_sum) AS vega_sum, sum(rho_sum) AS rho_sum,
       sum(volatility_count)::integer AS volatility_count, sum(delta_count)::integer AS delta_count,
       sum(gamma_count)::integer AS gamma_count, sum(theta_count)::integer AS theta_count,
       sum(vega_count)::integer AS vega_count, sum(rho_count)::integer AS rho_count,
       last(volatility, piece.open_time) FILTER (WHERE volatility IS NOT NULL) AS volatility,
       last(delta, piece.open_time) FILTER (WHERE delta IS NOT NULL) AS delta,
       last(gamma, piece.open_time) FILTER (WHERE gamma IS NOT NULL) AS gamma,
       last(theta, piece.open_time) FILTER (WHERE theta IS NOT NULL) AS theta,
       last(vega, piece.open_time) FILTER (WHERE vega IS NOT NULL) AS vega,
       last(rho, piece.open_time) FILTER (WHERE rho IS NOT NULL) AS rho,
       last(vanna, piece.open_time) FILTER (WHERE vanna IS NOT NULL) AS vanna,
       last(vomma, piece.open_time) FILTER (WHERE vomma IS NOT NULL) AS vomma,
       last(charm, piece.open_time) FILTER (WHERE charm IS NOT NULL) AS charm,
       last(speed, piece.open_time) FILTER (WHERE speed IS NOT NULL) AS speed,
       last(zomma, piece.open_time) FILTER (WHERE zomma IS NOT NULL) AS zomma,
       last(colour, piece.open_time) FILTER (WHERE colour IS NOT NULL) AS colour,
       last(spread, piece.open_time) FILTER (WHERE spread IS NOT NULL) AS spread,
       last(spread_pct, piece.open_time) FILTER (WHERE spread IS NOT NULL) AS spread_pct,
       last(imbalance_pct, piece.open_time) FILTER (WHERE spread IS NOT NULL) AS imbalance_pct,
       last(pressure, piece.open_time) FILTER (WHERE spread IS NOT NULL) AS pressure,
       last(microprice, piece.open_time) FILTER (WHERE spread IS NOT NULL) AS microprice,
       last(liquidity_score, piece.open_time) FILTER (WHERE spread IS NOT NULL) AS liquidity_score
FROM option_minutes_series piece
JOIN unnest($3::timestamptz[], $4::timestamptz[], $5::timestamptz[]) AS session (opens, closes, origin)
  ON piece.open_time >= session.opens AND piece.open_time < session.closes
WHERE piece.resolution = $1 AND piece.instrument_id = ANY ($2::integer[])
  AND piece.open_time >= $7 AND piece.open_time < $8
GROUP BY 1, 2
), valued AS (
SELECT contract.instrument_id, piece.*
FROM instruments contract
CROSS JOIN LATERAL (
    SELECT open_time, spot, forward, forward_source, forward_strike, rate, dividend_yield, years
    FROM expiry_metrics_series metrics
    WHERE metrics.resolution = $1 AND metrics.underlying = contract.underlying AND metrics.expiry = contract.expiry
      AND metrics.open_time >= $7 AND metrics.open_time < $8
    OFFSET 0
) AS piece
WHERE contract.instrument_id = ANY ($2::integer[])
)
SELECT found.*, valued.open_time AS valued_time, valued.spot AS valued_spot, valued.forward AS valued_forward,
       valued.forward_source AS valued_forward_source, valued.forward_strike AS valued_forward_strike,
       valued.rate AS valued_rate, valued.dividend_yield AS valued_dividend_yield, valued.years AS valued_years
FROM found
LEFT JOIN valued ON valued.instrument_id = found.instrument_id AND valued.open_time = found.newest
ORDER BY found.open_time, found.instrument_id;

-- name: means
-- Sum and count of one figure ($9) of many contracts, and the last volatility of each bucket; otherwise as above.
SELECT piece.instrument_id,
       CASE WHEN $6::interval IS NULL THEN session.origin
            ELSE time_bucket($6::interval, piece.open_time, session.origin) END AS open_time,
       sum(CASE $9::text WHEN 'volatility' THEN volatility_sum WHEN 'delta' THEN delta_sum
                         WHEN 'gamma' THEN gamma_sum WHEN 'theta' THEN theta_sum
                         WHEN 'vega' THEN vega_sum WHEN 'rho' THEN rho_sum END) AS total,
       sum(CASE $9::text WHEN 'volatility' THEN volatility_count WHEN 'delta' THEN delta_count
                         WHEN 'gamma' THEN gamma_count WHEN 'theta' THEN theta_count
                         WHEN 'vega' THEN vega_count WHEN 'rho' THEN rho_count END)::integer AS samples,
       last(volatility, piece.open_time) FILTER (WHERE volatility IS NOT NULL) AS volatility
FROM option_minutes_series piece
JOIN unnest($3::timestamptz[], $4::timestamptz[], $5::timestamptz[]) AS session (opens, closes, origin)
  ON piece.open_time >= session.opens AND piece.open_time < session.closes
WHERE piece.resolution = $1 AND piece.instrument_id = ANY ($2::integer[])
  AND piece.open_time >= $7 AND piece.open_time < $8
GROUP BY 1, 2;

-- name: prices
-- Close and volume of many contracts; otherwise as above.
SELECT piece.instrument_id,
       CASE WHEN $6::interval IS NULL THEN session.origin
            ELSE time_bucket($6::interval, piece.open_time, session.origin) END AS open_time,
       last(piece.close, piece.open_time) AS close, sum(piece.volume)::bigint AS volume
FROM bars_series piece
JOIN unnest($3::timestamptz[], $4::timestamptz[], $5::timestamptz[]) AS session (opens, closes, origin)
  ON piece.open_time >= session.opens AND piece.open_time < session.closes
WHERE piece.resolution = $1 AND piece.instrument_id = ANY ($2::integer[])
  AND piece.open_time >= $7 AND piece.open_time < $8
GROUP BY 1, 2;

-- name: open_interest
-- The last known open interest of many contracts, by figures, which know it without a trade, or by bars; otherwise as
-- above.
SELECT piece.instrument_id,
       CASE WHEN $6::interval IS NULL THEN session.origin
            ELSE time_bucket($6::interval, piece.open_time, session.origin) END AS open_time,
       last(piece.open_interest, piece.open_time + piece.rank) AS open_interest
FROM (
    SELECT instrument_id, open_time, open_interest, INTERVAL '1 microsecond' AS rank FROM option_minutes_series
    WHERE resolution = $1 AND instrument_id = ANY ($2::integer[]) AND open_time >= $7 AND open_time < $8
      AND open_interest IS NOT NULL
    UNION ALL
    SELECT instrument_id, open_time, open_interest, INTERVAL '0' FROM bars_series
    WHERE resolution = $1 AND instrument_id = ANY ($2::integer[]) AND open_time >= $7 AND open_time < $8
      AND open_interest IS NOT NULL
) AS piece
JOIN unnest($3::timestamptz[], $4::timestamptz[], $5::timestamptz[]) AS session (opens, closes, origin)
  ON piece.open_time >= session.opens AND piece.open_time < session.closes
GROUP BY 1, 2;

-- name: open_interest_before
-- The last known open interest of each contract in [$2, $3), by its minutes or bars; contracts without are left out.
SELECT contract.instrument_id, newest.open_time, newest.open_interest
FROM unnest($1::integer[]) AS contract (instrument_id)
CROSS JOIN LATERAL (
    (SELECT open_time, open_interest, 1 AS rank FROM option_minutes
     WHERE instrument_id = contract.instrument_id AND open_time >= $2 AND open_time < $3 AND open_interest IS NOT NULL
     ORDER BY open_time DESC LIMIT 1)
    UNION ALL
    (SELECT open_time, open_interest, 2 FROM bars_1m
     WHERE instrument_id = contract.instrument_id AND open_time >= $2 AND open_time < $3 AND open_interest IS NOT NULL
     ORDER BY open_time DESC LIMIT 1)
    ORDER BY open_time DESC, rank LIMIT 1
) AS newest;

-- name: closing_open_interest
-- The last known open interest of contract $1 within each of the days that begin at $2 and end before $3: by minutes or
-- bars, else by what outlives minutes, else by a recorded daily bar. Days without are left out.
SELECT day.position, coalesce(newest.open_interest, quarter.open_interest, daily.open_interest) AS open_interest
FROM unnest($2::timestamptz[], $3::timestamptz[]) WITH ORDINALITY AS day (start, finish, position)
LEFT JOIN LATERAL (
    (SELECT open_time, open_interest, 1 AS rank FROM option_minutes
     WHERE instrument_id = $1 AND open_time >= day.start AND open_time < day.finish AND open_interest IS NOT NULL
     ORDER BY open_time DESC LIMIT 1)
    UNION ALL
    (SELECT open_time, open_interest, 2 FROM bars_1m
     WHERE instrument_id = $1 AND open_time >= day.start AND open_time < day.finish AND open_interest IS NOT NULL
     ORDER BY open_time DESC LIMIT 1)
    ORDER BY open_time DESC, rank LIMIT 1
) AS newest ON true
LEFT JOIN LATERAL (
    SELECT open_interest FROM option_minutes_15m
    WHERE instrument_id = $1 AND open_time >= day.start AND open_time < day.finish AND open_interest IS NOT NULL
    ORDER BY open_time DESC LIMIT 1
) AS quarter ON newest.open_interest IS NULL
LEFT JOIN LATERAL (
    SELECT open_interest FROM bars_stored
    WHERE instrument_id = $1 AND timeframe = '1day' AND open_time >= day.start AND open_time < day.finish
    ORDER BY open_time DESC LIMIT 1
) AS daily ON newest.open_interest IS NULL AND quarter.open_interest IS NULL
WHERE coalesce(newest.open_interest, quarter.open_interest, daily.open_interest) IS NOT NULL;

-- name: at
-- The newest minute of a contract that is valued and begins in [$2, $3).
SELECT figure.open_time, figure.samples, figure.spot, figure.forward, figure.volatility, figure.delta, figure.gamma,
       figure.theta, figure.vega, figure.rho, figure.vanna, figure.vomma, figure.charm, figure.speed, figure.zomma,
       figure.colour, figure.close, figure.volume, figure.open_interest
FROM option_bars_1m figure
WHERE figure.instrument_id = $1 AND figure.open_time >= $2 AND figure.open_time < $3
  AND figure.volatility IS NOT NULL
ORDER BY figure.open_time DESC LIMIT 1;

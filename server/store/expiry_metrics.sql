-- Metrics of expiries by the minute. Parameters of the writing statement are parallel arrays.

-- name: save
-- Of two versions of a minute the one with more samples stays, as with the minutes of the expiry's options.
INSERT INTO expiry_metrics AS known (
    underlying, expiry, open_time, samples, spot, forward, forward_source, forward_strike, rate, dividend_yield, years,
    call_open_interest, put_open_interest, call_volume, put_volume, pcr_oi, pcr_volume, max_pain, atm_strike,
    atm_volatility, skew, straddle, expected_move)
SELECT DISTINCT ON (underlying, expiry, open_time)
    underlying, expiry, open_time, samples, spot, forward, forward_source, forward_strike::numeric, rate,
    dividend_yield, years, call_open_interest::bigint, put_open_interest::bigint, call_volume::bigint,
    put_volume::bigint, pcr_oi, pcr_volume, max_pain::numeric, atm_strike::numeric, atm_volatility, skew, straddle,
    expected_move
FROM unnest($1::text[], $2::date[], $3::timestamptz[], $4::integer[], $5::float8[], $6::float8[], $7::text[],
            $8::float8[], $9::float8[], $10::float8[], $11::float8[], $12::float8[], $13::float8[], $14::float8[],
            $15::float8[], $16::float8[], $17::float8[], $18::float8[], $19::float8[], $20::float8[], $21::float8[],
            $22::float8[], $23::float8[])
     AS given (underlying, expiry, open_time, samples, spot, forward, forward_source, forward_strike, rate,
               dividend_yield, years, call_open_interest, put_open_interest, call_volume, put_volume, pcr_oi,
               pcr_volume, max_pain, atm_strike, atm_volatility, skew, straddle, expected_move)
ORDER BY underlying, expiry, open_time, samples DESC
ON CONFLICT (underlying, expiry, open_time) DO UPDATE SET
    samples = excluded.samples, spot = excluded.spot, forward = excluded.forward,
    forward_source = excluded.forward_source, forward_strike = excluded.forward_strike, rate = excluded.rate,
    dividend_yield = excluded.dividend_yield, years = excluded.years,
    call_open_interest = excluded.call_open_interest, put_open_interest = excluded.put_open_interest,
    call_volume = excluded.call_volume, put_volume = excluded.put_volume, pcr_oi = excluded.pcr_oi,
    pcr_volume = excluded.pcr_volume, max_pain = excluded.max_pain, atm_strike = excluded.atm_strike,
    atm_volatility = excluded.atm_volatility, skew = excluded.skew, straddle = excluded.straddle,
    expected_move = excluded.expected_move
WHERE excluded.samples > known.samples;

-- name: extent
-- First and last time of the expiry in [$3, $4). Each part reads one index entry.
SELECT (SELECT open_time FROM expiry_metrics WHERE underlying = $1 AND expiry = $2 AND open_time >= $3
          AND open_time < $4 ORDER BY open_time LIMIT 1) AS first,
       (SELECT open_time FROM expiry_metrics WHERE underlying = $1 AND expiry = $2 AND open_time >= $3
          AND open_time < $4 ORDER BY open_time DESC LIMIT 1) AS last;

-- name: series
-- The last metrics of each bucket of $7, from the origin ($6) of its session ($4 opens, $5 closes), or of all sessions of
-- one origin when $7 is NULL; from pieces no longer than $3 minutes, within [$8, $9).
SELECT DISTINCT ON (bucket)
       CASE WHEN $7::interval IS NULL THEN session.origin
            ELSE time_bucket($7::interval, piece.open_time, session.origin) END AS bucket,
       piece.samples, piece.spot, piece.forward, piece.forward_source,
       piece.forward_strike, piece.rate, piece.dividend_yield, piece.years, piece.call_open_interest,
       piece.put_open_interest, piece.call_volume, piece.put_volume, piece.pcr_oi, piece.pcr_volume, piece.max_pain,
       piece.atm_strike, piece.atm_volatility, piece.skew, piece.straddle, piece.expected_move
FROM expiry_metrics_series piece
JOIN unnest($4::timestamptz[], $5::timestamptz[], $6::timestamptz[]) AS session (opens, closes, origin)
  ON piece.open_time >= session.opens AND piece.open_time < session.closes
WHERE piece.resolution = $3 AND piece.underlying = $1 AND piece.expiry = $2
  AND piece.open_time >= $8 AND piece.open_time < $9
ORDER BY bucket, piece.open_time DESC;

-- name: at
-- The metrics of one minute.
SELECT open_time AS bucket, samples, spot, forward, forward_source, forward_strike, rate,
       dividend_yield, years, call_open_interest, put_open_interest, call_volume, put_volume, pcr_oi, pcr_volume,
       max_pain, atm_strike, atm_volatility, skew, straddle, expected_move
FROM expiry_metrics
WHERE underlying = $1 AND expiry = $2 AND open_time = $3;

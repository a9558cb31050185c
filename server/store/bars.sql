-- Bars. Parameters of the writing statements are parallel arrays, one element a bar.

-- name: merge
-- Commutative and idempotent: each column depends on the keys of the ticks, not on who writes first. Of two versions
-- that both begin with a baseline (partial) the earlier first tick has the right one; a version that knows the day's
-- earlier volume beats one that does not.
INSERT INTO bars_1m AS known (instrument_id, open_time, open, high, low, close, open_interest, partial, closed,
                              first_time, first_row, last_time, last_row, cumulative_max, cumulative_before)
SELECT instrument_id, open_time, open, high, low, close, open_interest, partial, closed, first_time, first_row,
       last_time, last_row, cumulative_max, cumulative_before
FROM unnest($1::integer[], $2::timestamptz[], $3::float8[], $4::float8[], $5::float8[], $6::float8[], $7::bigint[],
            $8::boolean[], $9::boolean[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[],
            $15::bigint[])
     AS given (instrument_id, open_time, open, high, low, close, open_interest, partial, closed, first_time, first_row,
               last_time, last_row, cumulative_max, cumulative_before)
ORDER BY instrument_id, open_time
ON CONFLICT (instrument_id, open_time) DO UPDATE SET
    open = CASE WHEN (excluded.first_time, excluded.first_row) < (known.first_time, known.first_row)
                THEN excluded.open ELSE known.open END,
    high = greatest(known.high, excluded.high),
    low = least(known.low, excluded.low),
    close = CASE WHEN (excluded.last_time, excluded.last_row) >= (known.last_time, known.last_row)
                 THEN excluded.close ELSE known.close END,
    open_interest = CASE WHEN (excluded.last_time, excluded.last_row) >= (known.last_time, known.last_row)
                         THEN coalesce(excluded.open_interest, known.open_interest)
                         ELSE coalesce(known.open_interest, excluded.open_interest) END,
    partial = known.partial AND excluded.partial,
    closed = known.closed OR excluded.closed,
    first_time = CASE WHEN (excluded.first_time, excluded.first_row) < (known.first_time, known.first_row)
                      THEN excluded.first_time ELSE known.first_time END,
    first_row = CASE WHEN (excluded.first_time, excluded.first_row) < (known.first_time, known.first_row)
                     THEN excluded.first_row ELSE known.first_row END,
    last_time = CASE WHEN (excluded.last_time, excluded.last_row) >= (known.last_time, known.last_row)
                     THEN excluded.last_time ELSE known.last_time END,
    last_row = CASE WHEN (excluded.last_time, excluded.last_row) >= (known.last_time, known.last_row)
                    THEN excluded.last_row ELSE known.last_row END,
    cumulative_max = greatest(known.cumulative_max, excluded.cumulative_max),
    cumulative_before = CASE
        WHEN NOT known.partial AND excluded.partial THEN known.cumulative_before
        WHEN known.partial AND NOT excluded.partial THEN excluded.cumulative_before
        WHEN NOT known.partial THEN greatest(known.cumulative_before, excluded.cumulative_before)
        WHEN (excluded.first_time, excluded.first_row) < (known.first_time, known.first_row)
            THEN excluded.cumulative_before
        WHEN (excluded.first_time, excluded.first_row) > (known.first_time, known.first_row)
            THEN known.cumulative_before
        ELSE least(known.cumulative_before, excluded.cumulative_before) END;

-- name: day
SELECT instrument_id, open_time, open, high, low, close, open_interest, partial, closed, first_time, first_row,
       last_time, last_row, cumulative_max, cumulative_before
FROM bars_1m
WHERE instrument_id = ANY ($1::integer[]) AND open_time >= $2 AND open_time < $3
ORDER BY instrument_id, open_time;

-- name: newest_before
-- For each instrument ($1) the newest time before $2[n] at which it has a minute bar, and a recorded bar of one of the
-- timeframes $3.
SELECT number AS instrument_id,
       (SELECT open_time FROM bars_1m WHERE instrument_id = number AND open_time < before
        ORDER BY open_time DESC LIMIT 1) AS minute,
       (SELECT max(open_time) FROM bars_stored
        WHERE instrument_id = number AND timeframe = ANY ($3::text[]) AND open_time < before) AS recorded
FROM unnest($1::integer[], $2::timestamptz[]) AS wanted (number, before);

-- name: stretches
-- The minute bars of each instrument ($1) in a stretch of its own, [$2[n], $3[n]).
SELECT bar.*
FROM unnest($1::integer[], $2::timestamptz[], $3::timestamptz[]) AS wanted (number, opens, closes)
CROSS JOIN LATERAL (
    SELECT instrument_id, open_time, open, high, low, close, open_interest, partial, closed, first_time, first_row,
           last_time, last_row, cumulative_max, cumulative_before
    FROM bars_1m
    WHERE instrument_id = number AND open_time >= opens AND open_time < closes) AS bar;

-- name: days_with_bars
-- Which of the (instrument, day) pairs have a bar: an index probe for each.
SELECT pair.position
FROM unnest($1::integer[], $2::timestamptz[], $3::timestamptz[]) WITH ORDINALITY
         AS pair (instrument_id, day_start, day_end, position)
WHERE EXISTS (SELECT FROM bars_1m bar
              WHERE bar.instrument_id = pair.instrument_id AND bar.open_time >= pair.day_start
                AND bar.open_time < pair.day_end);

-- name: store_larger
INSERT INTO bars_stored (instrument_id, timeframe, open_time, open, high, low, close, volume, open_interest, source)
SELECT instrument_id, $1, open_time, open, high, low, close, volume, open_interest, $2
FROM unnest($3::integer[], $4::timestamptz[], $5::float8[], $6::float8[], $7::float8[], $8::float8[], $9::bigint[],
            $10::bigint[])
     AS given (instrument_id, open_time, open, high, low, close, volume, open_interest)
ORDER BY instrument_id, open_time
ON CONFLICT (instrument_id, timeframe, open_time) DO UPDATE SET
    open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close, volume = excluded.volume,
    open_interest = excluded.open_interest, source = excluded.source;

-- name: minutes_ascending
SELECT open_time, open, high, low, close, volume, open_interest, partial, closed
FROM bars_1m
WHERE instrument_id = $1 AND open_time >= $2 AND open_time < $3
ORDER BY open_time LIMIT $4;

-- name: minutes_descending
SELECT open_time, open, high, low, close, volume, open_interest, partial, closed
FROM bars_1m
WHERE instrument_id = $1 AND open_time >= $2 AND open_time < $3
ORDER BY open_time DESC LIMIT $4;

-- name: extent
-- First and last time in [$2, $3) at which the instrument has anything recorded, minute or larger. Each part reads one
-- index entry.
SELECT least(
           (SELECT open_time FROM bars_1m WHERE instrument_id = $1 AND open_time >= $2 AND open_time < $3
            ORDER BY open_time LIMIT 1),
           (SELECT min(open_time) FROM bars_stored WHERE instrument_id = $1 AND timeframe = ANY ($4::text[])
              AND open_time >= $2 AND open_time < $3)) AS first,
       greatest(
           (SELECT open_time FROM bars_1m WHERE instrument_id = $1 AND open_time >= $2 AND open_time < $3
            ORDER BY open_time DESC LIMIT 1),
           (SELECT max(open_time) FROM bars_stored WHERE instrument_id = $1 AND timeframe = ANY ($4::text[])
              AND open_time >= $2 AND open_time < $3)) AS last;

-- name: from_1m
-- Bars of any length: each session ($2 opens, $3 closes) is cut into buckets of $5 from its origin ($4), or is one
-- bucket with others of the same origin when $5 is NULL.
SELECT bucket AS open_time,
       first(open, open_time) AS open, max(high) AS high, min(low) AS low, last(close, open_time) AS close,
       sum(volume)::bigint AS volume,
       last(open_interest, open_time) FILTER (WHERE open_interest IS NOT NULL) AS open_interest,
       bool_or(partial) AS partial, bool_and(closed) AS closed
FROM unnest($2::timestamptz[], $3::timestamptz[], $4::timestamptz[]) AS session (opens, closes, origin)
CROSS JOIN LATERAL (
    SELECT CASE WHEN $5::interval IS NULL THEN session.origin
                ELSE time_bucket($5::interval, bar.open_time, session.origin) END AS bucket,
           bar.open_time, bar.open, bar.high, bar.low, bar.close, bar.volume, bar.open_interest, bar.partial, bar.closed
    FROM bars_1m bar
    WHERE bar.instrument_id = $1 AND bar.open_time >= session.opens AND bar.open_time < session.closes
) AS piece
GROUP BY bucket ORDER BY bucket;

-- name: from_5m
-- The same from 5-minute bars; quarter hours that are not rolled up yet come from the minute bars.
WITH session AS (
    SELECT open, close, origin FROM unnest($2::timestamptz[], $3::timestamptz[], $4::timestamptz[])
        AS given (open, close, origin)
), dirty AS (
    SELECT DISTINCT bucket FROM rollup_dirty
    WHERE bucket > (SELECT min(open) FROM session) - INTERVAL '15 minutes' AND bucket < (SELECT max(close) FROM session)
), piece AS (
    SELECT session.origin, bar.open_time, bar.open, bar.high, bar.low, bar.close, bar.volume, bar.open_interest,
           bar.partial, bar.closed
    FROM session CROSS JOIN LATERAL (
        SELECT rolled.open_time, rolled.open, rolled.high, rolled.low, rolled.close, rolled.volume,
               rolled.open_interest, rolled.partial, rolled.closed
        FROM bars_5m rolled
        WHERE rolled.instrument_id = $1 AND rolled.open_time >= session.open AND rolled.open_time < session.close
          AND time_bucket(INTERVAL '15 minutes', rolled.open_time) NOT IN (SELECT bucket FROM dirty)
    ) AS bar
    UNION ALL
    SELECT session.origin, bar.open_time, bar.open, bar.high, bar.low, bar.close, bar.volume, bar.open_interest,
           bar.partial, bar.closed
    FROM dirty
    JOIN bars_1m bar ON bar.instrument_id = $1 AND bar.open_time >= dirty.bucket
                    AND bar.open_time < dirty.bucket + INTERVAL '15 minutes'
    JOIN session ON bar.open_time >= session.open AND bar.open_time < session.close
)
SELECT CASE WHEN $5::interval IS NULL THEN origin ELSE time_bucket($5::interval, open_time, origin) END AS open_time,
       first(open, open_time) AS open, max(high) AS high, min(low) AS low, last(close, open_time) AS close,
       sum(volume)::bigint AS volume,
       last(open_interest, open_time) FILTER (WHERE open_interest IS NOT NULL) AS open_interest,
       bool_or(partial) AS partial, bool_and(closed) AS closed
FROM piece GROUP BY 1 ORDER BY 1;

-- name: from_15m
WITH session AS (
    SELECT open, close, origin FROM unnest($2::timestamptz[], $3::timestamptz[], $4::timestamptz[])
        AS given (open, close, origin)
), dirty AS (
    SELECT DISTINCT bucket FROM rollup_dirty
    WHERE bucket > (SELECT min(open) FROM session) - INTERVAL '15 minutes' AND bucket < (SELECT max(close) FROM session)
), piece AS (
    SELECT session.origin, bar.open_time, bar.open, bar.high, bar.low, bar.close, bar.volume, bar.open_interest,
           bar.partial, bar.closed
    FROM session CROSS JOIN LATERAL (
        SELECT rolled.open_time, rolled.open, rolled.high, rolled.low, rolled.close, rolled.volume,
               rolled.open_interest, rolled.partial, rolled.closed
        FROM bars_15m rolled
        WHERE rolled.instrument_id = $1 AND rolled.open_time >= session.open AND rolled.open_time < session.close
          AND rolled.open_time NOT IN (SELECT bucket FROM dirty)
    ) AS bar
    UNION ALL
    SELECT session.origin, bar.open_time, bar.open, bar.high, bar.low, bar.close, bar.volume, bar.open_interest,
           bar.partial, bar.closed
    FROM dirty
    JOIN bars_1m bar ON bar.instrument_id = $1 AND bar.open_time >= dirty.bucket
                    AND bar.open_time < dirty.bucket + INTERVAL '15 minutes'
    JOIN session ON bar.open_time >= session.open AND bar.open_time < session.close
)
SELECT CASE WHEN $5::interval IS NULL THEN origin ELSE time_bucket($5::interval, open_time, origin) END AS open_time,
       first(open, open_time) AS open, max(high) AS high, min(low) AS low, last(close, open_time) AS close,
       sum(volume)::bigint AS volume,
       last(open_interest, open_time) FILTER (WHERE open_interest IS NOT NULL) AS open_interest,
       bool_or(partial) AS partial, bool_and(closed) AS closed
FROM piece GROUP BY 1 ORDER BY 1;

-- name: from_stored
-- The same from recorded bars of timeframe $6.
SELECT bucket AS open_time,
       first(open, open_time) AS open, max(high) AS high, min(low) AS low, last(close, open_time) AS close,
       sum(volume)::bigint AS volume,
       last(open_interest, open_time) FILTER (WHERE open_interest IS NOT NULL) AS open_interest,
       false AS partial, true AS closed
FROM unnest($2::timestamptz[], $3::timestamptz[], $4::timestamptz[]) AS session (opens, closes, origin)
CROSS JOIN LATERAL (
    SELECT CASE WHEN $5::interval IS NULL THEN session.origin
                ELSE time_bucket($5::interval, bar.open_time, session.origin) END AS bucket,
           bar.open_time, bar.open, bar.high, bar.low, bar.close, bar.volume, bar.open_interest
    FROM bars_stored bar
    WHERE bar.instrument_id = $1 AND bar.timeframe = $6 AND bar.open_time >= session.opens
      AND bar.open_time < session.closes
) AS piece
GROUP BY bucket ORDER BY bucket;

-- name: stored_timeframes
SELECT timeframe FROM unnest($2::text[]) AS candidate (timeframe)
WHERE EXISTS (SELECT FROM bars_stored bar WHERE bar.instrument_id = $1 AND bar.timeframe = candidate.timeframe);

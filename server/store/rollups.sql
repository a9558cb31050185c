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

-- name: roll_up_5m
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

-- name: roll_up_15m
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

-- name: refresh_5m
CALL refresh_continuous_aggregate('bars_5m', $1::timestamptz, $2::timestamptz);

-- name: refresh_15m
CALL refresh_continuous_aggregate('bars_15m', $1::timestamptz, $2::timestamptz);

-- Backfills, their days, and what gaps are.

-- name: insert
INSERT INTO backfills (backfill, user_id, start_time, end_time) VALUES ($1, $2, $3, $4);

-- name: insert_days
INSERT INTO backfill_days (backfill, instrument_id, day)
SELECT $1, instrument_id, day FROM unnest($2::integer[], $3::date[]) AS given (instrument_id, day);

-- name: get
SELECT b.backfill, b.start_time, b.end_time, b.created_at,
       count(DISTINCT d.instrument_id) AS instruments, count(d.day) AS days,
       count(*) FILTER (WHERE d.state = 'DONE') AS done, count(*) FILTER (WHERE d.state = 'FAILED') AS failed,
       coalesce(bool_or(d.attempts > 0), false) AS begun,
       coalesce(sum(d.missing), 0)::bigint AS missing, coalesce(sum(d.filled), 0)::bigint AS filled
FROM backfills b LEFT JOIN backfill_days d USING (backfill)
WHERE b.backfill = $1
GROUP BY b.backfill;

-- name: errors
SELECT i.key, d.day, d.error
FROM backfill_days d JOIN instruments i USING (instrument_id)
WHERE d.backfill = $1 AND d.error <> ''
ORDER BY d.state DESC, d.day, i.key
LIMIT $2;

-- name: claim
-- A day whose worker says nothing any more is claimed like one that nobody has. The oldest backfill goes first.
WITH next AS (
    SELECT d.backfill, d.instrument_id, d.day
    FROM backfill_days d JOIN backfills b USING (backfill)
    WHERE d.state = 'PENDING' AND (d.claimed_until IS NULL OR d.claimed_until < now())
    ORDER BY b.created_at, d.backfill, d.day, d.instrument_id
    LIMIT 1
    FOR UPDATE OF d SKIP LOCKED
)
UPDATE backfill_days d
SET claimed_by = $1, claimed_until = now() + $2::interval, attempts = d.attempts + 1, updated_at = now()
FROM next, backfills b
WHERE (d.backfill, d.instrument_id, d.day) = (next.backfill, next.instrument_id, next.day) AND b.backfill = d.backfill
RETURNING d.backfill, d.instrument_id, d.day, b.start_time, b.end_time, d.attempts;

-- name: note
-- What an attempt finds missing that an earlier one appended before its worker died is less: the first count stands.
UPDATE backfill_days SET missing = greatest(missing, $4), updated_at = now()
WHERE backfill = $1 AND instrument_id = $2 AND day = $3 AND state = 'PENDING';

-- name: finish
UPDATE backfill_days
SET state = 'DONE', filled = greatest(missing - $4, 0), error = '', claimed_until = NULL, updated_at = now()
WHERE backfill = $1 AND instrument_id = $2 AND day = $3 AND state = 'PENDING';

-- name: fail
UPDATE backfill_days
SET state = 'FAILED', error = $4, claimed_until = NULL, updated_at = now()
WHERE backfill = $1 AND instrument_id = $2 AND day = $3 AND state = 'PENDING';

-- name: retry
UPDATE backfill_days
SET error = $4, claimed_until = now() + $5::interval, updated_at = now()
WHERE backfill = $1 AND instrument_id = $2 AND day = $3 AND state = 'PENDING';

-- name: lock_outage
SELECT true FROM feed_outages WHERE outage = $1 AND backfill IS NULL FOR UPDATE SKIP LOCKED;

-- name: mark_outage
UPDATE feed_outages SET backfill = $2 WHERE outage = $1;

-- name: lock_gaps
SELECT pg_try_advisory_xact_lock(hashtext('strikeline gap scan'));

-- name: not_tried
-- Not those that are being filled or were of late, nor those that the worker itself filled when the day was over ($3).
SELECT given.instrument_id, given.day
FROM unnest($1::integer[], $2::date[], $3::timestamptz[]) AS given (instrument_id, day, over)
WHERE NOT EXISTS (SELECT FROM backfill_days d JOIN backfills b USING (backfill)
                  WHERE d.instrument_id = given.instrument_id AND d.day = given.day
                    AND (d.state = 'PENDING' OR d.updated_at > now() - $4::interval
                         OR b.user_id IS NULL AND d.state = 'DONE' AND d.updated_at > given.over));

-- name: minutes
SELECT open_time FROM bars_1m
WHERE instrument_id = $1 AND open_time >= $2 AND open_time < $3
ORDER BY open_time;

-- name: counts
SELECT instrument_id, count(*) AS bars
FROM bars_1m
WHERE instrument_id = ANY ($1::integer[]) AND open_time >= $2 AND open_time < $3
GROUP BY instrument_id;

-- name: with_bars
SELECT DISTINCT instrument_id FROM bars_1m
WHERE open_time >= $1 AND open_time < $2
ORDER BY instrument_id LIMIT $3;

-- Runs of live feeds and what they missed.

-- name: begin
WITH before AS (
    SELECT max(market_time) AS market_time FROM feed_runs WHERE source = $2 AND run <> $1
), own AS (
    INSERT INTO feed_runs (run, source) VALUES ($1, $2) ON CONFLICT (run) DO NOTHING
)
SELECT market_time FROM before;

-- name: progress
UPDATE feed_runs
SET market_time = greatest(market_time, $2), seen_at = now(), ended_at = CASE WHEN $3 THEN now() ELSE ended_at END
WHERE run = $1;

-- name: note
INSERT INTO feed_outages (run, source, reason, started_at, ended_at) VALUES ($1, $2, $3, $4, $5);

-- name: between
SELECT outage, reason, started_at, ended_at FROM feed_outages
WHERE started_at < $2 AND ended_at > $1
ORDER BY started_at, outage;

-- name: unfilled
SELECT outage, reason, started_at, ended_at FROM feed_outages
WHERE backfill IS NULL
ORDER BY outage LIMIT $1;

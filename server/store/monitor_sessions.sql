-- Monitor sessions. Times are the caller's clock; row-level security leaves the api the rows of one user.

-- name: lock
-- One change of a user's number of sessions at a time.
SELECT pg_advisory_xact_lock(hashtextextended('strikeline monitor ' || $1, 0));

-- name: forget_expired
DELETE FROM monitor_sessions WHERE expires_at <= $1;

-- name: count
SELECT count(*) FROM monitor_sessions WHERE user_id = $1;

-- name: insert
INSERT INTO monitor_sessions (monitor_session, user_id, created_at, expires_at) VALUES ($1, $2, $3, $4);

-- name: insert_instruments
INSERT INTO monitor_session_instruments (monitor_session, position, instrument_id)
SELECT $1, position, instrument_id FROM unnest($2::integer[]) WITH ORDINALITY AS given (instrument_id, position);

-- name: delete_instruments
DELETE FROM monitor_session_instruments WHERE monitor_session = $1;

-- name: touch
UPDATE monitor_sessions SET expires_at = $4
WHERE monitor_session = $1 AND user_id = $2 AND expires_at > $3
RETURNING revision;

-- name: revise
UPDATE monitor_sessions SET revision = revision + 1 WHERE monitor_session = $1;

-- name: numbers
SELECT array_agg(instrument_id ORDER BY instrument_id) FROM monitor_session_instruments WHERE monitor_session = $1;

-- name: list
-- $1 user, $2 now, $3 session or NULL for all.
SELECT s.monitor_session, s.revision, s.created_at, s.expires_at,
       (SELECT array_agg(i.key ORDER BY n.position)
        FROM monitor_session_instruments n JOIN instruments i USING (instrument_id)
        WHERE n.monitor_session = s.monitor_session) AS keys
FROM monitor_sessions s
WHERE s.user_id = $1 AND s.expires_at > $2 AND ($3::text IS NULL OR s.monitor_session = $3)
ORDER BY s.created_at, s.monitor_session;

-- name: delete
DELETE FROM monitor_sessions WHERE monitor_session = $1 AND user_id = $2 AND expires_at > $3;

-- name: renew
SELECT monitor_session, revision FROM renew_monitor_sessions($1, $2, $3);

-- Strategies of accounts. Whoever changes one has locked it, see strategy_changes.sql.

-- name: insert
INSERT INTO strategies (strategy, account, display_name, description, tags, is_default)
VALUES ($1, $2, $3, $4, $5, $6)
RETURNING number;

-- name: get
SELECT s.number, s.strategy, s.account, s.display_name, s.description, s.tags, s.status, s.is_default, s.revision,
       s.created_at, s.updated_at, s.closed_at, s.archived_at, latest.m2m, latest.market_time AS m2m_time,
       (SELECT count(*)::integer FROM legs WHERE legs.strategy = s.number AND legs.closed_at IS NULL) AS open_leg_count
FROM strategies s LEFT JOIN strategy_m2m latest ON latest.strategy = s.number
WHERE s.account = $1 AND s.strategy = $2;

-- name: list
-- The default strategy first, then the newest; from behind ($3 is_default, $4 number).
SELECT s.number, s.strategy, s.account, s.display_name, s.description, s.tags, s.status, s.is_default, s.revision,
       s.created_at, s.updated_at, s.closed_at, s.archived_at, latest.m2m, latest.market_time AS m2m_time,
       (SELECT count(*)::integer FROM legs WHERE legs.strategy = s.number AND legs.closed_at IS NULL) AS open_leg_count
FROM strategies s LEFT JOIN strategy_m2m latest ON latest.strategy = s.number
WHERE s.account = $1 AND ($2::text IS NULL OR s.status = $2)
  AND (s.is_default, s.number) < ($3::boolean, $4::bigint)
ORDER BY s.is_default DESC, s.number DESC LIMIT $5;

-- name: count
SELECT count(*) FROM strategies
WHERE account = $1 AND ($2::text IS NULL OR status = $2);

-- name: update
-- NULL leaves a column as it is.
UPDATE strategies
SET display_name = coalesce($2, display_name), description = coalesce($3, description), tags = coalesce($4, tags)
WHERE number = $1;

-- name: set_status
UPDATE strategies
SET status = $2,
    closed_at = CASE WHEN $2 = 'CLOSED' THEN now() WHEN $2 IN ('ACTIVE', 'PAUSED') THEN NULL ELSE closed_at END,
    archived_at = CASE WHEN $2 = 'ARCHIVED' THEN now() ELSE NULL END
WHERE number = $1;

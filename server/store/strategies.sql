-- Strategies, their legs, and the outbox. A strategy's row is locked first by everybody who changes it or its legs:
-- edits of one strategy happen one after the other.

-- name: insert
INSERT INTO strategies (strategy, account, display_name, description, tags, is_default)
VALUES ($1, $2, $3, $4, $5, $6)
RETURNING number;

-- name: lock
SELECT number, revision, status, is_default, display_name FROM strategies WHERE account = $1 AND strategy = $2 FOR UPDATE;

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

-- name: touch
UPDATE strategies SET revision = revision + 1, updated_at = clock_timestamp() WHERE number = $1;

-- name: insert_leg
INSERT INTO legs (leg, strategy, account, instrument_id, side, quantity, entry_price, notes)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: count_all_legs
SELECT count(*) FROM legs WHERE strategy = $1;

-- name: find_leg
SELECT number, leg, side, quantity, entry_price, closed_at, revision FROM legs WHERE strategy = $1 AND leg = $2;

-- name: open_legs
SELECT l.number, l.leg, l.side, l.quantity, l.entry_price, i.key AS instrument
FROM legs l JOIN instruments i USING (instrument_id)
WHERE l.strategy = $1 AND l.closed_at IS NULL
ORDER BY l.number;

-- name: update_leg
-- NULL leaves a column as it is.
UPDATE legs
SET quantity = coalesce($2, quantity), entry_price = coalesce($3, entry_price), notes = coalesce($4, notes),
    revision = revision + 1, updated_at = clock_timestamp()
WHERE number = $1;

-- name: close_legs
UPDATE legs
SET exit_price = given.exit_price, realized_pnl = given.realized_pnl, closed_at = $4, revision = revision + 1,
    updated_at = clock_timestamp()
FROM unnest($1::bigint[], $2::numeric[], $3::numeric[]) AS given (number, exit_price, realized_pnl)
WHERE legs.number = given.number;

-- name: delete_leg
DELETE FROM legs WHERE number = $1;

-- name: get_leg
SELECT leg.number, leg.leg, leg.account, s.strategy, instrument.key AS instrument, leg.instrument_id, leg.side,
       leg.quantity, leg.entry_price, leg.notes, leg.exit_price, leg.realized_pnl, leg.created_at, leg.updated_at,
       leg.closed_at, leg.revision
FROM legs leg
JOIN strategies s ON s.number = leg.strategy
JOIN instruments instrument ON instrument.instrument_id = leg.instrument_id
WHERE s.account = $1 AND s.strategy = $2 AND leg.leg = $3;

-- name: list_legs
-- $3: true for open, false for closed, NULL for all.
SELECT leg.number, leg.leg, leg.account, s.strategy, instrument.key AS instrument, leg.instrument_id, leg.side,
       leg.quantity, leg.entry_price, leg.notes, leg.exit_price, leg.realized_pnl, leg.created_at, leg.updated_at,
       leg.closed_at, leg.revision
FROM legs leg
JOIN strategies s ON s.number = leg.strategy
JOIN instruments instrument ON instrument.instrument_id = leg.instrument_id
WHERE s.account = $1 AND s.strategy = $2 AND ($3::boolean IS NULL OR (leg.closed_at IS NULL) = $3) AND leg.number > $4
ORDER BY leg.number LIMIT $5;

-- name: count_legs
SELECT count(*) FROM legs leg JOIN strategies s ON s.number = leg.strategy
WHERE s.account = $1 AND s.strategy = $2 AND ($3::boolean IS NULL OR (leg.closed_at IS NULL) = $3);

-- name: realized
SELECT coalesce(sum(leg.realized_pnl), 0) FROM legs leg JOIN strategies s ON s.number = leg.strategy
WHERE s.account = $1 AND s.strategy = $2;

-- name: publish
INSERT INTO strategy_outbox (payload) SELECT state FROM strategy_states WHERE number = $1;

-- name: active_states
SELECT state FROM strategy_states WHERE status = 'ACTIVE' ORDER BY number;

-- name: outbox_pending
SELECT id, payload FROM strategy_outbox ORDER BY id LIMIT $1;

-- name: outbox_done
DELETE FROM strategy_outbox WHERE id = ANY ($1::bigint[]);

-- name: outbox_waiting
SELECT count(*) FROM strategy_outbox;

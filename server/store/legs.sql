-- Legs of strategies. Whoever changes one has locked its strategy, see strategy_changes.sql.

-- name: insert
INSERT INTO legs (leg, strategy, account, instrument_id, side, quantity, entry_price, notes)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: count_all
SELECT count(*) FROM legs WHERE strategy = $1;

-- name: find
SELECT number, leg, side, quantity, entry_price, closed_at, revision FROM legs WHERE strategy = $1 AND leg = $2;

-- name: open_of
SELECT l.number, l.leg, l.side, l.quantity, l.entry_price, i.key AS instrument
FROM legs l JOIN instruments i USING (instrument_id)
WHERE l.strategy = $1 AND l.closed_at IS NULL
ORDER BY l.number;

-- name: update
-- NULL leaves a column as it is.
UPDATE legs
SET quantity = coalesce($2, quantity), entry_price = coalesce($3, entry_price), notes = coalesce($4, notes),
    revision = revision + 1, updated_at = clock_timestamp()
WHERE number = $1;

-- name: close
UPDATE legs
SET exit_price = given.exit_price, realized_pnl = given.realized_pnl, closed_at = $4, revision = revision + 1,
    updated_at = clock_timestamp()
FROM unnest($1::bigint[], $2::numeric[], $3::numeric[]) AS given (number, exit_price, realized_pnl)
WHERE legs.number = given.number;

-- name: delete
DELETE FROM legs WHERE number = $1;

-- name: strategy
SELECT number FROM strategies WHERE account = $1 AND strategy = $2;

-- name: get
SELECT leg.number, leg.leg, leg.account, s.strategy, instrument.key AS instrument, leg.instrument_id, leg.side,
       leg.quantity, leg.entry_price, leg.notes, leg.exit_price, leg.realized_pnl, leg.created_at, leg.updated_at,
       leg.closed_at, leg.revision
FROM legs leg
JOIN strategies s ON s.number = leg.strategy
JOIN instruments instrument ON instrument.instrument_id = leg.instrument_id
WHERE s.account = $1 AND s.strategy = $2 AND leg.leg = $3;

-- name: list
-- $3: true for open, false for closed, NULL for all.
SELECT leg.number, leg.leg, leg.account, s.strategy, instrument.key AS instrument, leg.instrument_id, leg.side,
       leg.quantity, leg.entry_price, leg.notes, leg.exit_price, leg.realized_pnl, leg.created_at, leg.updated_at,
       leg.closed_at, leg.revision
FROM legs leg
JOIN strategies s ON s.number = leg.strategy
JOIN instruments instrument ON instrument.instrument_id = leg.instrument_id
WHERE s.account = $1 AND s.strategy = $2 AND ($3::boolean IS NULL OR (leg.closed_at IS NULL) = $3) AND leg.number > $4
ORDER BY leg.number LIMIT $5;

-- name: count
SELECT count(*) FROM legs leg JOIN strategies s ON s.number = leg.strategy
WHERE s.account = $1 AND s.strategy = $2 AND ($3::boolean IS NULL OR (leg.closed_at IS NULL) = $3);

-- name: realized
SELECT coalesce(sum(leg.realized_pnl), 0) FROM legs leg JOIN strategies s ON s.number = leg.strategy
WHERE s.account = $1 AND s.strategy = $2;

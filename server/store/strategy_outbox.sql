-- What the worker hears of strategies.

-- name: publish
INSERT INTO strategy_outbox (payload) SELECT state FROM strategy_states WHERE number = $1;

-- name: active_states
SELECT state FROM strategy_states WHERE status = 'ACTIVE' ORDER BY number;

-- name: pending
SELECT id, payload FROM strategy_outbox ORDER BY id LIMIT $1;

-- name: done
DELETE FROM strategy_outbox WHERE id = ANY ($1::bigint[]);

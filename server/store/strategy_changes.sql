-- A strategy's row is locked first by everybody who changes it or its legs: edits of one strategy happen one after the
-- other.

-- name: lock
SELECT number, revision, status, is_default, display_name FROM strategies WHERE account = $1 AND strategy = $2 FOR UPDATE;

-- name: touch
UPDATE strategies SET revision = revision + 1, updated_at = clock_timestamp() WHERE number = $1;

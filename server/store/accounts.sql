-- name: insert
INSERT INTO accounts (account, user_id, display_name) VALUES ($1, $2, $3)
RETURNING account, user_id, display_name, created_at;

-- name: get
SELECT account, user_id, display_name, created_at FROM accounts WHERE account = $1;

-- name: list
SELECT account, user_id, display_name, created_at FROM accounts WHERE user_id = $1 AND account > $2
ORDER BY account LIMIT $3;

-- name: count
SELECT count(*) FROM accounts WHERE user_id = $1;

-- Feed subscriptions.

-- name: insert
INSERT INTO feed_subscriptions (feed_subscription, user_id) VALUES ($1, $2) RETURNING created_at;

-- name: insert_instruments
INSERT INTO feed_subscription_instruments (feed_subscription, position, instrument_id)
SELECT $1, position, instrument_id FROM unnest($2::integer[]) WITH ORDINALITY AS given (instrument_id, position);

-- name: delete
DELETE FROM feed_subscriptions WHERE feed_subscription = $1;

-- name: list
SELECT s.feed_subscription, s.user_id, s.created_at,
       (SELECT array_agg(i.key ORDER BY n.position)
        FROM feed_subscription_instruments n JOIN instruments i USING (instrument_id)
        WHERE n.feed_subscription = s.feed_subscription) AS keys
FROM feed_subscriptions s
WHERE (s.created_at, s.feed_subscription) > ($1, $2)
ORDER BY s.created_at, s.feed_subscription
LIMIT $3;

-- name: count
SELECT count(*) AS count FROM feed_subscriptions;

-- name: instruments
-- Those of monitor sessions too that are not over at $1.
SELECT instrument_id FROM feed_subscription_instruments
UNION
SELECT instrument_id FROM monitor_session_instruments JOIN monitor_sessions USING (monitor_session)
WHERE expires_at > $1;

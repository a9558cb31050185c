-- name: set_user
SELECT set_config('app.user_id', $1, true);

-- name: role
SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user;

-- name: ping
SELECT 1;

-- name: connection_limit
SELECT current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer
           AS connections;

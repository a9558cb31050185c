-- name: set_user
SELECT set_config('app.user_id', $1, true);

-- name: role
SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user;

-- name: ping
SELECT 1;

-- name: acquire
-- The database's clock alone decides. The same owner takes its lease back at once, under a higher fence.
INSERT INTO leases AS held (slot, owner, fence, expires_at)
VALUES ($1, $2, 1, clock_timestamp() + $3::interval)
ON CONFLICT (slot) DO UPDATE
SET owner = excluded.owner, fence = held.fence + 1, expires_at = clock_timestamp() + $3::interval
WHERE held.expires_at <= clock_timestamp() OR held.owner = excluded.owner
RETURNING fence, expires_at;

-- name: renew
UPDATE leases SET expires_at = clock_timestamp() + $4::interval
WHERE slot = $1 AND owner = $2 AND fence = $3
RETURNING expires_at;

-- name: release
-- The row stays: its fence must go on growing.
UPDATE leases SET expires_at = clock_timestamp() WHERE slot = $1 AND owner = $2 AND fence = $3;

-- name: check
-- The lock lets nobody take the slot over before this transaction has ended. KEY SHARE would not: no key changes.
SELECT 1 FROM leases WHERE slot = $1 AND owner = $2 AND fence = $3 FOR SHARE;

-- name: leases
SELECT slot, owner, fence, expires_at, expires_at <= clock_timestamp() AS expired FROM leases ORDER BY slot;

-- name: load
SELECT kind, position, payload FROM checkpoints
WHERE slot = $1 AND sequence >= (SELECT max(sequence) FROM checkpoints WHERE slot = $1 AND kind = 'base')
ORDER BY sequence;

-- name: save
WITH saved AS (
    INSERT INTO checkpoints (slot, sequence, kind, position, payload)
    SELECT $1, coalesce(max(sequence), 0) + 1, $2, $3, $4 FROM checkpoints WHERE slot = $1
    RETURNING sequence
)
DELETE FROM checkpoints USING saved
WHERE $2 = 'base' AND checkpoints.slot = $1 AND checkpoints.sequence < saved.sequence;

-- name: positions
SELECT DISTINCT ON (slot) slot, position FROM checkpoints ORDER BY slot, sequence DESC;

"""Leases of the worker's slots, and the checkpoints from which a slot goes on."""

from migrations.sql import run

revision = "0004"
down_revision = "0003"

# Payloads are columnar and short-lived: compressing them costs more time than it saves, hence EXTERNAL.
UP = """
CREATE TABLE leases (
    slot       text CONSTRAINT leases_pkey PRIMARY KEY,
    owner      text NOT NULL,
    fence      bigint NOT NULL CONSTRAINT leases_fence_check CHECK (fence > 0),
    expires_at timestamptz NOT NULL
);
CREATE TABLE checkpoints (
    slot       text NOT NULL,
    sequence   bigint NOT NULL,
    kind       text NOT NULL CONSTRAINT checkpoints_kind_check CHECK (kind IN ('base', 'delta')),
    position   text NOT NULL,
    payload    bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT checkpoints_pkey PRIMARY KEY (slot, sequence)
);
ALTER TABLE checkpoints ALTER COLUMN payload SET STORAGE EXTERNAL;
GRANT SELECT ON leases, checkpoints TO strikeline_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON leases, checkpoints TO strikeline_worker;
"""

DOWN = """
DROP TABLE checkpoints;
DROP TABLE leases;
"""


def upgrade() -> None:
    run(UP)


def downgrade() -> None:
    run(DOWN)

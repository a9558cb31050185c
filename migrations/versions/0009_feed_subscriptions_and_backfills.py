"""What live feeds follow, what they missed, and how it is filled in."""

from migrations.sql import run

revision = "0009"
down_revision = "0008"

UP = """
ALTER TABLE instruments DROP CONSTRAINT instruments_provenance_check;
ALTER TABLE instruments ADD CONSTRAINT instruments_provenance_check CHECK (
    provenance IN ('kite', 'synthetic', 'replay', 'ticker', 'seed'));

CREATE TABLE feed_subscriptions (
    feed_subscription text CONSTRAINT feed_subscriptions_pkey PRIMARY KEY,
    user_id           text NOT NULL,
    created_at        timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX feed_subscriptions_list_idx ON feed_subscriptions (created_at, feed_subscription);
CREATE TABLE feed_subscription_instruments (
    feed_subscription text NOT NULL CONSTRAINT feed_subscription_instruments_feed_subscription_fkey
                      REFERENCES feed_subscriptions ON DELETE CASCADE,
    position          integer NOT NULL,
    instrument_id     integer NOT NULL CONSTRAINT feed_subscription_instruments_instrument_id_fkey
                      REFERENCES instruments,
    CONSTRAINT feed_subscription_instruments_pkey PRIMARY KEY (feed_subscription, instrument_id)
);
CREATE INDEX feed_subscription_instruments_instrument_id_idx ON feed_subscription_instruments (instrument_id);

CREATE TABLE backfills (
    backfill   text CONSTRAINT backfills_pkey PRIMARY KEY,
    user_id    text,
    start_time timestamptz NOT NULL,
    end_time   timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT backfills_end_time_check CHECK (end_time > start_time)
);
COMMENT ON COLUMN backfills.user_id IS 'Who asked for it; NULL: the worker found gaps.';
-- One instrument's day each: what a worker claims, does and reports.
CREATE TABLE backfill_days (
    backfill      text NOT NULL CONSTRAINT backfill_days_backfill_fkey REFERENCES backfills ON DELETE CASCADE,
    instrument_id integer NOT NULL CONSTRAINT backfill_days_instrument_id_fkey REFERENCES instruments,
    day           date NOT NULL,
    state         text NOT NULL DEFAULT 'PENDING'
                  CONSTRAINT backfill_days_state_check CHECK (state IN ('PENDING', 'DONE', 'FAILED')),
    attempts      integer NOT NULL DEFAULT 0,
    claimed_by    text,
    claimed_until timestamptz,
    missing       integer NOT NULL DEFAULT 0,
    filled        integer NOT NULL DEFAULT 0,
    error         text NOT NULL DEFAULT '',
    updated_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT backfill_days_pkey PRIMARY KEY (backfill, instrument_id, day),
    CONSTRAINT backfill_days_filled_check CHECK (filled BETWEEN 0 AND missing)
);
CREATE INDEX backfill_days_pending_idx ON backfill_days (claimed_until) WHERE state = 'PENDING';

CREATE TABLE feed_runs (
    run         text CONSTRAINT feed_runs_pkey PRIMARY KEY,
    source      text NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT now(),
    seen_at     timestamptz NOT NULL DEFAULT now(),
    market_time timestamptz,
    ended_at    timestamptz
);
CREATE INDEX feed_runs_source_idx ON feed_runs (source, started_at DESC);
-- Times are event times: nothing that happened from the one up to the other is sure to have been heard.
CREATE TABLE feed_outages (
    outage     bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT feed_outages_pkey PRIMARY KEY,
    run        text NOT NULL,
    source     text NOT NULL,
    reason     text NOT NULL CONSTRAINT feed_outages_reason_check CHECK (
                   reason IN ('DISCONNECTED', 'OVERFLOWED', 'RESTARTED')),
    started_at timestamptz NOT NULL,
    ended_at   timestamptz NOT NULL,
    backfill   text CONSTRAINT feed_outages_backfill_fkey REFERENCES backfills ON DELETE SET NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT feed_outages_ended_at_check CHECK (ended_at > started_at)
);
CREATE INDEX feed_outages_times_idx ON feed_outages (started_at, ended_at);
CREATE INDEX feed_outages_unfilled_idx ON feed_outages (outage) WHERE backfill IS NULL;

GRANT SELECT, INSERT, DELETE ON feed_subscriptions, feed_subscription_instruments TO strikeline_api;
GRANT SELECT, INSERT ON backfills, backfill_days TO strikeline_api;
GRANT SELECT ON feed_runs, feed_outages TO strikeline_api;
GRANT SELECT ON feed_subscriptions, feed_subscription_instruments TO strikeline_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON backfills, backfill_days, feed_runs, feed_outages TO strikeline_worker;
"""

DOWN = """
DROP TABLE feed_outages, feed_runs, backfill_days, backfills, feed_subscription_instruments, feed_subscriptions;
UPDATE instruments SET provenance = 'replay' WHERE provenance = 'ticker';
ALTER TABLE instruments DROP CONSTRAINT instruments_provenance_check;
ALTER TABLE instruments ADD CONSTRAINT instruments_provenance_check CHECK (
    provenance IN ('kite', 'synthetic', 'replay', 'seed'));
"""


def upgrade() -> None:
    run(UP)


def downgrade() -> None:
    run(DOWN)

"""Accounts, strategies, legs and their mark-to-market: each row belongs to a user, and the database enforces it."""

from migrations.sql import run

revision = "0003"
down_revision = "0002"

# The api's identity is app.user_id, set for one transaction. Unset it is NULL or '', which owns nothing. The worker
# serves all users and is allowed every row by policy, not by a role attribute.
UP = """
CREATE TABLE accounts (
    account      text CONSTRAINT accounts_pkey PRIMARY KEY,
    user_id      text NOT NULL,
    display_name text NOT NULL DEFAULT '',
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT accounts_account_check CHECK (account ~ '^[A-Za-z0-9_-]{1,36}$'),
    CONSTRAINT accounts_user_id_check CHECK (length(user_id) BETWEEN 1 AND 255),
    CONSTRAINT accounts_display_name_check CHECK (length(display_name) <= 200)
);
CREATE INDEX accounts_user_id_idx ON accounts (user_id, account);

CREATE TABLE strategies (
    number       bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT strategies_pkey PRIMARY KEY,
    strategy     text NOT NULL,
    account      text NOT NULL,
    display_name text NOT NULL,
    description  text NOT NULL DEFAULT '',
    tags         text[] NOT NULL DEFAULT '{}',
    status       text NOT NULL DEFAULT 'ACTIVE',
    is_default   boolean NOT NULL DEFAULT false,
    revision     bigint NOT NULL DEFAULT 1,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    closed_at    timestamptz,
    archived_at  timestamptz,
    CONSTRAINT strategies_strategy_key UNIQUE (strategy),
    CONSTRAINT strategies_number_account_key UNIQUE (number, account),
    CONSTRAINT strategies_account_fkey FOREIGN KEY (account) REFERENCES accounts ON DELETE CASCADE,
    CONSTRAINT strategies_display_name_check CHECK (length(display_name) BETWEEN 1 AND 200),
    CONSTRAINT strategies_description_check CHECK (length(description) <= 2000),
    CONSTRAINT strategies_tags_check CHECK (cardinality(tags) <= 20),
    CONSTRAINT strategies_status_check CHECK (status IN ('ACTIVE', 'PAUSED', 'CLOSED', 'ARCHIVED')),
    CONSTRAINT strategies_default_check CHECK (NOT is_default OR status <> 'ARCHIVED'),
    CONSTRAINT strategies_archived_at_check CHECK ((status = 'ARCHIVED') = (archived_at IS NOT NULL))
);
CREATE UNIQUE INDEX strategies_display_name_key ON strategies (account, display_name) WHERE status <> 'ARCHIVED';
CREATE UNIQUE INDEX strategies_default_key ON strategies (account) WHERE is_default;
CREATE INDEX strategies_list_idx ON strategies (account, is_default DESC, number DESC);
CREATE INDEX strategies_followed_idx ON strategies (number) WHERE status = 'ACTIVE';

CREATE TABLE legs (
    number        bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT legs_pkey PRIMARY KEY,
    leg           text NOT NULL,
    strategy      bigint NOT NULL,
    account       text NOT NULL,
    instrument_id integer NOT NULL,
    side          text NOT NULL,
    quantity      bigint NOT NULL,
    entry_price   numeric(18, 4) NOT NULL,
    notes         text NOT NULL DEFAULT '',
    exit_price    numeric(18, 4),
    realized_pnl  numeric(18, 4),
    revision      bigint NOT NULL DEFAULT 1,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    closed_at     timestamptz,
    CONSTRAINT legs_leg_key UNIQUE (leg),
    CONSTRAINT legs_strategy_fkey FOREIGN KEY (strategy, account) REFERENCES strategies (number, account)
        ON DELETE CASCADE,
    CONSTRAINT legs_instrument_id_fkey FOREIGN KEY (instrument_id) REFERENCES instruments,
    CONSTRAINT legs_side_check CHECK (side IN ('BUY', 'SELL')),
    CONSTRAINT legs_quantity_check CHECK (quantity BETWEEN 1 AND 10000000),
    CONSTRAINT legs_entry_price_check CHECK (entry_price BETWEEN 0 AND 999999999.9999),
    CONSTRAINT legs_exit_price_check CHECK (exit_price BETWEEN 0 AND 999999999.9999),
    CONSTRAINT legs_notes_check CHECK (length(notes) <= 500),
    CONSTRAINT legs_closed_check CHECK (num_nulls(exit_price, realized_pnl, closed_at) IN (0, 3))
);
CREATE INDEX legs_strategy_idx ON legs (strategy, number);
CREATE INDEX legs_instrument_id_idx ON legs (instrument_id);

-- All that the mark-to-market needs to know of a strategy. Prices are ten-thousandths of a rupee.
CREATE VIEW strategy_states WITH (security_invoker = true) AS
SELECT s.number, s.status, jsonb_build_object(
           'account', s.account, 'strategy', s.strategy, 'number', s.number, 'revision', s.revision,
           'active', s.status = 'ACTIVE',
           'legs', coalesce((
               SELECT jsonb_agg(jsonb_build_object(
                          'leg', l.leg, 'number', l.number, 'instrument_id', l.instrument_id,
                          'direction', CASE l.side WHEN 'BUY' THEN 1 ELSE -1 END, 'quantity', l.quantity,
                          'entry_price', (l.entry_price * 10000)::bigint) ORDER BY l.number)
               FROM legs l WHERE l.strategy = s.number AND l.closed_at IS NULL), '[]')) AS state
FROM strategies s;
GRANT SELECT ON strategy_states TO strikeline_api, strikeline_worker;

-- What the worker must hear of: each change of a strategy, as its whole state, written in the change's transaction.
CREATE TABLE strategy_outbox (
    id         bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT strategy_outbox_pkey PRIMARY KEY,
    payload    jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE FUNCTION announce_strategy_outbox() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('strategy_outbox', '');
    RETURN NULL;
END
$$;
CREATE TRIGGER strategy_outbox_announced AFTER INSERT ON strategy_outbox
    FOR EACH STATEMENT EXECUTE FUNCTION announce_strategy_outbox();

-- The latest sample of each strategy; amounts are absent when a leg has no price. legs: records of the dtype M2M_LEG.
CREATE TABLE strategy_m2m (
    strategy     bigint CONSTRAINT strategy_m2m_pkey PRIMARY KEY,
    account      text NOT NULL,
    market_time  timestamptz NOT NULL,
    m2m          numeric(18, 4),
    premium_flow numeric(18, 4),
    complete     boolean NOT NULL,
    legs         bytea NOT NULL,
    CONSTRAINT strategy_m2m_absent_check CHECK (num_nulls(m2m, premium_flow) IN (0, 2)),
    CONSTRAINT strategy_m2m_complete_check CHECK (NOT complete OR m2m IS NOT NULL),
    CONSTRAINT strategy_m2m_strategy_fkey FOREIGN KEY (strategy, account) REFERENCES strategies (number, account)
        ON DELETE CASCADE
);

CREATE TABLE m2m_candles (
    strategy   bigint NOT NULL,
    account    text NOT NULL,
    open_time  timestamptz NOT NULL,
    open       numeric(18, 4) NOT NULL,
    high       numeric(18, 4) NOT NULL,
    low        numeric(18, 4) NOT NULL,
    close      numeric(18, 4) NOT NULL,
    leg_count  integer NOT NULL,
    first_time bigint NOT NULL,
    last_time  bigint NOT NULL,
    CONSTRAINT m2m_candles_pkey PRIMARY KEY (strategy, open_time),
    CONSTRAINT m2m_candles_strategy_fkey FOREIGN KEY (strategy, account) REFERENCES strategies (number, account)
        ON DELETE CASCADE,
    CONSTRAINT m2m_candles_range_check CHECK (low <= least(open, close) AND high >= greatest(open, close)),
    CONSTRAINT m2m_candles_leg_count_check CHECK (leg_count >= 0),
    CONSTRAINT m2m_candles_key_check CHECK (first_time <= last_time)
);
SELECT create_hypertable('m2m_candles', by_range('open_time', INTERVAL '7 days'), create_default_indexes => false);
COMMENT ON TABLE m2m_candles IS 'Kept for ever. Not compressed: TimescaleDB refuses that beside row-level security.';
CREATE INDEX m2m_candles_latest_idx ON m2m_candles (strategy, open_time DESC);

-- The api reads candles through this view alone. On the hypertable itself a grant would hold for its chunks too, which
-- carry no policies: whoever may read the hypertable could read everybody's candles from a chunk.
CREATE VIEW own_m2m_candles WITH (security_barrier = true) AS
SELECT c.strategy, c.account, c.open_time, c.open, c.high, c.low, c.close, c.leg_count
FROM m2m_candles c
WHERE c.account IN (SELECT a.account FROM accounts a WHERE a.user_id = current_setting('app.user_id', true));

ALTER TABLE accounts ENABLE ROW LEVEL SECURITY;
ALTER TABLE strategies ENABLE ROW LEVEL SECURITY;
ALTER TABLE legs ENABLE ROW LEVEL SECURITY;
ALTER TABLE strategy_m2m ENABLE ROW LEVEL SECURITY;
ALTER TABLE m2m_candles ENABLE ROW LEVEL SECURITY;

CREATE POLICY own_rows ON accounts TO strikeline_api
    USING (user_id = current_setting('app.user_id', true));
CREATE POLICY own_rows ON strategies TO strikeline_api USING (account IN (SELECT a.account FROM accounts a));
CREATE POLICY own_rows ON legs TO strikeline_api USING (account IN (SELECT a.account FROM accounts a));
CREATE POLICY own_rows ON strategy_m2m FOR SELECT TO strikeline_api
    USING (account IN (SELECT a.account FROM accounts a));
CREATE POLICY own_rows ON m2m_candles FOR SELECT TO strikeline_api
    USING (account IN (SELECT a.account FROM accounts a));  -- should anybody ever grant it

CREATE POLICY all_rows ON accounts TO strikeline_worker USING (true);
CREATE POLICY all_rows ON strategies TO strikeline_worker USING (true);
CREATE POLICY all_rows ON legs TO strikeline_worker USING (true);
CREATE POLICY all_rows ON strategy_m2m TO strikeline_worker USING (true);
CREATE POLICY all_rows ON m2m_candles TO strikeline_worker USING (true);

GRANT SELECT, INSERT, UPDATE ON accounts, strategies TO strikeline_api, strikeline_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON legs TO strikeline_api, strikeline_worker;
GRANT INSERT ON strategy_outbox TO strikeline_api;
GRANT SELECT, INSERT, DELETE ON strategy_outbox TO strikeline_worker;
GRANT SELECT ON strategy_m2m, own_m2m_candles TO strikeline_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON strategy_m2m, m2m_candles TO strikeline_worker;
"""

DOWN = """
DROP VIEW own_m2m_candles;
DROP TABLE m2m_candles;
DROP TABLE strategy_m2m;
DROP TABLE strategy_outbox;
DROP VIEW strategy_states;
DROP FUNCTION announce_strategy_outbox();
DROP TABLE legs;
DROP TABLE strategies;
DROP TABLE accounts;
"""


def upgrade() -> None:
    run(UP)


def downgrade() -> None:
    run(DOWN)

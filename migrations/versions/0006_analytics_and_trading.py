"""Tables of the analytics, trading and key services: added ahead of their code, so that an old release is untouched."""

from migrations.sql import is_community, run

revision = "0006"
down_revision = "0005"

# Analytics (implied volatility, Greeks, ratios) are doubles and absent, never 0, when they cannot be known; money is
# numeric. Greeks are by spot, theta a calendar day, vega and rho a point. All open interest is in units.
MARKET = """
CREATE TABLE option_bars (
    underlying         text NOT NULL,
    expiry             date NOT NULL,
    strike             numeric(18, 4) NOT NULL,
    open_time          timestamptz NOT NULL,
    spot               double precision,
    forward            double precision,
    call_close         double precision,
    call_volume        bigint,
    call_open_interest bigint,
    call_volatility    double precision,
    call_delta         double precision,
    call_gamma         double precision,
    call_theta         double precision,
    call_vega          double precision,
    call_rho           double precision,
    put_close          double precision,
    put_volume         bigint,
    put_open_interest  bigint,
    put_volatility     double precision,
    put_delta          double precision,
    put_gamma          double precision,
    put_theta          double precision,
    put_vega           double precision,
    put_rho            double precision,
    CONSTRAINT option_bars_pkey PRIMARY KEY (underlying, expiry, strike, open_time),
    CONSTRAINT option_bars_strike_check CHECK (strike >= 0)
);
SELECT create_hypertable('option_bars', by_range('open_time', INTERVAL '1 day'), create_default_indexes => false);
CREATE INDEX option_bars_expiry_idx ON option_bars (underlying, expiry, open_time DESC);

CREATE TABLE expiry_metrics (
    underlying         text NOT NULL,
    expiry             date NOT NULL,
    open_time          timestamptz NOT NULL,
    spot               double precision,
    forward            double precision,
    forward_source     text,
    call_open_interest bigint,
    put_open_interest  bigint,
    call_volume        bigint,
    put_volume         bigint,
    pcr_oi             double precision,
    pcr_volume         double precision,
    max_pain           numeric(18, 4),
    atm_volatility     double precision,
    CONSTRAINT expiry_metrics_pkey PRIMARY KEY (underlying, expiry, open_time)
);
SELECT create_hypertable('expiry_metrics', by_range('open_time', INTERVAL '28 days'), create_default_indexes => false);

CREATE TABLE futures_bars (
    underlying      text NOT NULL,
    expiry          date NOT NULL,
    open_time       timestamptz NOT NULL,
    close           double precision NOT NULL,
    volume          bigint,
    open_interest   bigint,
    spot            double precision,
    position_signal text NOT NULL,
    signal_strength double precision,
    CONSTRAINT futures_bars_pkey PRIMARY KEY (underlying, expiry, open_time),
    CONSTRAINT futures_bars_position_signal_check CHECK (
        position_signal IN ('LONG_BUILDUP', 'SHORT_BUILDUP', 'LONG_UNWINDING', 'SHORT_COVERING', 'NEUTRAL'))
);
SELECT create_hypertable('futures_bars', by_range('open_time', INTERVAL '28 days'), create_default_indexes => false);
GRANT SELECT ON option_bars, expiry_metrics, futures_bars TO strikeline_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON option_bars, expiry_metrics, futures_bars TO strikeline_worker;
"""

TENANTS = """
CREATE TABLE labels (
    label         text CONSTRAINT labels_pkey PRIMARY KEY,
    user_id       text NOT NULL,
    instrument_id integer NOT NULL CONSTRAINT labels_instrument_id_fkey REFERENCES instruments,
    timeframe     text NOT NULL,
    open_time     timestamptz NOT NULL,
    name          text NOT NULL CONSTRAINT labels_name_check CHECK (length(name) BETWEEN 1 AND 100),
    metadata      jsonb NOT NULL DEFAULT '{}',
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX labels_range_idx ON labels (user_id, instrument_id, timeframe, open_time);
CREATE INDEX labels_metadata_idx ON labels USING gin (metadata jsonb_path_ops);

CREATE TABLE daily_performance (
    strategy         bigint NOT NULL,
    account          text NOT NULL,
    date             date NOT NULL,
    day_pnl          numeric(18, 4) NOT NULL,
    cumulative_pnl   numeric(18, 4) NOT NULL,
    realized_pnl     numeric(18, 4) NOT NULL,
    unrealized_pnl   numeric(18, 4) NOT NULL,
    max_m2m          numeric(18, 4),
    min_m2m          numeric(18, 4),
    capital_deployed numeric(18, 4),
    margin_used      numeric(18, 4),
    open_positions   integer NOT NULL,
    closed_positions integer NOT NULL,
    trades           integer NOT NULL,
    wins             integer NOT NULL,
    losses           integer NOT NULL,
    CONSTRAINT daily_performance_pkey PRIMARY KEY (strategy, date),
    CONSTRAINT daily_performance_strategy_fkey FOREIGN KEY (strategy, account) REFERENCES strategies (number, account)
        ON DELETE CASCADE,
    CONSTRAINT daily_performance_trades_check CHECK (wins >= 0 AND losses >= 0 AND wins + losses <= trades)
);

CREATE TABLE positions (
    account         text NOT NULL CONSTRAINT positions_account_fkey REFERENCES accounts ON DELETE CASCADE,
    instrument_id   integer NOT NULL CONSTRAINT positions_instrument_id_fkey REFERENCES instruments,
    product         text NOT NULL CONSTRAINT positions_product_check CHECK (product IN ('CNC', 'NRML', 'MIS', 'MTF')),
    quantity        bigint NOT NULL,
    average_price   numeric(18, 4) NOT NULL CONSTRAINT positions_average_price_check CHECK (average_price >= 0),
    realized_pnl    numeric(18, 4) NOT NULL DEFAULT 0,
    strategy        bigint,
    updated_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT positions_pkey PRIMARY KEY (account, instrument_id, product),
    CONSTRAINT positions_strategy_fkey FOREIGN KEY (strategy, account) REFERENCES strategies (number, account)
);
CREATE INDEX positions_strategy_idx ON positions (strategy) WHERE strategy IS NOT NULL;

CREATE TABLE orders (
    "order"         text CONSTRAINT orders_pkey PRIMARY KEY,
    account         text NOT NULL CONSTRAINT orders_account_fkey REFERENCES accounts ON DELETE CASCADE,
    request_id      uuid NOT NULL,
    broker_order    text,
    instrument_id   integer NOT NULL CONSTRAINT orders_instrument_id_fkey REFERENCES instruments,
    strategy        bigint,
    side            text NOT NULL CONSTRAINT orders_side_check CHECK (side IN ('BUY', 'SELL')),
    product         text NOT NULL CONSTRAINT orders_product_check CHECK (product IN ('CNC', 'NRML', 'MIS', 'MTF')),
    order_type      text NOT NULL CONSTRAINT orders_order_type_check CHECK (
                        order_type IN ('MARKET', 'LIMIT', 'SL', 'SL-M')),
    quantity        bigint NOT NULL CONSTRAINT orders_quantity_check CHECK (quantity BETWEEN 1 AND 10000000),
    filled_quantity bigint NOT NULL DEFAULT 0,
    price           numeric(18, 4) CONSTRAINT orders_price_check CHECK (price >= 0),
    trigger_price   numeric(18, 4) CONSTRAINT orders_trigger_price_check CHECK (trigger_price >= 0),
    average_price   numeric(18, 4) CONSTRAINT orders_average_price_check CHECK (average_price >= 0),
    status          text NOT NULL,
    status_message  text NOT NULL DEFAULT '',
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT orders_request_id_key UNIQUE (account, request_id),
    CONSTRAINT orders_strategy_fkey FOREIGN KEY (strategy, account) REFERENCES strategies (number, account),
    CONSTRAINT orders_filled_quantity_check CHECK (filled_quantity BETWEEN 0 AND quantity)
);
CREATE INDEX orders_list_idx ON orders (account, created_at DESC);
CREATE INDEX orders_strategy_idx ON orders (strategy, created_at DESC) WHERE strategy IS NOT NULL;

CREATE TABLE api_keys (
    api_key     text CONSTRAINT api_keys_pkey PRIMARY KEY,
    user_id     text NOT NULL,
    name        text NOT NULL,
    secret_hash bytea NOT NULL CONSTRAINT api_keys_secret_hash_check CHECK (octet_length(secret_hash) = 32),
    scopes      text[] NOT NULL,
    accounts    text[],
    networks    cidr[],
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz,
    revoked_at  timestamptz
);
CREATE INDEX api_keys_user_id_idx ON api_keys (user_id, created_at DESC);
CREATE INDEX api_keys_active_idx ON api_keys (api_key) WHERE revoked_at IS NULL;

CREATE TABLE api_key_usage (
    api_key  text NOT NULL,
    user_id  text NOT NULL,
    used_at  timestamptz NOT NULL,
    method   text NOT NULL,
    code     smallint NOT NULL,
    address  inet NOT NULL,
    duration interval NOT NULL
);
SELECT create_hypertable('api_key_usage', by_range('used_at', INTERVAL '1 day'), create_default_indexes => false);
CREATE INDEX api_key_usage_latest_idx ON api_key_usage (api_key, used_at DESC);
COMMENT ON TABLE api_key_usage IS 'Kept for 90 days.';
CREATE VIEW own_api_key_usage WITH (security_barrier = true) AS
SELECT u.api_key, u.used_at, u.method, u.code, u.address, u.duration
FROM api_key_usage u WHERE u.user_id = current_setting('app.user_id', true);
"""

OWN_BY_USER = ("labels", "api_keys", "api_key_usage")
OWN_BY_ACCOUNT = ("daily_performance", "positions", "orders")
POLICIES = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON {table} TO strikeline_api USING ({own});
CREATE POLICY all_rows ON {table} TO strikeline_worker USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO strikeline_worker;
"""
# As with candles, no grant on a tenant hypertable for the api: it would hold for chunks, which carry no policies.
GRANTS = """
GRANT SELECT, INSERT, UPDATE, DELETE ON labels TO strikeline_api;
GRANT SELECT ON daily_performance, positions, own_api_key_usage TO strikeline_api;
GRANT SELECT, INSERT, UPDATE ON orders, api_keys TO strikeline_api;
GRANT INSERT ON api_key_usage TO strikeline_api;
"""

DOWN = """
DROP VIEW own_api_key_usage;
DROP TABLE api_key_usage;
DROP TABLE api_keys, orders, positions, daily_performance, labels;
DROP TABLE futures_bars;
DROP TABLE expiry_metrics;
DROP TABLE option_bars;
"""


def upgrade() -> None:
    run(MARKET + TENANTS)
    for table in OWN_BY_USER:
        run(POLICIES.format(table=table, own="user_id = current_setting('app.user_id', true)"))
    for table in OWN_BY_ACCOUNT:
        run(POLICIES.format(table=table, own="account IN (SELECT a.account FROM accounts a)"))
    run(GRANTS)
    if is_community():
        run("SELECT add_retention_policy('api_key_usage', INTERVAL '90 days')")


def downgrade() -> None:
    run(DOWN)

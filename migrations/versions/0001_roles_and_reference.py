"""Roles of the programs, the instrument master and the market calendar."""

from migrations.sql import run

revision = "0001"
down_revision = None

# Roles belong to the whole cluster and outlive a database, hence "when lacking" and no DROP below. Their passwords come
# from outside. A concurrent migration of another database may be faster: that is fine.
UP = """
CREATE EXTENSION IF NOT EXISTS timescaledb;
CREATE EXTENSION IF NOT EXISTS pg_trgm;

DO $$
DECLARE
    program name;
BEGIN
    FOREACH program IN ARRAY ARRAY['strikeline_api', 'strikeline_worker'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = program) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS', program);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                RAISE NOTICE 'role % was made meanwhile', program;
            END;
        END IF;
    END LOOP;
END
$$;

REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO strikeline_api, strikeline_worker;

CREATE TABLE instruments (
    instrument_id   integer GENERATED ALWAYS AS IDENTITY CONSTRAINT instruments_pkey PRIMARY KEY,
    exchange        text NOT NULL,
    tradingsymbol   text NOT NULL,
    key             text NOT NULL GENERATED ALWAYS AS (exchange || ':' || tradingsymbol) STORED,
    token           bigint,
    name            text NOT NULL DEFAULT '',
    kind            text NOT NULL,
    underlying      text,
    expiry          date,
    strike          numeric(18, 4),
    tick_size       numeric(18, 4) NOT NULL,
    lot_size        integer NOT NULL,
    freeze_quantity integer,
    segment         text NOT NULL DEFAULT '',
    provenance      text NOT NULL,
    search_text     text NOT NULL GENERATED ALWAYS AS (upper(tradingsymbol || ' ' || name)) STORED,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT instruments_key_key UNIQUE (key),
    CONSTRAINT instruments_exchange_check CHECK (exchange ~ '^[A-Z]{2,10}$'),
    CONSTRAINT instruments_tradingsymbol_check CHECK (length(tradingsymbol) BETWEEN 1 AND 64),
    CONSTRAINT instruments_kind_check CHECK (kind IN ('INDEX', 'EQUITY', 'FUTURE', 'CALL', 'PUT')),
    CONSTRAINT instruments_derivative_check CHECK (
        kind IN ('INDEX', 'EQUITY') OR (underlying IS NOT NULL AND expiry IS NOT NULL)),
    CONSTRAINT instruments_strike_check CHECK ((kind IN ('CALL', 'PUT')) = (strike IS NOT NULL) AND strike >= 0),
    CONSTRAINT instruments_tick_size_check CHECK (tick_size > 0 OR kind = 'INDEX' AND tick_size = 0),
    CONSTRAINT instruments_lot_size_check CHECK (lot_size > 0),
    CONSTRAINT instruments_freeze_quantity_check CHECK (freeze_quantity > 0),
    CONSTRAINT instruments_provenance_check CHECK (provenance IN ('kite', 'synthetic', 'replay', 'seed'))
);
CREATE INDEX instruments_search_text_idx ON instruments USING gin (search_text gin_trgm_ops);
CREATE INDEX instruments_prefix_idx ON instruments (tradingsymbol text_pattern_ops);
CREATE INDEX instruments_contract_idx ON instruments (underlying, expiry, strike, kind) WHERE expiry IS NOT NULL;
CREATE INDEX instruments_token_idx ON instruments (token) WHERE token IS NOT NULL;
GRANT SELECT, INSERT, UPDATE ON instruments TO strikeline_api, strikeline_worker;

-- The weekly hours of a market, exchange time; 0 is Monday. A rule holds from "first" to "last", both included.
CREATE TABLE calendar_weekdays (
    calendar text NOT NULL,
    weekday  smallint NOT NULL CONSTRAINT calendar_weekdays_weekday_check CHECK (weekday BETWEEN 0 AND 6),
    open     time NOT NULL,
    close    time NOT NULL,
    first    date NOT NULL,
    last     date,
    source   text NOT NULL,
    CONSTRAINT calendar_weekdays_pkey PRIMARY KEY (calendar, weekday, first, open),
    CONSTRAINT calendar_weekdays_hours_check CHECK (open < close),
    CONSTRAINT calendar_weekdays_range_check CHECK (first <= last)
);

-- Dated exceptions, exchange time. A holiday has no hours; a special day has one row for each of its sessions.
CREATE TABLE calendar_sessions (
    calendar text NOT NULL,
    date     date NOT NULL,
    kind     text NOT NULL CONSTRAINT calendar_sessions_kind_check CHECK (kind IN ('holiday', 'special')),
    open     time,
    close    time,
    label    text NOT NULL,
    source   text NOT NULL,
    CONSTRAINT calendar_sessions_key UNIQUE NULLS NOT DISTINCT (calendar, date, open),
    CONSTRAINT calendar_sessions_hours_check CHECK (
        CASE kind WHEN 'holiday' THEN open IS NULL AND close IS NULL ELSE coalesce(open < close, false) END)
);
GRANT SELECT ON calendar_weekdays, calendar_sessions TO strikeline_api, strikeline_worker;
"""

# Extensions stay: they may have been there before, and TimescaleDB cannot be created again in the same session.
DOWN = """
DROP TABLE calendar_sessions;
DROP TABLE calendar_weekdays;
DROP TABLE instruments;
REVOKE USAGE ON SCHEMA public FROM strikeline_api, strikeline_worker;
"""


def upgrade() -> None:
    run(UP)


def downgrade() -> None:
    run(DOWN)

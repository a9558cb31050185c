"""Bars: minutes as the worker makes them, their roll-ups in both editions of TimescaleDB, and recorded larger bars."""

from migrations.sql import is_community, run

revision = "0002"
down_revision = "0001"

# Times named *_time of type bigint are nanoseconds since 1970 UTC: the source's precision, which timestamptz lacks.
# first_* and last_* are the keys (event time, row) of the ticks that made open and close, so that merging two versions
# of a bar is commutative and idempotent. cumulative_max is the day's running maximum of cumulative volume at the bar's
# end, cumulative_before the same before the bar; both are absent for an index.
UP = """
CREATE TABLE bars_1m (
    instrument_id     integer NOT NULL,
    open_time         timestamptz NOT NULL,
    open              double precision NOT NULL,
    high              double precision NOT NULL,
    low               double precision NOT NULL,
    close             double precision NOT NULL,
    volume            bigint GENERATED ALWAYS AS (
        CASE WHEN cumulative_max IS NULL OR cumulative_before IS NULL THEN NULL
             ELSE greatest(cumulative_max - cumulative_before, 0) END) STORED,
    open_interest     bigint,
    partial           boolean NOT NULL,
    closed            boolean NOT NULL,
    first_time        bigint NOT NULL,
    first_row         bigint NOT NULL,
    last_time         bigint NOT NULL,
    last_row          bigint NOT NULL,
    cumulative_max    bigint,
    cumulative_before bigint,
    CONSTRAINT bars_1m_pkey PRIMARY KEY (instrument_id, open_time),
    CONSTRAINT bars_1m_instrument_id_fkey FOREIGN KEY (instrument_id) REFERENCES instruments,
    CONSTRAINT bars_1m_range_check CHECK (low <= least(open, close) AND high >= greatest(open, close)),
    CONSTRAINT bars_1m_key_check CHECK ((first_time, first_row) <= (last_time, last_row)),
    CONSTRAINT bars_1m_volume_check CHECK (cumulative_max >= 0 AND cumulative_before >= 0)
);
SELECT create_hypertable('bars_1m', by_range('open_time', INTERVAL '7 days'), create_default_indexes => false);
GRANT SELECT ON bars_1m TO strikeline_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON bars_1m TO strikeline_worker;

COMMENT ON TABLE bars_1m IS 'Kept for ever. Community edition: compressed after 7 days.';

-- Bars that a source gives in a larger timeframe. They make no minute bars.
CREATE TABLE bars_stored (
    instrument_id integer NOT NULL,
    timeframe     text NOT NULL,
    open_time     timestamptz NOT NULL,
    open          double precision NOT NULL,
    high          double precision NOT NULL,
    low           double precision NOT NULL,
    close         double precision NOT NULL,
    volume        bigint,
    open_interest bigint,
    source        text NOT NULL,
    CONSTRAINT bars_stored_pkey PRIMARY KEY (instrument_id, timeframe, open_time),
    CONSTRAINT bars_stored_instrument_id_fkey FOREIGN KEY (instrument_id) REFERENCES instruments,
    CONSTRAINT bars_stored_range_check CHECK (low <= least(open, close) AND high >= greatest(open, close))
);
SELECT create_hypertable('bars_stored', by_range('open_time', INTERVAL '365 days'), create_default_indexes => false);
GRANT SELECT ON bars_stored TO strikeline_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON bars_stored TO strikeline_worker;

-- Quarter hours whose minute bars changed since they were rolled up. Appended to by each commit of bars, so that two
-- workers never wait for each other; readers take such quarters from the minute bars.
CREATE TABLE rollup_dirty (
    id        bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT rollup_dirty_pkey PRIMARY KEY,
    bucket    timestamptz NOT NULL,
    marked_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX rollup_dirty_bucket_idx ON rollup_dirty (bucket);
GRANT SELECT ON rollup_dirty TO strikeline_api;
GRANT SELECT, INSERT, DELETE ON rollup_dirty TO strikeline_worker;
"""

TABLE = """
CREATE TABLE {name} (
    instrument_id integer NOT NULL,
    open_time     timestamptz NOT NULL,
    open          double precision NOT NULL,
    high          double precision NOT NULL,
    low           double precision NOT NULL,
    close         double precision NOT NULL,
    volume        bigint,
    open_interest bigint,
    partial       boolean NOT NULL,
    closed        boolean NOT NULL,
    minutes       integer NOT NULL,
    CONSTRAINT {name}_pkey PRIMARY KEY (instrument_id, open_time)
);
SELECT create_hypertable('{name}', by_range('open_time', INTERVAL '28 days'), create_default_indexes => false);
GRANT SELECT ON {name} TO strikeline_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON {name} TO strikeline_worker;
"""

# Refreshing needs the owner's rights, so the aggregates belong to a role of their own. The worker does not inherit
# them: it takes them on for the refresh alone (SET ROLE), and can otherwise only read.
AGGREGATE = """
SET LOCAL ROLE strikeline_rollup;
CREATE MATERIALIZED VIEW {name} WITH (timescaledb.continuous, timescaledb.materialized_only = true) AS
SELECT instrument_id,
       time_bucket(INTERVAL '{minutes} minutes', open_time) AS open_time,
       first(open, open_time) AS open,
       max(high) AS high,
       min(low) AS low,
       last(close, open_time) AS close,
       sum(volume)::bigint AS volume,
       last(open_interest, open_time) FILTER (WHERE open_interest IS NOT NULL) AS open_interest,
       bool_or(partial) AS partial,
       bool_and(closed) AS closed,
       count(*)::integer AS minutes
FROM bars_1m
GROUP BY instrument_id, time_bucket(INTERVAL '{minutes} minutes', open_time)
WITH NO DATA;
GRANT SELECT ON {name} TO strikeline_api, strikeline_worker;
RESET ROLE;
"""

# Late ticks and replays may still write into a compressed chunk: TimescaleDB unpacks what it must.
COMPRESSION = """
ALTER TABLE bars_1m SET (timescaledb.compress, timescaledb.compress_segmentby = 'instrument_id',
                         timescaledb.compress_orderby = 'open_time DESC');
SELECT add_compression_policy('bars_1m', INTERVAL '7 days');
"""

ROLLUP_ROLE = """
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'strikeline_rollup') THEN
        CREATE ROLE strikeline_rollup NOLOGIN NOSUPERUSER;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    RAISE NOTICE 'role strikeline_rollup was made meanwhile';
END
$$;
GRANT strikeline_rollup TO strikeline_worker WITH INHERIT FALSE, SET TRUE;
GRANT strikeline_rollup TO CURRENT_USER;
GRANT USAGE, CREATE ON SCHEMA public TO strikeline_rollup;
GRANT SELECT, TRIGGER ON bars_1m TO strikeline_rollup;
"""


def upgrade() -> None:
    run(UP)
    if is_community():
        run(ROLLUP_ROLE)
        run(AGGREGATE.format(name="bars_5m", minutes=5) + AGGREGATE.format(name="bars_15m", minutes=15))
        run("REVOKE CREATE ON SCHEMA public FROM strikeline_rollup; REVOKE TRIGGER ON bars_1m FROM strikeline_rollup;")
        run(COMPRESSION)
    else:
        run(TABLE.format(name="bars_5m") + TABLE.format(name="bars_15m"))


def downgrade() -> None:
    kind = "MATERIALIZED VIEW" if is_community() else "TABLE"
    run(f"DROP {kind} bars_15m; DROP {kind} bars_5m")
    run("DROP TABLE rollup_dirty; DROP TABLE bars_stored; DROP TABLE bars_1m")
    if is_community():
        run("REVOKE USAGE ON SCHEMA public FROM strikeline_rollup")

"""Minutes of option contracts and metrics of their expiries, with roll-ups in both editions of TimescaleDB.

Two tables of 0006 that no code ever used give way: prices, volume and open interest of a contract are in its bars.
"""

from migrations.sql import is_community, run

revision = "0007"
down_revision = "0006"

SAMPLED = ("volatility", "delta", "gamma", "theta", "vega", "rho")
"""Figures of a contract that are summed over a minute's valuations, beside the last one."""
LAST = (*SAMPLED, "vanna", "vomma", "charm", "speed", "zomma", "colour")
BOOK = ("spread", "spread_pct", "imbalance_pct", "pressure", "microprice", "liquidity_score")
METRICS = (
    "spot", "forward", "forward_source", "call_open_interest", "put_open_interest", "call_volume", "put_volume",
    "pcr_oi", "pcr_volume", "max_pain", "atm_volatility", "samples", "forward_strike", "rate", "dividend_yield",
    "years", "atm_strike", "skew", "straddle", "expected_move",
)  # fmt: skip
MINUTE = (
    "samples", "spot", "forward", "open_interest", *(f"{name}_sum" for name in SAMPLED),
    *(f"{name}_count" for name in SAMPLED), *LAST, *BOOK,
)  # fmt: skip

DROPPED = "DROP TABLE futures_bars; DROP TABLE option_bars;"

# A sum has its own count of valid samples, so that a mean over any length is sum by count. Open interest is the chain's
# at the minute's end: it changes without a trade, and a minute without a trade has no bar. NULL is not known.
TABLES = f"""
CREATE TABLE option_minutes (
    instrument_id integer NOT NULL,
    open_time     timestamptz NOT NULL,
    samples       integer NOT NULL,
    spot          double precision,
    forward       double precision,
    open_interest bigint,
    {" ".join(f"{name}_sum double precision NOT NULL," for name in SAMPLED)}
    {" ".join(f"{name}_count integer NOT NULL," for name in SAMPLED)}
    {" ".join(f"{name} double precision," for name in (*LAST, *BOOK))}
    CONSTRAINT option_minutes_pkey PRIMARY KEY (instrument_id, open_time),
    CONSTRAINT option_minutes_instrument_id_fkey FOREIGN KEY (instrument_id) REFERENCES instruments,
    CONSTRAINT option_minutes_samples_check CHECK (
        samples >= 0 AND {" AND ".join(f"{name}_count BETWEEN 0 AND samples" for name in SAMPLED)})
);
SELECT create_hypertable('option_minutes', by_range('open_time', INTERVAL '1 day'), create_default_indexes => false);
CREATE INDEX option_minutes_open_time_idx ON option_minutes USING brin (open_time)
    WITH (pages_per_range = 16, autosummarize = on);
GRANT SELECT ON option_minutes TO strikeline_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON option_minutes TO strikeline_worker;
COMMENT ON TABLE option_minutes IS 'Kept for some days after they were recorded; the roll-ups are kept for ever.';

ALTER TABLE expiry_metrics
    ADD COLUMN samples        integer NOT NULL DEFAULT 0,
    ADD COLUMN forward_strike numeric(18, 4),
    ADD COLUMN rate           double precision,
    ADD COLUMN dividend_yield double precision,
    ADD COLUMN years          double precision,
    ADD COLUMN atm_strike     numeric(18, 4),
    ADD COLUMN skew           double precision,
    ADD COLUMN straddle       double precision,
    ADD COLUMN expected_move  double precision;
SELECT set_chunk_time_interval('expiry_metrics', INTERVAL '7 days');
CREATE INDEX expiry_metrics_open_time_idx ON expiry_metrics USING brin (open_time)
    WITH (pages_per_range = 16, autosummarize = on);
"""

# The owner's rights for one thing. Chunks go by when they were made, not by the days they hold, so that a replayed old
# day stays as long as a new one. Both editions: Community's own policy cannot do this before 2.26, its job fails.
RETENTION = """
CREATE FUNCTION forget_option_minutes(kept interval) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    IF kept < INTERVAL '1 day' THEN
        RAISE EXCEPTION 'minutes of options are kept for at least a day' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN (SELECT count(*) FROM public.drop_chunks('public.option_minutes', created_before => now() - kept));
END
$function$;
REVOKE ALL ON FUNCTION forget_option_minutes(interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION forget_option_minutes(interval) TO strikeline_worker;
"""

MINUTE_AGGREGATES = f"""
    sum(samples)::integer AS samples, last(spot, open_time) AS spot, last(forward, open_time) AS forward,
    last(open_interest, open_time) FILTER (WHERE open_interest IS NOT NULL) AS open_interest,
    {", ".join(f"sum({name}_sum) AS {name}_sum" for name in SAMPLED)},
    {", ".join(f"sum({name}_count)::integer AS {name}_count" for name in SAMPLED)},
    {", ".join(f"last({name}, open_time) FILTER (WHERE {name} IS NOT NULL) AS {name}" for name in LAST)},
    {", ".join(f"last({name}, open_time) FILTER (WHERE spread IS NOT NULL) AS {name}" for name in BOOK)},
    count(*)::integer AS minutes
"""
SUMMED = {"samples": "sum(samples)::integer AS samples"}
METRICS_AGGREGATES = f"""
    {", ".join(SUMMED.get(name, f"last({name}, open_time) AS {name}") for name in METRICS)},
    count(*)::integer AS minutes
"""

# How minutes become a roll-up, once for both lengths; Community says the same in its aggregates.
ROLLED = f"""
CREATE FUNCTION rolled_option_minutes(quarters timestamptz[], length interval) RETURNS SETOF option_minutes_5m
LANGUAGE sql STABLE AS $function$
    SELECT instrument_id, time_bucket(length, open_time), {MINUTE_AGGREGATES}
    FROM unnest(quarters) AS dirty (quarter)
    CROSS JOIN LATERAL (SELECT * FROM option_minutes minute WHERE minute.open_time >= dirty.quarter
                          AND minute.open_time < dirty.quarter + INTERVAL '15 minutes') AS piece
    GROUP BY 1, 2 ORDER BY 1, 2
$function$;
CREATE FUNCTION rolled_expiry_metrics(quarters timestamptz[], length interval) RETURNS SETOF expiry_metrics_5m
LANGUAGE sql STABLE AS $function$
    SELECT underlying, expiry, time_bucket(length, open_time), {METRICS_AGGREGATES}
    FROM unnest(quarters) AS dirty (quarter)
    CROSS JOIN LATERAL (SELECT * FROM expiry_metrics minute WHERE minute.open_time >= dirty.quarter
                          AND minute.open_time < dirty.quarter + INTERVAL '15 minutes') AS piece
    GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
$function$;
"""

TABLE = """
CREATE TABLE {name} (LIKE {source}, minutes integer NOT NULL, CONSTRAINT {name}_pkey PRIMARY KEY ({key}, open_time));
SELECT create_hypertable('{name}', by_range('open_time', INTERVAL '28 days'), create_default_indexes => false);
CREATE INDEX {name}_open_time_idx ON {name} USING brin (open_time) WITH (pages_per_range = 16, autosummarize = on);
GRANT SELECT ON {name} TO strikeline_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON {name} TO strikeline_worker;
"""
AGGREGATE = """
SET LOCAL ROLE strikeline_rollup;
CREATE MATERIALIZED VIEW {name} WITH (timescaledb.continuous, timescaledb.materialized_only = true) AS
SELECT {key}, time_bucket(INTERVAL '{minutes} minutes', open_time) AS open_time, {aggregates}
FROM {source} GROUP BY {key}, time_bucket(INTERVAL '{minutes} minutes', open_time) WITH NO DATA;
GRANT SELECT ON {name} TO strikeline_api, strikeline_worker;
RESET ROLE;
"""
COMMUNITY_BEFORE = """
GRANT CREATE ON SCHEMA public TO strikeline_rollup;
GRANT SELECT, TRIGGER ON option_minutes, expiry_metrics TO strikeline_rollup;
"""
COMMUNITY_AFTER = """
REVOKE CREATE ON SCHEMA public FROM strikeline_rollup;
REVOKE TRIGGER ON option_minutes, expiry_metrics FROM strikeline_rollup;
ALTER TABLE option_minutes SET (timescaledb.compress, timescaledb.compress_segmentby = 'instrument_id',
                                timescaledb.compress_orderby = 'open_time DESC');
SELECT add_compression_policy('option_minutes', INTERVAL '2 days');
ALTER TABLE expiry_metrics SET (timescaledb.compress, timescaledb.compress_segmentby = 'underlying, expiry',
                                timescaledb.compress_orderby = 'open_time DESC');
SELECT add_compression_policy('expiry_metrics', INTERVAL '14 days');
"""

# What a reader asks: pieces no longer than `resolution` minutes, those that are not rolled up yet as minutes.
SERIES = """
CREATE VIEW {name} WITH (security_invoker = true) AS
SELECT 1 AS resolution, {columns} FROM {minutes}
UNION ALL
SELECT 5, {columns} FROM {prefix}_5m rolled
WHERE NOT EXISTS (SELECT FROM rollup_dirty WHERE bucket = time_bucket(INTERVAL '15 minutes', rolled.open_time))
UNION ALL
SELECT 5, {columns} FROM {minutes} fresh
WHERE EXISTS (SELECT FROM rollup_dirty WHERE bucket = time_bucket(INTERVAL '15 minutes', fresh.open_time))
UNION ALL
SELECT 15, {columns} FROM {prefix}_15m rolled
WHERE NOT EXISTS (SELECT FROM rollup_dirty WHERE bucket = rolled.open_time)
UNION ALL
SELECT 15, {columns} FROM {minutes} fresh
WHERE EXISTS (SELECT FROM rollup_dirty WHERE bucket = time_bucket(INTERVAL '15 minutes', fresh.open_time));
GRANT SELECT ON {name} TO strikeline_api, strikeline_worker;
"""

# A contract's figures beside its prices, for reports and single reads: the bar of the same key.
BARS = """
CREATE VIEW option_bars_{length} WITH (security_invoker = true) AS
SELECT figure.*, bar.open, bar.high, bar.low, bar.close, bar.volume
FROM {figures} figure
LEFT JOIN bars_{length} bar ON bar.instrument_id = figure.instrument_id AND bar.open_time = figure.open_time;
GRANT SELECT ON option_bars_{length} TO strikeline_api, strikeline_worker;
"""
FAMILIES = (
    ("option_minutes", "instrument_id", MINUTE, MINUTE_AGGREGATES),
    ("expiry_metrics", "underlying, expiry", METRICS, METRICS_AGGREGATES),
)
FIGURES = {"1m": "option_minutes", "5m": "option_minutes_5m", "15m": "option_minutes_15m"}


def upgrade() -> None:
    run(DROPPED + TABLES + RETENTION)
    _rollups()
    for prefix, key, names, _ in FAMILIES:
        columns = ", ".join((key, "open_time", *names))
        run(SERIES.format(name=f"{prefix}_series", prefix=prefix, minutes=prefix, columns=columns))
    prices = "instrument_id, open_time, open, high, low, close, volume, open_interest"
    run(SERIES.format(name="bars_series", prefix="bars", minutes="bars_1m", columns=prices))
    for length, figures in FIGURES.items():
        run(BARS.format(length=length, figures=figures))


def _rollups() -> None:
    community = is_community()
    if community:
        run(COMMUNITY_BEFORE)
    for source, key, _, aggregates in FAMILIES:
        for minutes in (5, 15):
            text = AGGREGATE if community else TABLE
            name = f"{source}_{minutes}m"
            run(text.format(name=name, source=source, key=key, minutes=minutes, aggregates=aggregates))
    run(COMMUNITY_AFTER if community else ROLLED)


EARLIER = """
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
GRANT SELECT ON option_bars, futures_bars TO strikeline_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON option_bars, futures_bars TO strikeline_worker;
"""

DOWN = """
DROP FUNCTION forget_option_minutes(interval);
DROP TABLE option_minutes;
DROP INDEX expiry_metrics_open_time_idx;
ALTER TABLE expiry_metrics
    DROP COLUMN samples, DROP COLUMN forward_strike, DROP COLUMN rate, DROP COLUMN dividend_yield, DROP COLUMN years,
    DROP COLUMN atm_strike, DROP COLUMN skew, DROP COLUMN straddle, DROP COLUMN expected_move;
SELECT set_chunk_time_interval('expiry_metrics', INTERVAL '28 days');
"""
UNCOMPRESSED = """
SELECT remove_compression_policy('expiry_metrics');
SELECT decompress_chunk(chunk, true) FROM show_chunks('expiry_metrics') AS chunk;
ALTER TABLE expiry_metrics SET (timescaledb.compress = false);
REVOKE SELECT ON expiry_metrics FROM strikeline_rollup;
"""


def downgrade() -> None:
    community = is_community()
    for length in FIGURES:
        run(f"DROP VIEW option_bars_{length}")
    run("DROP VIEW bars_series; DROP VIEW expiry_metrics_series; DROP VIEW option_minutes_series")
    if not community:
        run("DROP FUNCTION rolled_option_minutes; DROP FUNCTION rolled_expiry_metrics")
    kind = "MATERIALIZED VIEW" if community else "TABLE"
    for source, *_ in FAMILIES:
        run(f"DROP {kind} {source}_15m; DROP {kind} {source}_5m")
    run((UNCOMPRESSED if community else "") + DOWN + EARLIER)

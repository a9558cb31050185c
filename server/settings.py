"""Every setting of the server's roles: frozen, typed, one documented field each, read from `STRIKELINE_<FIELD>`."""

from __future__ import annotations

import dataclasses
import os
import typing
from collections.abc import Mapping
from dataclasses import dataclass

from server.setting_fields import (
    BELOW,
    ENVIRONMENTS,
    RULE,
    Rule,
    address,
    choice,
    count,
    finite,
    log_level,
    port,
    rate,
    seconds,
    yearly,
)

TIERS = ("free", "premium", "enterprise", "internal", "benchmark")
SOURCES = ("", "kite", "files")
FOLLOWS = ("all", "subscribed")


class SettingError(ValueError):
    """A setting is missing or out of its range; the text names the variable."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings shared by all roles. Durations are seconds, sizes are bytes."""

    environment: str = choice("production", ENVIRONMENTS)
    """`development`, `staging` or `production`. Only development tolerates a database superuser and generated keys."""

    namespace: str = "strikeline"
    """Prefix of every Redis key, so that several systems can share one Redis."""

    instance: str = ""
    """Name of this process that survives its restart, such as `worker-1`. Empty: one that never comes back."""

    database_url: str = ""
    """PostgreSQL of the api role (`strikeline_api`)."""

    worker_database_url: str = ""
    """PostgreSQL of the worker, feed and account commands (`strikeline_worker`)."""

    redis_url: str = "redis://127.0.0.1:6379/0"
    """Redis of the log and of what the worker publishes, quotas, open streams, tickets, dead letters, and which
    processes live; also of the ticker's channels, unless `ticker_redis_url` names another."""

    grpc_address: str = address("127.0.0.1:50051")
    """Where the api role listens."""

    metrics_port: int = port(0)
    """Loopback port of `/metrics`. 0: none."""

    jwks: str = ""
    """File with the public keys (JWKS) that tokens are verified with."""

    token_issuer: str = "strikeline-dev"  # noqa: S105 - a name, no secret
    """Required `iss` of tokens."""

    token_audience: str = "strikeline"  # noqa: S105 - a name, no secret
    """Required `aud` of tokens."""

    stream_secret: str = ""
    """Key of the MAC in resume tokens and of stream tickets, at least 32 characters. The same on every replica."""

    reflection: bool = False
    """Serve gRPC reflection."""

    pool_size: int = count(20)
    """Most database connections of this process."""

    replicas: int = count(1)
    """Processes of all roles that share the database server without a pooler in front. One that would not leave each
    its `pool_size` connections refuses to start."""

    pool_acquire_timeout: float = seconds(5.0)
    """Longest wait for a connection."""

    statement_timeout: float = seconds(5.0)
    """Longest interactive statement."""

    batch_statement_timeout: float = seconds(30.0)
    """Longest statement of a worker or an import."""

    redis_timeout: float = seconds(1.0)
    """Longest single Redis operation (blocking reads add their block time)."""

    tick_shards: int = count(1)
    """Shards of the tick log by underlying. The same for feed, worker and api."""

    m2m_slots: int = count(1)
    """Slots of the M2M stage, by account."""

    lease_duration: float = seconds(3.0)
    """How long a slot belongs to a worker that does not renew."""

    lease_renewal: float = seconds(1.0, below="lease_duration")
    """Time between renewals."""

    commit_interval: float = seconds(0.1, below="checkpoint_interval")
    """Shortest time between two commits of a slot."""

    checkpoint_interval: float = seconds(10.0)
    """Time between full checkpoints."""

    log_retention: float = seconds(120.0)
    """How long log entries stay readable for resuming streams, behind the committed position."""

    log_max_entries: int = count(200_000)
    """Most entries of a log; a feed waits before it exceeds this."""

    feed_max_ahead_ticks: int = count(500_000)
    """Most ticks that a feed has sent and the worker has not committed; beyond them the feed waits."""

    freshness_bound: float = seconds(60.0)
    """Market time after which a price is too old for a mark-to-market."""

    risk_free_rate: float = yearly(0.065)
    """Fraction a year, continuously compounded, that options are valued with."""

    dividend_yield: float = yearly(0.0)
    """Fraction a year, by which an underlying's forward is below spot and rate, where no future or parity tells it."""

    chain_freshness_bound: float = seconds(300.0)
    """Market time after which a price is too old to value an option by."""

    chain_retention: float = seconds(30.0)
    """How long published option chains stay readable for resuming streams, behind the committed position."""

    option_minutes_days: int = count(30, 0)
    """Days that minutes of options stay after they were recorded; their roll-ups stay for ever. 0: for ever too."""

    stale_after: float = seconds(3.0)
    """Silence of a feed within a session after which streams say STALE."""

    streams_per_user: int = count(10)
    """Most open streams of one user."""

    streams_per_address: int = count(20)
    """Most open streams of one network address."""

    subscriber_queue_events: int = count(20_000)
    """Most events that wait for one slow consumer."""

    subscriber_queue_bytes: int = count(1_000_000)
    """Most bytes that wait for one slow consumer."""

    subscriber_queue_age: float = seconds(5.0)
    """Longest time that an event waits for a slow consumer before conflation or disconnection."""

    subscriber_stall_timeout: float = seconds(30.0)
    """Longest time that a client may leave one message of a stream untaken before its call is cancelled."""

    trusted_proxies: str = "127.0.0.0/8,::1/128"
    """Networks, separated by commas, of the proxies whose `x-forwarded-for` is believed."""

    quota_tier: str = choice("free", TIERS)
    """Default tier of rate limits: `free`, `premium`, `enterprise`, `internal` or `benchmark`."""

    ticker_redis_url: str = ""
    """Redis whose pub/sub channels the ticker feed listens to. Empty: `redis_url`."""

    ticker_channel_prefix: str = "ticker:nifty"
    """Prefix of the ticker feed's channels: `:underlying`, `:options` and `:events` follow."""

    ticker_follow: str = choice("all", FOLLOWS)
    """`all`: the ticker feed takes every instrument that is published. `subscribed`: those of feed
    subscriptions and of monitor sessions."""

    ticker_flush_interval: float = seconds(0.1)
    """Time that the ticker feed gathers messages before it appends them as one batch."""

    ticker_queue_messages: int = count(50_000)
    """Most messages that wait between pub/sub and the log; beyond them the oldest are dropped and a gap is noted."""

    dead_letters_max: int = count(10_000)
    """Most messages that are kept because they could not be read; beyond them the oldest go."""

    market_data_source: str = choice("", SOURCES)
    """Where backfills come from: `kite`, `files` or empty, which is nowhere."""

    market_data_url: str = "https://api.kite.trade"
    """Base URL of the broker's historical API."""

    market_data_api_key: str = ""
    """Key of the broker's historical API."""

    market_data_access_token: str = ""
    """Access token of the broker's historical API, which the broker issues for a day."""

    market_data_directory: str = ""
    """Directory of recorded files that `files` reads, named as `feed replay` wants them."""

    market_data_timeout: float = seconds(10.0, below="backfill_lease")
    """Longest single request to the source of backfills."""

    market_data_rate: float = rate(3.0)
    """Most requests a second to the source of backfills."""

    backfill_lease: float = seconds(60.0)
    """How long an instrument's day of a backfill belongs to a worker that says nothing."""

    gap_scan_interval: float = seconds(300.0)
    """Time between two looks for gaps of the instruments that are subscribed to."""

    monitor_session_ttl: float = seconds(120.0)
    """How long a monitor session lives that nobody streams or changes."""

    monitor_sessions_per_user: int = count(10)
    """Most monitor sessions of one user."""

    drain_grace: float = seconds(5.0)
    """Time that running calls get on shutdown."""

    log_level: str = log_level()
    """Lowest level that is logged."""


T = typing.TypeVar("T")


def load(kind: type[T], environ: Mapping[str, str] | None = None) -> T:
    """Reads a settings dataclass from the environment.

    Raises SettingError that names the variable when a value cannot be parsed, is out of range, or contradicts another.
    """
    source = os.environ if environ is None else environ
    hints = typing.get_type_hints(kind)
    values: dict[str, object] = {}
    for item in dataclasses.fields(kind):  # type: ignore[arg-type]
        values[item.name] = item.default
        variable = _variable(item.name)
        text = source.get(variable)
        if text is None:
            continue
        value = _parse(variable, text, hints[item.name])
        _check(variable, value, item.metadata.get(RULE))
        values[item.name] = value
    _check_order(kind, values)
    return kind(**values)


def _parse(variable: str, text: str, kind: type) -> object:
    if kind is bool:
        if text.lower() not in {"0", "1", "true", "false"}:
            raise SettingError(f"{variable} must be true or false, was {text!r}")
        return text.lower() in {"1", "true"}
    try:
        return kind(text)
    except ValueError as error:
        raise SettingError(f"{variable} must be of type {kind.__name__}, was {text!r}") from error


def _check(variable: str, value: object, rule: Rule | None) -> None:
    complaint = finite(value) or (rule(value) if rule is not None else "")
    if complaint:
        raise SettingError(f"{variable} {complaint}, was {value!r}")


def _check_order(kind: type, values: Mapping[str, object]) -> None:
    """Durations that must be shorter than others."""
    for item in dataclasses.fields(kind):
        if other := item.metadata.get(BELOW):
            low, high = values[item.name], values[other]
            if isinstance(low, int | float) and isinstance(high, int | float) and low >= high:
                raise SettingError(f"{_variable(item.name)} ({low}) must be below {_variable(other)} ({high})")


def _variable(name: str) -> str:
    return f"STRIKELINE_{name.upper()}"

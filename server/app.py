"""The only place where objects are made and wired. Each role is an async context manager made from settings.

Nothing is kept in modules: two applications run side by side in one process.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import grpc
from prometheus_client import CollectorRegistry
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from server import checks
from server.contract.errors import load_catalogue
from server.contract.methods import load_contract
from server.domain.calendar import MarketCalendar
from server.domain.errors import StrikelineError
from server.jobs.rollup import RollupJob
from server.market.feeds.replay.report import ReplaySummary
from server.market.feeds.run import FeedConfig, run_feed
from server.market.hub.clock import SystemClock
from server.market.hub.hub import Hub
from server.market.hub.strategies import StoredStrategies
from server.market.hub.supervisor import Supervisor
from server.market.hub.wiring import make_hub
from server.market.worker import Worker
from server.rpc.admission import Gates
from server.rpc.health import DATABASE, REDIS, HealthMonitor
from server.rpc.identity import Identity
from server.rpc.keys import KeyRing, key_source
from server.rpc.limits import Quotas
from server.rpc.meters import PrometheusMeter
from server.rpc.metrics_server import metrics_server
from server.rpc.ownership import AccountGuard
from server.rpc.peers import Peers
from server.rpc.registry import Wrapping, build_handlers
from server.rpc.server import serve
from server.rpc.sessions import Sessions
from server.rpc.streams import OpenStream, Streams
from server.rpc.telemetry import LoopLag, RpcTelemetry, watch
from server.rpc.tokens import TokenVerifier
from server.rpc.validation import RequestValidator
from server.services import component_sources as sources
from server.services.account_service import AccountService
from server.services.components import ComponentBoard
from server.services.exits import Exits
from server.services.instrument_service import InstrumentService
from server.services.live_market import LiveMarket
from server.services.m2m import MarkToMarket
from server.services.market_data_service import MarketDataService
from server.services.strategy_service import StrategyService
from server.services.system_service import SystemFacts, SystemParts, SystemService
from server.settings import Settings
from server.store.accounts import AccountStore
from server.store.bars import BarStore
from server.store.calendar import CalendarStore
from server.store.database import Database
from server.store.instruments import InstrumentStore
from server.store.m2m import M2mStore
from server.store.market_log import MarketLog
from server.store.presence import PresenceStore
from server.store.quotas import QuotaStore
from server.store.redis import RedisClient, open_redis
from server.store.rollups import RollupStore
from server.store.strategies import StrategyStore
from server.store.streams import StreamStore
from server.store.tickets import TicketStore
from server.store.worker_state import LeaseStore
from server.version import VERSION
from strikeline.v1 import component_pb2

PACKAGE = "strikeline.v1"
CALENDARS = ("NSE", "MCX", "CDS")
PRESENCE_SECONDS = 3.0

log = logging.getLogger("strikeline")


@dataclass(frozen=True)
class Core:
    """What every role has: connections, measurements, background tasks, and its name among the processes."""

    settings: Settings
    instance: str
    database: Database
    redis: RedisClient
    registry: CollectorRegistry
    supervisor: Supervisor


@contextlib.asynccontextmanager
async def open_core(settings: Settings, role: str, url: str, statement_timeout: float) -> AsyncIterator[Core]:
    """Connects a role. Raises SettingError for settings that it refuses, StrikelineError when the database is away."""
    checks.check_settings(settings, role=role)
    registry = _registry()
    instance = settings.instance or f"{socket.gethostname()}-{os.getpid()}"
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(
            Database.open(
                url,
                size=settings.pool_size,
                acquire_timeout=settings.pool_acquire_timeout,
                statement_timeout=statement_timeout,
                application_name=f"strikeline-{role}",
                allow_superuser=settings.environment == checks.DEVELOPMENT,
            )
        )
        redis = await stack.enter_async_context(open_redis(settings.redis_url, settings.redis_timeout))
        supervisor = await stack.enter_async_context(Supervisor(SystemClock()))
        core = Core(settings, instance, database, redis, registry, supervisor)
        _measure(core)
        await stack.enter_async_context(_present(core, role))
        yield core


def _registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def _measure(core: Core) -> None:
    pool = core.database.pool_state
    watch(core.registry, "pool_limit", "Most database connections", lambda: pool().limit)
    watch(core.registry, "pool_in_use", "Database connections in use", lambda: pool().in_use)
    watch(core.registry, "pool_idle", "Database connections that lie idle", lambda: pool().idle)
    watch(core.registry, "pool_waiting", "Callers that wait for a connection", lambda: pool().waiting)
    core.supervisor.start("loop-lag", LoopLag(core.registry).run)
    states = core.supervisor
    watch(core.registry, "tasks_failing", "Tasks that do not run", lambda: sum(not t.running for t in states.states))


@contextlib.asynccontextmanager
async def _present(core: Core, role: str) -> AsyncIterator[None]:
    """Says while the block runs that this process is alive."""
    presence, clock = PresenceStore(core.redis, core.settings.namespace), SystemClock()

    async def announce() -> None:
        while True:
            await presence.announce(role, core.instance)
            await clock.sleep(PRESENCE_SECONDS)

    core.supervisor.start("presence", announce)
    try:
        yield
    finally:
        with contextlib.suppress(StrikelineError):
            await presence.leave(role, core.instance)


async def _calendars(database: Database) -> Mapping[str, MarketCalendar]:
    store = CalendarStore(database)
    return {name: await store.load(name) for name in CALENDARS}


class ApiApp:
    """The api role: serves the contract over gRPC while its context is entered."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stack = AsyncExitStack()
        self._started_at = time.time_ns()
        self.port = 0
        """Port that it listens on."""
        self.metrics_port = 0
        """Loopback port of `/metrics`; 0 without one."""

    async def __aenter__(self) -> Self:
        async with self._stack:
            await self._start()
            self._stack = self._stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.drain()
        await self._stack.aclose()

    async def drain(self) -> None:
        """Takes no new calls; running ones get the grace time, streams are told to go elsewhere."""
        await self.health.drain()
        self.hub.drain()
        await self._server.stop(self._settings.drain_grace)

    async def _start(self) -> None:
        settings, enter = self._settings, self._stack.enter_async_context
        core = await enter(open_core(settings, "api", settings.database_url, settings.statement_timeout))
        self.registry = core.registry
        calendars = await _calendars(core.database)
        self.hub = await enter(make_hub(settings, core.database, core.redis, calendars))
        wrapping, sessions = await _wrapping(core)
        contract = load_contract()
        system = await _system_service(core, self.hub, wrapping, sessions, self._started_at)
        servicers = {**_servicers(core, self.hub, calendars), f"{PACKAGE}.SystemService": system}
        handlers = build_handlers(contract, servicers, wrapping)
        self.health = HealthMonitor(contract.services, {DATABASE: core.database.ping, REDIS: core.redis.ping})
        await self.health.start()
        reflected = contract.services if settings.reflection else ()
        server = serve(settings.grpc_address, handlers, self.health.servicer, reflected=reflected)
        self._server: grpc.aio.Server
        self._server, self.port = await enter(server)
        core.supervisor.start("health", self.health.run)
        core.supervisor.start("streams", wrapping.streams.run)
        _measure_hub(core.registry, self.hub)
        if settings.metrics_port:
            self.metrics_port = await enter(metrics_server(core.registry, settings.metrics_port))


async def _wrapping(core: Core) -> tuple[Wrapping, Sessions]:
    """The checks around every method, with the store's implementations of their ports."""
    settings, redis, namespace = core.settings, core.redis, core.settings.namespace
    keys = KeyRing(key_source(settings.jwks), time.monotonic)
    await keys.load()
    verifier = TokenVerifier(keys, issuer=settings.token_issuer, audience=settings.token_audience, clock=time.time)
    sessions = Sessions(settings.stream_secret, TicketStore(redis, namespace), time.time)
    gates = Gates(
        Identity(verifier, sessions, time.time),
        AccountGuard(AccountStore(core.database), time.monotonic),
        Quotas(QuotaStore(redis, namespace), settings.quota_tier, time.monotonic),
        RequestValidator(),
        Peers(settings.trusted_proxies),
    )
    streams = Streams(
        StreamStore(redis, namespace, OpenStream),
        server=core.instance,
        per_user=settings.streams_per_user,
        per_address=settings.streams_per_address,
    )
    return Wrapping(gates, streams, RpcTelemetry(core.registry)), sessions


def _servicers(core: Core, hub: Hub, calendars: Mapping[str, MarketCalendar]) -> dict[str, object]:
    """The servicers by full service name, but for the system's own."""
    database, market = core.database, LiveMarket(hub)
    instruments, strategies, m2m = InstrumentStore(database), StrategyStore(database), M2mStore(database)
    exits = Exits(market, core.settings.freshness_bound)
    figures = MarkToMarket(hub, StoredStrategies(strategies, m2m), m2m)
    return {
        f"{PACKAGE}.AccountService": AccountService(AccountStore(database)),
        f"{PACKAGE}.InstrumentService": InstrumentService(instruments, market),
        f"{PACKAGE}.MarketDataService": MarketDataService(hub, instruments, BarStore(database), calendars),
        f"{PACKAGE}.StrategyService": StrategyService(strategies, instruments, exits, figures),
    }


async def _system_service(
    core: Core, hub: Hub, wrapping: Wrapping, sessions: Sessions, started_at: int
) -> SystemService:
    edition = await RollupStore(core.database).edition()
    facts = SystemFacts(
        version=VERSION,
        edition=component_pb2.DatabaseEdition.Value(f"DATABASE_EDITION_{edition.name}"),
        started_at=started_at,
    )
    board = ComponentBoard(
        {
            "database": sources.database_source(core.database),
            "redis": sources.redis_source(core.redis),
            "feed": sources.feed_source(hub),
            f"api/{core.instance}": sources.api_source(core.instance, hub, wrapping.streams),
            "worker": sources.worker_source(LeaseStore(core.database)),
        }
    )
    parts = SystemParts(
        contract=load_contract(),
        catalogue=load_catalogue(),
        feed=LiveMarket(hub),
        living=sources.Roles(PresenceStore(core.redis, core.settings.namespace), "api"),
        board=board,
        streams=wrapping.streams,
        tickets=sessions,
        quotas=wrapping.gates.quotas,
    )
    return SystemService(facts, parts)


def _measure_hub(registry: CollectorRegistry, hub: Hub) -> None:
    watch(registry, "hub_streams", "Subscriptions that are open", lambda: hub.counts().open)
    watch(registry, "hub_envelopes", "Envelopes sent since the start", lambda: hub.counts().sent)
    watch(registry, "hub_events", "Events sent since the start", lambda: hub.counts().events)
    watch(registry, "hub_replaced_events", "Events that newer ones replaced", lambda: hub.counts().replaced)
    watch(registry, "market_time_seconds", "Market time, seconds since 1970 UTC", lambda: hub.market_time() / 1e9)
    watch(registry, "hub_degraded", "1 while a dependency of the hub is away", lambda: float(hub.degraded))


class WorkerApp:
    """The worker role: makes bars and mark-to-market while its context is entered. Leaving commits what was read."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stack = AsyncExitStack()
        self.metrics_port = 0
        """Loopback port of `/metrics`; 0 without one."""

    async def __aenter__(self) -> Self:
        async with self._stack:
            await self._start()
            self._stack = self._stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _start(self) -> None:
        settings, enter = self._settings, self._stack.enter_async_context
        url, timeout = settings.worker_database_url, settings.batch_statement_timeout
        core = await enter(open_core(settings, "worker", url, timeout))
        self.registry = core.registry
        calendars = await _calendars(core.database)
        jobs = {"worker/rollup": RollupJob(RollupStore(core.database)).run}
        meter = PrometheusMeter(core.registry)
        worker = Worker(settings, core.database, core.redis, calendars, jobs=jobs, meter=meter)
        self.worker = await enter(worker)
        failing = "Tasks of the worker that do not run"
        watch(core.registry, "worker_tasks_failing", failing, lambda: sum(not t.running for t in worker.states))
        if settings.metrics_port:
            self.metrics_port = await enter(metrics_server(core.registry, settings.metrics_port))


class FeedApp:
    """The feed role: appends market data to the log while it runs."""

    def __init__(self, settings: Settings, config: FeedConfig) -> None:
        self._settings = settings
        self._config = config

    async def run(self) -> ReplaySummary | None:
        """Runs the feed: a replay until its files are over, the synthetic feed until it is cancelled."""
        settings = self._settings
        url, timeout = settings.worker_database_url, settings.batch_statement_timeout
        async with open_core(settings, "feed", url, timeout) as core, AsyncExitStack() as stack:
            if settings.metrics_port:
                await stack.enter_async_context(metrics_server(core.registry, settings.metrics_port))
            tick_log = MarketLog(core.redis, settings.namespace, settings.tick_shards, settings.log_max_entries)
            return await run_feed(
                self._config, settings=settings, database=core.database, log=tick_log, registry=core.registry
            )


async def create_account(settings: Settings, user: str, account: str | None, display_name: str) -> str:
    """Creates an account for a user, unless the user has that one already. -> its id.

    Raises AlreadyExists when the id is another user's.
    """
    checks.check_settings(settings, role="account")
    async with Database.open(
        settings.worker_database_url, size=1, allow_superuser=settings.environment == checks.DEVELOPMENT
    ) as database:
        accounts = AccountStore(database)
        if account is None:
            return (await accounts.create(user, display_name)).account
        return (await accounts.ensure(user, account, display_name)).account

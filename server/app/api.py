"""The api role."""

from __future__ import annotations

import time
from collections.abc import Mapping

import grpc
from prometheus_client import CollectorRegistry

from server.app.core import Core, load_calendars, open_core
from server.app.monitor import make_monitor
from server.app.role import Role
from server.contract.errors import load_catalogue
from server.contract.methods import load_contract
from server.domain.calendar import MarketCalendar
from server.market.hub.hub import Hub
from server.market.hub.strategies import StoredStrategies
from server.market.hub.wiring import make_hub
from server.observability.durations import CacheUse
from server.observability.measures import CacheCollector, watch
from server.rpc.admission import Gates
from server.rpc.health import DATABASE, REDIS, HealthMonitor
from server.rpc.identity import Identity
from server.rpc.keys import KeyRing, key_source
from server.rpc.limits import Quotas
from server.rpc.metrics_server import metrics_server
from server.rpc.ownership import AccountGuard
from server.rpc.peers import Peers
from server.rpc.registry import Wrapping, build_handlers
from server.rpc.server import serve
from server.rpc.sessions import Sessions
from server.rpc.streams import OpenStream, Streams
from server.rpc.telemetry import RpcTelemetry
from server.rpc.tokens import TokenVerifier
from server.rpc.validation import RequestValidator
from server.services import component_sources as sources
from server.services.account_service import AccountService
from server.services.components import ComponentBoard, Source
from server.services.exits import Exits
from server.services.feed_operations import Backfills, FeedSubscriptions
from server.services.futures_market import FuturesMarket
from server.services.futures_service import FuturesService
from server.services.futures_signals import SignalSeries
from server.services.history_requests import HistorySources
from server.services.instrument_service import InstrumentService
from server.services.listed_expiries import ListedExpiries
from server.services.live_market import LiveMarket
from server.services.m2m import MarkToMarket
from server.services.market_data_service import MarketDataService
from server.services.moneyness_history import MoneynessHistory
from server.services.moneyness_values import MoneynessValues
from server.services.option_chains import OptionChains
from server.services.option_expiries import OptionExpiries
from server.services.option_history import OptionHistory
from server.services.option_pricing import OptionPricing
from server.services.option_service import OptionService
from server.services.option_streams import OptionStreams
from server.services.recorded_chains import RecordedChains
from server.services.strategy_service import StrategyService
from server.services.strike_distribution import StrikeDistributions
from server.services.strike_history import StrikeHistory
from server.services.system_service import SystemFacts, SystemParts, SystemService
from server.services.unvalued_chains import Assumptions, UnvaluedChains
from server.services.volatility_surfaces import VolatilitySurfaces
from server.settings import Settings
from server.store.accounts import AccountStore
from server.store.backfills import BackfillStore
from server.store.bars import BarStore
from server.store.dead_letters import DeadLetterStore
from server.store.expiry_listings import ExpiryListingStore
from server.store.expiry_metrics import ExpiryMetricsStore
from server.store.feed_subscriptions import FeedSubscriptionStore
from server.store.instruments import InstrumentStore
from server.store.legs import LegStore
from server.store.m2m import M2mStore
from server.store.newest_bars import NewestBars
from server.store.option_minutes import OptionMinuteStore
from server.store.presence import PresenceStore
from server.store.quotas import QuotaStore
from server.store.rollups import RollupStore
from server.store.strategies import StrategyStore
from server.store.streams import StreamStore
from server.store.tickets import TicketStore
from server.store.worker_state import LeaseStore
from server.version import VERSION
from strikeline.v1 import component_pb2

PACKAGE = "strikeline.v1"


class ApiApp(Role):
    """The api role: serves the contract over gRPC while its context is entered."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._started_at = time.time_ns()
        self.port = 0
        """Port that it listens on."""

    async def drain(self) -> None:
        """Takes no new calls; running ones get the grace time, streams are told to go elsewhere."""
        await self.health.drain()
        self.hub.drain()
        await self._server.stop(self._settings.drain_grace)
        self.call_log.flush()

    async def _start(self) -> None:
        settings, enter = self._settings, self._stack.enter_async_context
        core = await enter(open_core(settings, "api", settings.database_url, settings.statement_timeout))
        self.registry = core.registry
        calendars = await load_calendars(core.database)
        self.hub = await enter(make_hub(settings, core.database, core.redis, calendars))
        wrapping, sessions = await _wrapping(core)
        self.call_log = wrapping.telemetry.log
        contract = load_contract()
        system = await _system_service(core, self.hub, wrapping, sessions, self._started_at)
        caches = {"identity": wrapping.gates.identity.use, "ownership": wrapping.gates.accounts.use}
        servicers = {**_servicers(core, self.hub, calendars, caches), f"{PACKAGE}.SystemService": system}
        CacheCollector(core.registry, caches)
        handlers = build_handlers(contract, servicers, wrapping)
        probes = {DATABASE: core.database.ping, REDIS: core.redis.ping}
        details = {DATABASE: lambda: sources.pool_counts(core.database)}
        self.health = HealthMonitor(contract.services, probes, details)
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
    quotas = QuotaStore(redis, namespace)
    core.dependencies.watch("quotas", lambda: quotas.breaker_state)
    gates = Gates(
        Identity(verifier, sessions, time.time),
        AccountGuard(AccountStore(core.database), time.monotonic),
        Quotas(quotas, settings.quota_tier, time.monotonic),
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


def _servicers(
    core: Core, hub: Hub, calendars: Mapping[str, MarketCalendar], caches: dict[str, CacheUse]
) -> dict[str, object]:
    """The servicers by full service name, but for the system's own. Adds their `caches`."""
    database, market = core.database, LiveMarket(hub)
    instruments, m2m = InstrumentStore(database), M2mStore(database)
    strategies, legs = StrategyStore(database), LegStore(database)
    exits = Exits(market, core.settings.freshness_bound)
    figures = MarkToMarket(hub, StoredStrategies(strategies, legs, m2m), m2m)
    monitor = make_monitor(core, hub, calendars, _assumptions(core.settings))
    market_data = MarketDataService(hub, instruments, BarStore(database), calendars, monitor)
    listed = ListedExpiries(ExpiryListingStore(database), time.monotonic)
    caches |= {"quotes": market_data.quote_cache, "listings": listed.use}
    return {
        f"{PACKAGE}.AccountService": AccountService(AccountStore(database)),
        f"{PACKAGE}.FuturesService": _futures_service(core, hub, calendars),
        f"{PACKAGE}.InstrumentService": _instrument_service(core, market, calendars),
        f"{PACKAGE}.MarketDataService": market_data,
        f"{PACKAGE}.OptionService": _option_service(core, hub, calendars, listed),
        f"{PACKAGE}.StrategyService": StrategyService(strategies, legs, instruments, exits, figures),
    }


def _instrument_service(core: Core, market: LiveMarket, calendars: Mapping[str, MarketCalendar]) -> InstrumentService:
    database = core.database
    instruments = InstrumentStore(database)
    return InstrumentService(
        instruments,
        ExpiryListingStore(database),
        market,
        FeedSubscriptions(FeedSubscriptionStore(database), instruments),
        Backfills(BackfillStore(database), instruments, calendars),
    )


def _option_service(
    core: Core, hub: Hub, calendars: Mapping[str, MarketCalendar], listed: ListedExpiries
) -> OptionService:
    database, market = core.database, LiveMarket(hub)
    sources = HistorySources(listed, InstrumentStore(database), market, calendars)
    metrics, minutes = ExpiryMetricsStore(database), OptionMinuteStore(database)
    given = _assumptions(core.settings)
    unvalued = UnvaluedChains(InstrumentStore(database), given)
    chains = OptionChains(hub.chains, listed, market, unvalued, given)
    return OptionService(
        expiries=OptionExpiries(listed, market, calendars),
        streams=OptionStreams(hub),
        chains=chains,
        distributions=StrikeDistributions(chains, RecordedChains(sources, metrics, minutes), sources),
        history=OptionHistory(sources, metrics, minutes, given.freshness),
        moneyness=MoneynessHistory(sources, metrics, MoneynessValues(minutes)),
        strikes=StrikeHistory(sources, BarStore(database), minutes),
        pricing=OptionPricing(hub.chains, InstrumentStore(database), market, given),
        surfaces=VolatilitySurfaces(chains),
    )


def _assumptions(settings: Settings) -> Assumptions:
    return Assumptions(
        rate=settings.risk_free_rate,
        dividend_yield=settings.dividend_yield,
        freshness=round(settings.chain_freshness_bound * 1e9),
    )


def _futures_service(core: Core, hub: Hub, calendars: Mapping[str, MarketCalendar]) -> FuturesService:
    database = core.database
    instruments = InstrumentStore(database)
    market = FuturesMarket(hub, instruments, NewestBars(database), calendars)
    return FuturesService(hub, market, SignalSeries(BarStore(database), calendars), instruments)


async def _system_service(
    core: Core, hub: Hub, wrapping: Wrapping, sessions: Sessions, started_at: int
) -> SystemService:
    edition = await RollupStore(core.database).edition()
    facts = SystemFacts(
        version=VERSION,
        edition=component_pb2.DatabaseEdition.Value(f"DATABASE_EDITION_{edition.name}"),
        started_at=started_at,
    )
    presence = PresenceStore(core.redis, core.settings.namespace)
    api = sources.api_source(core.instance, hub, wrapping.streams, started_at)
    board = _component_board(core, hub, presence, {f"api/{core.instance}": api})
    core.supervisor.start("components", board.run)
    parts = SystemParts(
        contract=load_contract(),
        catalogue=load_catalogue(),
        feed=LiveMarket(hub),
        living=sources.Roles(presence, "api"),
        board=board,
        streams=wrapping.streams,
        tickets=sessions,
        quotas=wrapping.gates.quotas,
    )
    return SystemService(facts, parts)


def _component_board(core: Core, hub: Hub, presence: PresenceStore, own: Mapping[str, Source]) -> ComponentBoard:
    letters = DeadLetterStore(core.redis, core.settings.namespace, core.settings.dead_letters_max)
    return ComponentBoard(
        {
            "database": sources.database_source(core.database),
            "redis": sources.redis_source(core.redis),
            "feed": sources.feed_source(hub),
            **own,
            "worker": sources.worker_source(LeaseStore(core.database), presence),
            "dead-letters": sources.dead_letters_source(letters),
        }
    )


def _measure_hub(registry: CollectorRegistry, hub: Hub) -> None:
    watch(registry, "hub_streams", "Subscriptions that are open", lambda: hub.counts().open)
    watch(registry, "hub_envelopes", "Envelopes sent since the start", lambda: hub.counts().sent)
    watch(registry, "hub_events", "Events sent since the start", lambda: hub.counts().events)
    watch(registry, "hub_replaced_events", "Events that newer ones replaced", lambda: hub.counts().replaced)
    watch(registry, "hub_queue_events", "Events that are held for subscribers", lambda: hub.depth().events)
    watch(registry, "hub_queue_bytes", "Bytes that are held for subscribers", lambda: hub.depth().size)
    watch(registry, "hub_queue_behind", "Entries that the slowest subscriber is behind", lambda: hub.depth().behind)
    watch(registry, "market_time_seconds", "Market time, seconds since 1970 UTC", lambda: hub.market_time() / 1e9)
    watch(registry, "hub_degraded", "1 while a dependency of the hub is away", lambda: float(hub.degraded))

"""What every role has: connections, measurements, background tasks, and a name among the processes."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from server import checks
from server.app.dependency_metrics import DependencyMetrics
from server.domain.calendar import MarketCalendar
from server.domain.errors import StrikelineError
from server.market.clock import SystemClock
from server.market.supervisor import Supervisor
from server.observability.measures import LoopLag, process_registry, watch
from server.settings import Settings
from server.store.calendar import CalendarStore
from server.store.database import Database
from server.store.presence import PresenceStore
from server.store.redis import RedisClient, open_redis

log = logging.getLogger("strikeline")

CALENDARS = ("NSE", "MCX", "CDS")
PRESENCE_SECONDS = 3.0


@dataclass(frozen=True)
class Core:
    """What every role has: connections, measurements, background tasks, and its name among the processes."""

    settings: Settings
    instance: str
    database: Database
    redis: RedisClient
    registry: CollectorRegistry
    supervisor: Supervisor
    dependencies: DependencyMetrics


@contextlib.asynccontextmanager
async def open_core(settings: Settings, role: str, url: str, statement_timeout: float) -> AsyncIterator[Core]:
    """Connects a role. Raises SettingError for settings that it refuses, StrikelineError when the database is away."""
    checks.check_settings(settings, role=role)
    registry = process_registry()
    instance = settings.instance or f"{socket.gethostname()}-{os.getpid()}"
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(
            Database.open(
                url,
                size=settings.pool_size,
                replicas=settings.replicas,
                acquire_timeout=settings.pool_acquire_timeout,
                statement_timeout=statement_timeout,
                application_name=f"strikeline-{role}",
                allow_superuser=settings.environment == checks.DEVELOPMENT,
                require_tls=settings.environment == checks.PRODUCTION,
            )
        )
        redis = await stack.enter_async_context(open_redis(settings.redis_url, settings.redis_timeout))
        supervisor = await stack.enter_async_context(Supervisor(SystemClock()))
        dependencies = DependencyMetrics(registry, database, redis)
        core = Core(settings, instance, database, redis, registry, supervisor, dependencies)
        _measure(core)
        await stack.enter_async_context(_present(core, role))
        yield core


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
    started_at = clock.wall()

    async def announce() -> None:
        while True:
            try:
                await presence.announce(role, core.instance, started_at)
            except StrikelineError as error:
                # Health says that Redis is away; here it only means that nobody hears of this process.
                log.debug("not announced: %s", error)
            await clock.sleep(PRESENCE_SECONDS)

    core.supervisor.start("presence", announce)
    try:
        yield
    finally:
        with contextlib.suppress(StrikelineError):
            await presence.leave(role, core.instance)


async def load_calendars(database: Database) -> Mapping[str, MarketCalendar]:
    """The market calendars by name. Raises NotFound when the database lacks one."""
    store = CalendarStore(database)
    return {name: await store.load(name) for name in CALENDARS}

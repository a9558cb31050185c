"""Makes the jobs that fill gaps, and the source that they ask."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import httpx

from server import checks
from server.app.core import Core
from server.brokers.kite_history import KiteCredentials, KiteHistory, KiteLimits
from server.brokers.market_data import MarketDataSource
from server.domain.calendar import MarketCalendar
from server.jobs.gap_fill import GapFill, GapFillPorts
from server.jobs.gap_scan import GapScan, GapScanPorts
from server.market.clock import SystemClock
from server.market.feeds.contracts import ContractRules
from server.market.feeds.expiries import ExpiryRules
from server.market.feeds.history_writer import HistoryWriter
from server.market.feeds.ports import SystemClock as FeedClock
from server.market.feeds.recorded_history import RecordedHistory
from server.market.slot_plan import bars_slot
from server.settings import SettingError, Settings
from server.store.backfills import BackfillStore
from server.store.breaker import Breaker
from server.store.feed_runs import FeedRunStore
from server.store.feed_subscriptions import FeedSubscriptionStore
from server.store.gaps import StoredMinutes
from server.store.instruments import InstrumentStore
from server.store.market_log import MarketLog
from server.store.worker_state import CheckpointStore

Jobs = Mapping[str, Callable[[], Awaitable[None]]]

_BREAKER_REASON: Final = "DEPENDENCY_UNAVAILABLE"


async def backfill_jobs(core: Core, calendars: Mapping[str, MarketCalendar], stack: AsyncExitStack) -> Jobs:
    """The jobs by name; none when no source is configured. Raises SettingError for a source that is not known."""
    breaker = Breaker("the market-data source", _BREAKER_REASON)
    source = await make_source(core.settings, calendars, stack, breaker)
    if source is None:
        return {}
    core.dependencies.watch("market_data", lambda: breaker.state)
    return {
        "worker/gap-fill": _fill(core, calendars, source).run,
        "worker/gap-scan": _scan(core, calendars).run,
    }


async def make_source(
    settings: Settings, calendars: Mapping[str, MarketCalendar], stack: AsyncExitStack, breaker: Breaker
) -> MarketDataSource | None:
    """The source that the settings name; None without one. Raises SettingError."""
    match settings.market_data_source:
        case "":
            return None
        case "files":
            calendar = calendars["NSE"]
            rules = ContractRules(ExpiryRules(calendar))
            return RecordedHistory(Path(settings.market_data_directory), rules, calendar)
        case "kite":
            return await _kite(settings, stack, breaker)
    raise SettingError("STRIKELINE_MARKET_DATA_SOURCE must be kite, files or empty")


async def _kite(settings: Settings, stack: AsyncExitStack, breaker: Breaker) -> MarketDataSource:
    if not settings.market_data_api_key or not settings.market_data_access_token:
        raise SettingError("STRIKELINE_MARKET_DATA_API_KEY and STRIKELINE_MARKET_DATA_ACCESS_TOKEN belong to kite")
    if settings.environment == checks.PRODUCTION and not settings.market_data_url.startswith("https://"):
        raise SettingError("STRIKELINE_MARKET_DATA_URL must be https in production: the access token goes with it")
    # It logs each request at INFO.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    client = await stack.enter_async_context(
        httpx.AsyncClient(base_url=settings.market_data_url, timeout=settings.market_data_timeout)
    )
    return KiteHistory(
        client,
        KiteCredentials(settings.market_data_api_key, settings.market_data_access_token),
        KiteLimits(settings.market_data_timeout, settings.market_data_rate),
        breaker,
    )


def _fill(core: Core, calendars: Mapping[str, MarketCalendar], source: MarketDataSource) -> GapFill:
    settings, database = core.settings, core.database
    writer = HistoryWriter(
        MarketLog(core.redis, settings.namespace, settings.tick_shards, settings.log_max_entries),
        CheckpointStore(database).positions,
        frozenset(bars_slot(shard) for shard in range(settings.tick_shards)),
        settings.tick_shards,
        FeedClock(),
    )
    ports = GapFillPorts(
        BackfillStore(database),
        InstrumentStore(database),
        StoredMinutes(database),
        FeedRunStore(database),
        source,
        writer,
        calendars,
    )
    return GapFill(ports, core.instance, settings.backfill_lease, SystemClock())


def _scan(core: Core, calendars: Mapping[str, MarketCalendar]) -> GapScan:
    database = core.database
    ports = GapScanPorts(
        FeedRunStore(database),
        FeedSubscriptionStore(database),
        StoredMinutes(database),
        BackfillStore(database),
        calendars,
    )
    return GapScan(ports, core.settings.gap_scan_interval, SystemClock())

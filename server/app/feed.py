"""The feed role."""

from __future__ import annotations

from contextlib import AsyncExitStack

from server.app.core import Core, open_core
from server.market.feeds.replay.report import ReplaySummary
from server.market.feeds.run import TICKER, FeedConfig, run_feed
from server.market.feeds.ticker.wiring import TickerRedis
from server.rpc.metrics_server import metrics_server
from server.settings import Settings
from server.store.market_log import MarketLog
from server.store.redis import open_redis


class FeedApp:
    """The feed role: appends market data to the log while it runs."""

    def __init__(self, settings: Settings, config: FeedConfig) -> None:
        self._settings = settings
        self._config = config

    async def run(self) -> ReplaySummary | None:
        """Runs the feed: a replay until its files are over, the others until they are cancelled."""
        settings = self._settings
        url, timeout = settings.worker_database_url, settings.batch_statement_timeout
        async with open_core(settings, "feed", url, timeout) as core, AsyncExitStack() as stack:
            if settings.metrics_port:
                await stack.enter_async_context(metrics_server(core.registry, settings.metrics_port))
            tick_log = MarketLog(core.redis, settings.namespace, settings.tick_shards, settings.log_max_entries)
            return await run_feed(
                self._config,
                settings=settings,
                database=core.database,
                log=tick_log,
                registry=core.registry,
                ticker=await self._ticker(core, stack),
            )

    async def _ticker(self, core: Core, stack: AsyncExitStack) -> TickerRedis | None:
        if self._config.kind != TICKER:
            return None
        url = self._settings.ticker_redis_url
        publisher = core.redis
        if url:
            publisher = await stack.enter_async_context(open_redis(url, self._settings.redis_timeout))
        return TickerRedis(publisher, core.redis)

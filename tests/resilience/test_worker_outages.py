"""A worker whose database or Redis goes away goes on where it was, and nothing is lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from server.market.worker import Worker
from server.settings import Settings
from server.store.calendar import CalendarStore
from server.store.database import Database
from server.store.redis import open_redis
from tests.integration.worker.conftest import LogFeed
from tests.resilience.worker_market import (
    announce,
    candles_of,
    make_strategy,
    oracle_rows,
    recorded_ticks,
    stored_bars,
    stored_candles,
)  # fmt: skip
from tests.support.network import FaultyNetwork, faulty_network
from tests.support.progress import committed

OUTAGE = 1.2


@asynccontextmanager
async def worker_behind(network_of: str, database, redis_url, namespace) -> AsyncIterator[FaultyNetwork]:
    """A worker that reaches one of its two servers through a network that can fail."""
    url = database.worker_url if network_of == "database" else redis_url
    settings = Settings(namespace=namespace, instance="worker-a", commit_interval=0.02, lease_duration=2.0,
                        lease_renewal=0.3, checkpoint_interval=0.5)  # fmt: skip
    async with faulty_network(url) as network:
        database_url = network.through(url) if network_of == "database" else database.worker_url
        redis_url = network.through(url) if network_of == "redis" else redis_url
        async with (
            Database.open(database_url, size=8, acquire_timeout=1.0, statement_timeout=1.0) as pool,
            open_redis(redis_url, 0.5) as redis,
        ):
            calendars = {"NSE": await CalendarStore(pool).load("NSE")}
            async with Worker(replace(settings, drain_grace=1.0), pool, redis, calendars):
                yield network


@pytest.mark.slow
@pytest.mark.parametrize("failure", ["cut", "freeze"])
@pytest.mark.parametrize("server", ["database", "redis"])
async def test_results_are_complete_after_an_outage(
    server, failure, database, redis_url, worker_db, api_db, namespace, market_log
):
    stock, index, strategy = await make_strategy(worker_db, api_db)
    batches = recorded_ticks(stock, index, count=40)
    await announce(worker_db, market_log)
    feed = LogFeed(market_log)

    async with worker_behind(server, database, redis_url, namespace) as network:
        for place, rows in enumerate(batches):
            await feed.batch(*rows)
            if place == 10:
                getattr(network, failure)()
                await asyncio.sleep(OUTAGE)
                network.mend()
            await asyncio.sleep(0.02)
        await committed(worker_db, await feed.ended(), Settings(), 60)

    assert await stored_bars(worker_db) == oracle_rows([row for rows in batches for row in rows])
    assert await stored_candles(worker_db, strategy) == await candles_of(worker_db, market_log, strategy)

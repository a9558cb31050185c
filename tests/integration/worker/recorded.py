"""Replays of recorded files beside a worker."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from server.market.feeds.run import FeedConfig, run_feed
from server.settings import Settings
from server.store.database import Database
from server.store.market_log import MarketLog
from tests.support.progress import committed

PATIENCE = 180.0
"""Seconds after which a replay counts as stuck, on a machine that does other things as well."""


@pytest.fixture
def replayed(
    worker_settings: Settings, worker_db: Database, market_log: MarketLog, start_worker
) -> Callable[..., object]:
    """`await replayed(path, …)` runs a replay beside a worker until the worker has committed all of it.

    The chains that the worker publishes stay readable.
    """
    changes = {"lease_duration": 30.0, "commit_interval": 0.2, "chain_retention": 10 * PATIENCE}
    settings = replace(worker_settings, **changes)

    async def run(*paths: Path) -> None:
        async with start_worker(**changes):
            config = FeedConfig("replay", tuple(map(str, paths)), speed=None)
            await run_feed(config, settings=settings, database=worker_db, log=market_log, registry=CollectorRegistry())
            await committed(worker_db, await market_log.last_id(), settings, PATIENCE)

    return run

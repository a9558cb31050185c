"""A worker is killed in the middle of a backfill: another one goes on, and nothing is missing or twice."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import date, timedelta

import pytest

from server.store.backfills import Backfill, BackfillState, BackfillStore
from server.store.database import Database
from tests.support.databases import TestDatabase
from tests.support.kite import Answer, KiteServer, day_of_candles, kite_server, minute
from tests.support.market import instruments
from tests.support.waiting import eventually

HANGS = 120.0
"""Seconds that the broker keeps a request, longer than anybody waits."""
DAYS = [date(2025, 12, 1) + timedelta(days=number) for number in range(5)]


@pytest.fixture
def broker() -> Iterator[KiteServer]:
    with kite_server() as server:
        server.candles[738561] = [candle for day in DAYS for candle in day_of_candles(f"{day}T09:15:00")]
        yield server


@pytest.fixture
def environment(database: TestDatabase, redis_url: str, namespace: str, broker: KiteServer) -> Mapping[str, str]:
    return {
        **os.environ,
        "STRIKELINE_ENVIRONMENT": "development",
        "STRIKELINE_WORKER_DATABASE_URL": database.worker_url,
        "STRIKELINE_REDIS_URL": redis_url,
        "STRIKELINE_NAMESPACE": namespace,
        "STRIKELINE_MARKET_DATA_SOURCE": "kite",
        "STRIKELINE_MARKET_DATA_URL": broker.url,
        "STRIKELINE_MARKET_DATA_API_KEY": "key",
        "STRIKELINE_MARKET_DATA_ACCESS_TOKEN": "token",
        "STRIKELINE_MARKET_DATA_RATE": "1000",
        "STRIKELINE_MARKET_DATA_TIMEOUT": "1.5",
        "STRIKELINE_BACKFILL_LEASE": "2",
        "STRIKELINE_LEASE_DURATION": "1",
        "STRIKELINE_LEASE_RENEWAL": "0.2",
    }


@asynccontextmanager
async def worker(environment: Mapping[str, str], name: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A worker process that is dead when the block is left."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "server", "worker", env={**environment, "STRIKELINE_INSTANCE": name}
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.wait()


async def until(backfills: BackfillStore, name: str, *states: BackfillState, days: int = 0) -> Backfill:
    async def look() -> Backfill | None:
        found = await backfills.get(name)
        return found if found.state in states and found.days_done >= days else None

    return await eventually(look, 60, what=f"{days} days of {name}, {' or '.join(states)}")


async def test_another_worker_goes_on_where_a_killed_one_stopped(
    worker_db: Database, environment: Mapping[str, str], broker: KiteServer
):
    _, share = await instruments(worker_db)
    backfills = BackfillStore(worker_db)
    pairs = [(share.instrument_id, day) for day in DAYS]
    begun = await backfills.create(
        "admin", minute(f"{DAYS[0]}T09:15:00", 0), minute(f"{DAYS[-1]}T09:15:00", 375), pairs
    )

    async with worker(environment, "worker-a"):
        await until(backfills, begun.backfill, BackfillState.RUNNING, days=2)
        # The next day hangs at the broker while its worker dies.
        broker.next_answers = [Answer(hang=HANGS)]

        async def asked() -> bool:
            return not broker.next_answers or (await backfills.get(begun.backfill)).days_done == len(DAYS)

        await eventually(asked, 60)
    halfway = await backfills.get(begun.backfill)
    async with worker(environment, "worker-b"):
        done = await until(backfills, begun.backfill, BackfillState.SUCCEEDED, BackfillState.FAILED)

    assert halfway.state is BackfillState.RUNNING
    assert (done.state, done.days_done, done.filled_minutes) == (BackfillState.SUCCEEDED, 5, 5 * 375)
    rows = await worker_db.fetch(
        """
        SELECT (open_time AT TIME ZONE 'Asia/Kolkata')::date AS day, count(*) AS bars,
               sum(cumulative_max - cumulative_before) AS volume, min(open) AS first, max(close) AS last
        FROM bars_1m GROUP BY 1 ORDER BY 1
        """
    )
    assert [tuple(row) for row in rows] == [(day, 375, 375 * 40, 100.0, 478.35) for day in DAYS]


async def test_two_workers_share_the_days_and_fill_each_once(
    worker_db: Database, environment: Mapping[str, str], broker: KiteServer
):
    _, share = await instruments(worker_db)
    backfills = BackfillStore(worker_db)
    pairs = [(share.instrument_id, day) for day in DAYS]
    begun = await backfills.create(
        "admin", minute(f"{DAYS[0]}T09:15:00", 0), minute(f"{DAYS[-1]}T09:15:00", 375), pairs
    )

    patient = {**environment, "STRIKELINE_BACKFILL_LEASE": "60"}

    async with worker(patient, "worker-a"), worker(patient, "worker-b"):
        done = await until(backfills, begun.backfill, BackfillState.SUCCEEDED, BackfillState.FAILED)

    assert (done.state, done.filled_minutes) == (BackfillState.SUCCEEDED, 5 * 375)
    assert len(broker.requests) == len(DAYS)

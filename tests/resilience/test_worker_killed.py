"""Worker processes that are killed, frozen and replaced while the log grows."""

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from server.market.slot_plan import all_slots
from server.settings import Settings
from server.store.market_log import OutputLog, id_key
from server.store.worker_state import LeaseStore
from tests.integration.worker.conftest import LogFeed
from tests.resilience.worker_market import (
    announce,
    bars_stage,
    candles_of,
    expected_outputs,
    make_strategy,
    oracle_rows,
    recorded_ticks,
    stored_bars,
    stored_candles,
)  # fmt: skip
from tests.support.progress import committed
from tests.support.waiting import PATIENCE, eventually

LEASE = 1.0


class WorkerProcess:
    """One process that runs a worker."""

    def __init__(self, environment: dict[str, str], instance: str) -> None:
        self._environment = {**os.environ, **environment, "STRIKELINE_INSTANCE": instance}
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.resilience.worker_process", env=self._environment
        )

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def end(self, number: signal.Signals = signal.SIGKILL) -> int:
        if self._process is None or self._process.returncode is not None:
            return 0
        self._process.send_signal(signal.SIGCONT)
        self._process.send_signal(number)
        async with asyncio.timeout(PATIENCE):
            return await self._process.wait()


@pytest.fixture
async def workers(database, redis_url, namespace) -> AsyncIterator[Callable[[str], WorkerProcess]]:
    """`workers("worker-a")` is a process that is not started yet; all are killed at the end."""
    environment = {
        "STRIKELINE_NAMESPACE": namespace,
        "STRIKELINE_WORKER_DATABASE_URL": database.worker_url,
        "STRIKELINE_REDIS_URL": redis_url,
        "STRIKELINE_POOL_SIZE": "8",
        "STRIKELINE_LEASE_DURATION": str(LEASE),
        "STRIKELINE_LEASE_RENEWAL": "0.2",
        "STRIKELINE_COMMIT_INTERVAL": "0.02",
        "STRIKELINE_CHECKPOINT_INTERVAL": "0.3",
    }
    made = []

    def make(instance: str) -> WorkerProcess:
        made.append(WorkerProcess(environment, instance))
        return made[-1]

    yield make
    for process in made:
        await process.end()


@asynccontextmanager
async def feeding(log, batches, pause: float) -> AsyncIterator[asyncio.Task[str]]:
    """Appends the batches one by one; the task's result is the id of the run's end."""

    async def feed() -> str:
        run = LogFeed(log)
        await run.started()
        for rows in batches:
            await run.batch(*rows)
            await asyncio.sleep(pause)
        return await run.ended()

    task = asyncio.create_task(feed())
    try:
        yield task
    finally:
        task.cancel()


@pytest.mark.slow
async def test_a_worker_killed_at_any_moment_loses_and_repeats_nothing(
    workers, worker_db, api_db, redis, namespace, market_log
):
    stock, index, strategy = await make_strategy(worker_db, api_db)
    batches = recorded_ticks(stock, index, count=60)
    chance = random.Random(3)
    await announce(worker_db, market_log)

    worker = workers("worker-a")
    await worker.start()
    async with feeding(market_log, batches, pause=0.15) as fed:
        while not fed.done():
            await asyncio.sleep(chance.uniform(0.8, 2.5))
            await worker.end(signal.SIGKILL)
            await worker.start()
        await committed(worker_db, await fed, Settings(), 60)

    ticks = [row for rows in batches for row in rows]
    assert await stored_bars(worker_db) == oracle_rows(ticks)
    assert await stored_candles(worker_db, strategy) == await candles_of(worker_db, market_log, strategy)
    published = await OutputLog(redis, namespace, "bars:0").range("0-0", "+", 10_000)
    assert [entry_id for entry_id, _ in published] == sorted({entry_id for entry_id, _ in published}, key=id_key)
    assert published == await expected_outputs(await bars_stage(worker_db, stored=False), market_log)


@pytest.mark.slow
async def test_another_worker_takes_over_within_the_lease(workers, worker_db, api_db, market_log):
    await make_strategy(worker_db, api_db)
    first, second = workers("worker-a"), workers("worker-b")
    await first.start()
    await owners(worker_db, "worker-a")
    await second.start()
    await asyncio.sleep(2.0)

    await first.end(signal.SIGKILL)
    killed = time.monotonic()
    await owners(worker_db, "worker-b")

    assert time.monotonic() - killed < 5.0


@pytest.mark.slow
async def test_a_frozen_worker_that_wakes_up_writes_nothing(workers, worker_db, api_db, redis, namespace, market_log):
    stock, index, strategy = await make_strategy(worker_db, api_db)
    batches = recorded_ticks(stock, index, count=40)
    await announce(worker_db, market_log)
    frozen, other = workers("worker-a"), workers("worker-b")
    await frozen.start()
    await owners(worker_db, "worker-a")

    async with feeding(market_log, batches, pause=0.1) as fed:
        await asyncio.sleep(0.5)
        frozen.send(signal.SIGSTOP)
        await other.start()
        await owners(worker_db, "worker-b")
        frozen.send(signal.SIGCONT)
        await committed(worker_db, await fed, Settings(), 60)

    assert await stored_bars(worker_db) == oracle_rows([row for rows in batches for row in rows])
    assert await stored_candles(worker_db, strategy) == await candles_of(worker_db, market_log, strategy)


@pytest.mark.slow
async def test_a_worker_told_to_stop_commits_what_it_has_read_and_frees_its_slots(
    workers, worker_db, api_db, market_log
):
    stock, index, _ = await make_strategy(worker_db, api_db)
    worker = workers("worker-a")
    await worker.start()
    await owners(worker_db, "worker-a")
    async with feeding(market_log, recorded_ticks(stock, index, count=20), pause=0.01) as fed:
        await fed

    code = await worker.end(signal.SIGTERM)

    assert code == 0
    assert await LeaseStore(worker_db).acquire("bars-0", "worker-b", 1.0) is not None


async def owners(database, owner: str) -> None:
    """Returns when that worker has all slots."""
    leases = LeaseStore(database)
    slots = set(all_slots(Settings()))

    async def held() -> bool:
        return slots <= {lease.slot for lease in await leases.holders() if lease.owner == owner}

    await eventually(held, 60, what=f"all slots held by {owner}")

"""A worker that dies between any two of read, publish, commit and the next read leaves results complete and unique."""

import asyncio

import pytest

from server.market.slots import SlotTiming
from server.store.market_log import OutputLog, id_key
from server.store.worker_state import CheckpointStore
from tests.integration.worker.conftest import LogFeed
from tests.resilience.worker_faults import TIMING, Crash, Fuse, Fuses, dying_slot
from tests.resilience.worker_market import (
    announce,
    bars_stage,
    candles_of,
    expected_outputs,
    m2m_stage,
    make_strategy,
    oracle_rows,
    recorded_ticks,
    stored_bars,
    stored_candles,
)  # fmt: skip

PLACES = ["after_read", "before_publish", "within_publish", "after_publish", "within_commit", "after_commit"]


@pytest.fixture
async def market(worker_db, api_db, market_log):
    """A log with a strategy, its ticks and an end; -> (ticks, strategy number, id of the last entry)."""
    stock, index, strategy = await make_strategy(worker_db, api_db)
    batches = recorded_ticks(stock, index)
    feed = LogFeed(market_log)
    await announce(worker_db, market_log)
    await feed.started()
    for rows in batches:
        await feed.batch(*rows)
    return [row for rows in batches for row in rows], strategy, await feed.ended()


@pytest.fixture
async def stages(worker_db):
    """Makers of the two stages over the real store."""
    return {"bars-0": await bars_stage(worker_db), "m2m-0": await m2m_stage(worker_db)}


async def run_with_crashes(
    slot: str, make_stage, log, output, database, fuses: Fuses, last: str, timing: SlotTiming = TIMING
) -> None:
    """Starts the slot again after each crash, until it has committed the whole log."""
    checkpoints = CheckpointStore(database)

    async def done() -> bool:
        return id_key((await checkpoints.positions()).get(slot, "0-0")) >= id_key(last)

    async with asyncio.timeout(60):
        while not await done():
            runner = dying_slot(slot, make_stage, log, output, database, fuses, timing)
            running = asyncio.create_task(runner.run())
            while not running.done() and not await done():
                await asyncio.sleep(0.005)
            runner.stop()
            try:
                await running
            except Crash:
                continue


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("slot", ["bars-0", "m2m-0"])
async def test_results_are_those_of_an_uninterrupted_run(
    slot, place, market, stages, worker_db, redis, namespace, market_log
):
    ticks, strategy, last = market
    expected = await expected_outputs(stages[slot], market_log)
    output = OutputLog(redis, namespace, slot.replace("-", ":"))
    fuses = Fuses(**{place: Fuse(frozenset({1, 2, 4, 7, 8}))})

    await run_with_crashes(slot, stages[slot], market_log, output, worker_db, fuses, last)

    assert getattr(fuses, place).blown >= 3
    assert await output.range("0-0", "+", 10_000) == expected
    if slot == "bars-0":
        assert await stored_bars(worker_db) == oracle_rows(ticks)
    else:
        expected_candles = await candles_of(worker_db, market_log, strategy)
        assert len(expected_candles) >= 3
        assert await stored_candles(worker_db, strategy) == expected_candles

"""A worker that dies between any two of read, publish, commit and the next read leaves results complete and unique."""

import pytest

from server.store.market_log import OutputLog
from tests.integration.worker.conftest import LogFeed
from tests.resilience.worker_faults import PLACES, Fuse, Fuses, run_with_crashes
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

"""A chains slot that dies between any two of read, publish, commit and the next read loses and repeats nothing."""

from dataclasses import replace

import numpy as np
import pytest

from server.market.slot_plan import chains_slot
from server.store.market_log import OutputLog
from tests.integration.worker.conftest import LogFeed
from tests.resilience.worker_chains import chains_stage, option_batches, option_market, stored_minutes
from tests.resilience.worker_faults import PLACES, TIMING, Fuse, Fuses, run_with_crashes
from tests.resilience.worker_market import expected_outputs
from tests.unit.market.chain_stage.chain_pipeline import tick_records

SLOT = chains_slot(0)
ASIDE = replace(TIMING, aside=True)
"""As the worker runs it."""


async def send(market_log, listed, run: str = "run-1") -> str:
    """Appends one run. -> the id of its end."""
    feed = LogFeed(market_log, run)
    await feed.started()
    for rows, depths in option_batches(listed):
        await feed.columns(tick_records(rows), depths=np.concatenate(depths))
    return await feed.ended()


@pytest.fixture
async def listed(worker_db):
    return await option_market(worker_db)


@pytest.fixture
async def make_stage(worker_db, listed):
    return await chains_stage(worker_db)


@pytest.mark.parametrize("place", PLACES)
async def test_chains_are_those_of_an_uninterrupted_run(
    place, listed, make_stage, worker_db, redis, namespace, market_log
):
    last = await send(market_log, listed)
    expected = await expected_outputs(make_stage, market_log)
    output = OutputLog(redis, namespace, "chains:0")
    fuses = Fuses(**{place: Fuse(frozenset({1, 2, 4, 7, 8}))})

    await run_with_crashes(SLOT, make_stage, market_log, output, worker_db, fuses, last, ASIDE)

    assert getattr(fuses, place).blown >= 3
    assert await output.range("0-0", "+", 10_000) == expected
    assert len(expected) > 30


async def test_minutes_are_stored_once_whatever_dies_and_a_second_replay_changes_nothing(
    listed, make_stage, worker_db, redis, namespace, market_log
):
    output = OutputLog(redis, namespace, "chains:0")
    await run_with_crashes(
        SLOT, make_stage, market_log, output, worker_db, Fuses(), await send(market_log, listed), ASIDE
    )
    stored = await stored_minutes(worker_db)

    fuses = Fuses(within_commit=Fuse(frozenset({2, 5})), after_publish=Fuse(frozenset({3, 6})))
    last = await send(market_log, listed, "run-2")
    await run_with_crashes(SLOT, make_stage, market_log, output, worker_db, fuses, last, ASIDE)

    assert len(stored) > 20
    assert await stored_minutes(worker_db) == stored

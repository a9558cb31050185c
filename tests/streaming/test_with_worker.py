"""Streams of what a real worker makes, while workers come and go."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from server.domain.timeframes import ONE_MINUTE
from server.market.clock import SystemClock
from server.market.hub.position import EntryId
from server.market.records import BAR, M2M
from server.market.worker import Worker
from server.store.calendar import CalendarStore
from strikeline.internal.v1 import log_pb2
from strikeline.v1 import m2m_requests_pb2, market_data_service_pb2
from tests.streaming.checkers import unique
from tests.streaming.clients import HubClient
from tests.streaming.conftest import AT_ONCE, USER
from tests.support.waiting import eventually


@pytest.fixture
def run_worker(settings, worker_db, redis):
    """Runs a worker of the test's system; the same one again on each call."""

    @contextlib.asynccontextmanager
    async def running():
        calendars = {name: await CalendarStore(worker_db).load(name) for name in ("NSE", "MCX", "CDS")}
        changed = replace(settings, instance="worker-1")
        async with Worker(changed, worker_db, redis, calendars) as worker:
            yield worker

    return running


@pytest.fixture
async def hub(make, market):
    async with make(clock=SystemClock()) as made:
        yield made


async def published(output):
    """All entries of an output stream."""
    return await output.range("0-0", "+", 10_000)


async def test_bars_and_samples_of_a_worker_that_restarts_come_once(
    hub, market, run_worker, bars_output, m2m_output, strategy
):
    bars = HubClient(
        hub.subscribe_bars(market.keys, "1min", AT_ONCE, USER), response=market_data_service_pb2.StreamBarsResponse
    )
    samples = HubClient(
        hub.subscribe_m2m(strategy.stored.account, strategy.stored.strategy, AT_ONCE, USER),
        response=m2m_requests_pb2.StreamM2mResponse,
    )
    async with bars, samples:
        for client in (bars, samples):
            client.read()
            await client.started()
        for seconds in (1, 20, 1):
            async with run_worker() as worker:
                await eventually(partial(announced, worker))
                for _ in range(40):
                    await market.trade(seconds=seconds)
                await eventually(lambda: caught_up(bars_output, market))
                await eventually(lambda: caught_up(m2m_output, market))
            for _ in range(10):
                await market.trade(seconds=seconds)
        async with run_worker():
            await eventually(lambda: caught_up(bars_output, market))
            await eventually(lambda: caught_up(m2m_output, market))
        topic = hub.intake.bars(ONE_MINUTE, closed_only=False)
        await topic.channel.reached((market.last_id,))
        await hub.intake.m2m.channel.reached((market.last_id,))
        await asyncio.sleep(0)

        entries = [log_pb2.BarsEntry.FromString(payload) for _, payload in await published(bars_output)]
        bar_rows = sum(len(entry.bars) // BAR.itemsize for entry in entries)
        sample_entries = [log_pb2.M2mEntry.FromString(payload) for _, payload in await published(m2m_output)]
        numbers = np.concatenate([np.frombuffer(entry.samples, M2M)["strategy"] for entry in sample_entries])
        sample_rows = int((numbers == strategy.stored.number).sum())
        await bars.until(lambda: len(bars.connection.events) >= bar_rows)
        await samples.until(lambda: len(samples.connection.events) >= sample_rows)

    assert unique([bars.connection]) == []
    assert unique([samples.connection]) == []
    assert len(bars.connection.events) == bar_rows > 500
    assert len(samples.connection.events) == sample_rows > 100


async def announced(worker):
    return all(state.running for state in worker.states)


async def caught_up(output, market):
    return EntryId.parse(await output.last_id()) == market.last_id

"""Mark-to-market of 1,000 strategies with 10 legs each: the kernel alone, and from tick to committed candle."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np

from server.domain.instruments import Instrument
from server.market.m2m_kernel import LegColumns, StrategyLegs
from server.market.records import TICK
from server.market.sampling import Before, Steps, sample_now, take_samples
from server.store.accounts import AccountStore
from server.store.database import Database
from server.store.market_log import MarketLog
from server.store.redis import open_redis
from server.store.strategies import StrategyStore
from server.store.strategy_values import NewLeg, NewStrategy, Side
from server.store.worker_state import CheckpointStore
from strikeline.internal.v1 import log_pb2
from tests.performance.market import list_instruments, tick_batch
from tests.performance.processes import Bench, bench, process
from tests.performance.report import Figure, percentile, show

STRATEGIES, LEGS = 1_000, 10
INSTRUMENTS = 2_000
EVERY = 0.5
"""Seconds between two entries, each with a tick of every instrument."""
OPEN = int(datetime(2026, 11, 23, 3, 45, tzinfo=UTC).timestamp()) * 10**9
"""The open of a trading day, in nanoseconds."""
FRESH = 300 * 10**9
"""Nanoseconds for which a price counts."""


async def run(rounds: int, seconds: float) -> None:
    """Prints both."""
    columns = _columns()
    kernel = min(_at_known_prices(columns) for _ in range(max(3, rounds)))
    ticked = min(_at_ticks(columns) for _ in range(max(3, rounds)))
    ages = await _pipeline(seconds)
    show(
        f"Mark-to-market of {STRATEGIES:,} strategies × {LEGS} legs",
        [
            Figure("kernel: all strategies at known prices", kernel * 1e3, "ms", floor=0.5, lower_is_better=True),
            Figure(f"all strategies by {INSTRUMENTS:,} ticks of one instant", ticked * 1e3, "ms"),
            Figure("tick → candle + publication + commit, P50", 1e3 * percentile(ages, 0.5), "ms"),
            Figure(
                "tick → candle + publication + commit, P95",
                1e3 * percentile(ages, 0.95),
                "ms",
                floor=250.0,
                lower_is_better=True,
            ),
        ],
    )


def _columns() -> LegColumns:
    random = np.random.default_rng(1)
    strategies = [
        StrategyLegs(
            place=place,
            number=np.arange(LEGS) + place * LEGS,
            instrument=random.integers(0, INSTRUMENTS, LEGS),
            units=random.choice([-75, 75], LEGS),
            entry=random.integers(10_000, 5_000_000, LEGS),
        )
        for place in range(STRATEGIES)
    ]
    return LegColumns.of(strategies, exact=False)


def _at_known_prices(legs: LegColumns) -> float:
    """Seconds of one sample of everything at the prices that are known, freshness included."""
    before = _before(legs)
    return _median(lambda: sample_now(legs, before, OPEN))


def _at_ticks(legs: LegColumns) -> float:
    """Seconds of the samples that one instant causes in which every instrument ticks."""
    ticks = np.zeros(INSTRUMENTS, TICK)
    ticks["instrument"], ticks["event_time"] = np.arange(INSTRUMENTS), OPEN
    ticks["last_price"] = np.random.default_rng(2).integers(10_000, 5_000_000, INSTRUMENTS)
    steps = Steps.of(ticks, np.full(INSTRUMENTS, OPEN), np.ones(INSTRUMENTS, np.bool_))
    before = _before(legs)
    return _median(lambda: take_samples(legs, steps, before, FRESH))


def _before(legs: LegColumns) -> Before:
    prices = np.random.default_rng(3).integers(10_000, 5_000_000, INSTRUMENTS)[legs.instrument]
    times = np.full(len(prices), OPEN)
    return Before(prices, times, times + FRESH)


def _median(work: Callable[[], object]) -> float:
    work()
    times = []
    for _ in range(200):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return float(np.median(times))


async def _pipeline(seconds: float) -> list[float]:
    """Ages of entries when the worker's position behind them is committed."""
    async with bench() as setting:
        listed = await list_instruments(setting.database.worker_url, INSTRUMENTS)
        await _create_strategies(setting, listed)
        environment = {**setting.environment, "STRIKELINE_INSTANCE": "worker-1"}
        async with (
            process(["-m", "server", "worker"], None, environment),
            Database.open(setting.database.worker_url, size=2, application_name="bench") as database,
            open_redis(setting.redis_url, timeout=5.0) as redis,
        ):
            log = MarketLog(redis, setting.namespace, 1)
            watch = _Commits(CheckpointStore(database))
            await watch.passed(await _append(log, log_pb2.LOG_ENTRY_KIND_RUN_STARTED, OPEN), 60)
            ids = np.array([item.instrument_id for item in listed], np.int32)
            ages = []
            for number in range(round(seconds / EVERY)):
                began = time.perf_counter()
                now = OPEN + int(number * EVERY * 1e9)
                position = await _append(log, log_pb2.LOG_ENTRY_KIND_TICKS, now, tick_batch(ids, number, len(ids), now))
                await watch.passed(position, 10)
                ages.append(time.perf_counter() - began)
                await asyncio.sleep(max(0.0, EVERY - ages[-1]))
            await _require_candles(database, round(seconds / 60) or 1)
            return ages[2:]


class _Commits:
    """Watches the committed positions of the worker's slots."""

    def __init__(self, checkpoints: CheckpointStore) -> None:
        self._checkpoints = checkpoints

    async def passed(self, position: str, patience: float) -> None:
        """Returns when every slot has committed `position`."""
        wanted = _place(position)
        async with asyncio.timeout(patience):
            while True:
                positions = await self._checkpoints.positions()
                if len(positions) > 1 and all(_place(reached) >= wanted for reached in positions.values()):
                    return
                await asyncio.sleep(0.004)


def _place(position: str) -> tuple[int, ...]:
    return tuple(int(part) for part in position.split("-"))


async def _append(
    log: MarketLog, kind: log_pb2.LogEntryKind.ValueType, now: int, ticks: np.ndarray | None = None
) -> str:
    entry = log_pb2.LogEntry(
        run="bench",
        source="bench",
        kind=kind,
        market_time=now,
        appended_at=time.time_ns(),
        ticks=b"" if ticks is None else ticks.tobytes(),
    )
    return await log.append([entry.SerializeToString()])


async def _create_strategies(setting: Bench, listed: list[Instrument]) -> None:
    random = np.random.default_rng(1)
    async with Database.open(setting.database.api_url, size=8, application_name="bench") as database:
        await AccountStore(database).create("bench", "Benchmark", account="bench")
        store = StrategyStore(database)
        places = asyncio.Semaphore(8)

        async def create(number: int) -> None:
            chosen = random.choice(len(listed), LEGS, replace=False)
            legs = tuple(
                NewLeg(
                    instrument_id=listed[place].instrument_id,
                    side=Side.BUY if place % 2 else Side.SELL,
                    quantity=75,
                    entry_price=Decimal("100.05"),
                )
                for place in chosen
            )
            async with places:
                await store.create("bench", "bench", NewStrategy(display_name=f"strategy {number}", legs=legs))

        await asyncio.gather(*(create(number) for number in range(STRATEGIES)))


async def _require_candles(database: Database, minutes: int) -> None:
    rows = await database.fetch("SELECT count(*) AS number FROM m2m_candles")
    if rows[0]["number"] < STRATEGIES * minutes:
        raise RuntimeError(f"{rows[0]['number']} candles were written for {STRATEGIES} strategies")

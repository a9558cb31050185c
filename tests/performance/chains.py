"""Option chains of a whole market: 17,000 contracts at 20,000 ticks a second, from tick to published chain."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from server.domain.instruments import Instrument
from server.market.chain_stage.ports import ChainRules
from server.market.chain_stage.stage import ChainsStage
from server.market.entries import Entry
from server.market.sessions import SessionTable
from server.store.calendar import CalendarStore
from server.store.chain_reference import ChainReferenceStore
from server.store.database import Database
from server.store.market_log import OutputLog
from server.store.option_minutes import OptionMinuteStore
from server.store.redis import open_redis
from strikeline.internal.v1 import log_pb2
from strikeline.internal.v1.log_pb2 import ChainsEntry
from tests.performance.option_market import CONTRACTS, INDICES, OPEN, Market, entry_of, list_market, option_feed
from tests.performance.processes import Bench, bench, process
from tests.performance.report import Figure, percentile, show

RATE, BATCH_MS = 20_000, 50
WARM_UP = 8.0
"""Seconds that do not count: ladders are read when the market opens."""

INDEX_FLOOR, FLOOR = 250.0, 500.0
_PATIENCE = 60.0
_ENTRIES = 200
_ALONE = OPEN + 55 * 10**9
"""Market time at which the stage alone begins: five seconds before a minute ends."""


@dataclass
class _Seen:
    """Milliseconds: `behind` from the market to a chain that can be read, `between` two states of a chain."""

    behind: list[float] = field(default_factory=list)
    between: list[float] = field(default_factory=list)

    def joined(self, other: _Seen) -> _Seen:
        return _Seen(self.behind + other.behind, self.between + other.between)


async def run(_: int, seconds: float) -> None:
    """Prints how far chains are behind the market, and the processor time that the worker takes."""
    async with bench() as setting:
        alone = await _stage_alone(setting, await list_market(setting.database.worker_url))
        environment = {**setting.environment, "STRIKELINE_INSTANCE": "worker-1"}
        async with (
            process(["-m", "server", "worker"], None, environment) as worker,
            option_feed(setting, RATE, BATCH_MS, seconds + WARM_UP + _PATIENCE),
            open_redis(setting.redis_url, timeout=5.0) as redis,
        ):
            watched = _Watched(seconds, worker)
            await watched.follow(OutputLog(redis, setting.namespace, "chains:0"))
    indices, stocks = watched.seen[True], watched.seen[False]
    states = (len(indices.behind) + len(stocks.behind)) / seconds
    show(
        f"Chains of {CONTRACTS:,} contracts at {RATE:,} ticks/s, {states:,.0f} chains a second, {seconds:.0f} s",
        [
            *_figures("chains of indices", indices, INDEX_FLOOR),
            *_figures("all chains", indices.joined(stocks), FLOOR),
            Figure("processor time of the worker, of one core", 100 * watched.processor_seconds / seconds, "%"),
            Figure("processor time of the stage alone for 50 ms of market, P50", percentile(alone, 0.5), "ms"),
            Figure("the same for the 50 ms that end a minute", max(alone), "ms", floor=250.0, lower_is_better=True),
        ],
    )


async def _stage_alone(setting: Bench, instruments: Sequence[Instrument]) -> list[float]:
    """Milliseconds of processor time for each entry of some seconds, among them the end of a minute."""
    async with Database.open(setting.database.worker_url, size=2, application_name="bench") as database:
        calendars = {"NSE": await CalendarStore(database).load("NSE")}
        rules = ChainRules(0.065, 0.0, 300 * 10**9)
        stage = ChainsStage(SessionTable(calendars), rules, ChainReferenceStore(database), OptionMinuteStore(database))
        market = Market(instruments)
        first = entry_of(log_pb2.LOG_ENTRY_KIND_TICKS, _ALONE, market.everything(_ALONE))
        times = [await _milliseconds(stage, 0, first)]
        for number in range(1, _ENTRIES):
            now = _ALONE + number * BATCH_MS * 1_000_000
            batch = market.batch(RATE * BATCH_MS // 1_000, now)
            times.append(await _milliseconds(stage, number, entry_of(log_pb2.LOG_ENTRY_KIND_TICKS, now, *batch)))
    return times[1:]


async def _milliseconds(stage: ChainsStage, number: int, payload: bytes) -> float:
    entry = Entry.parse(f"{number + 1}-0", [payload])
    await stage.prepare(entry)
    begun = time.process_time()
    await stage.apply(entry)
    return 1e3 * (time.process_time() - begun)


def processor_seconds(pid: int) -> float:
    """Processor time that a process has taken so far."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


class _Watched:
    """What was seen of chains of indices (True) and of stocks, and how long the worker's processor was busy with it."""

    def __init__(self, seconds: float, worker: int) -> None:
        self.seen = {True: _Seen(), False: _Seen()}
        self.processor_seconds = 0.0
        self._seconds = seconds
        self._worker = worker
        self._last: dict[tuple[str, str], int] = {}

    async def follow(self, log: OutputLog) -> None:
        """Reads the chains log: first what does not count, then for the seconds of the measurement."""
        position = await self._read(log, "0-0", WARM_UP, counts=False)
        before = processor_seconds(self._worker)
        await self._read(log, position, self._seconds, counts=True)
        self.processor_seconds = processor_seconds(self._worker) - before

    async def _read(self, log: OutputLog, position: str, seconds: float, *, counts: bool) -> str:
        """Reads for so long from the first entry on. -> where it has come to."""
        end: float | None = None
        async with asyncio.timeout(seconds + _PATIENCE):
            while end is None or time.monotonic() < end:
                entries = await log.read(position, 16, 200)
                now = time.time_ns()
                for entry_id, payload in entries:
                    position, end = entry_id, end or time.monotonic() + seconds
                    self.take(ChainsEntry.FromString(payload), now, counts=counts)
        return position

    def take(self, entry: ChainsEntry, now: int, *, counts: bool) -> None:
        """An entry that could be read at a wall time. A chain is as old as its entry, and as it is older than that."""
        for state in entry.chains:
            key = (state.key.underlying, state.key.expiry)
            if counts:
                own = self.seen[state.key.underlying in INDICES]
                own.behind.append((now - entry.appended_at + entry.market_time - state.as_of) / 1e6)
                own.between.append((state.as_of - self._last.get(key, state.as_of)) / 1e6)
            self._last[key] = state.as_of


def _figures(name: str, seen: _Seen, floor: float) -> list[Figure]:
    return [
        Figure(f"{name}, behind, P50", percentile(seen.behind, 0.5), "ms"),
        Figure(f"{name}, behind, P99", percentile(seen.behind, 0.99), "ms", floor=floor, lower_is_better=True),
        Figure(f"{name}, market time between two states, P99", percentile(seen.between, 0.99), "ms"),
    ]

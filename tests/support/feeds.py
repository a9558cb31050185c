"""Parts of feeds for tests: a clock that only tests move, a log in memory, and a calendar of 2018 to 2027."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import date, time

import numpy as np
from prometheus_client import CollectorRegistry

from server.domain.calendar import DatedRow, MarketCalendar, WeekdayHours
from server.domain.errors import Unavailable
from server.market.feeds.contracts import ContractBook, ContractRules
from server.market.feeds.expiries import ExpiryRules
from server.market.feeds.flow import FlowControl, FlowLimits
from server.market.feeds.metrics import FeedMetrics
from server.market.feeds.replay.recording import ReplayContext
from server.market.feeds.replay.report import ReplayReport
from server.market.feeds.writer import BatchWriter, ShardMap
from server.market.records import TICK
from strikeline.internal.v1 import log_pb2


def make_calendar(*dated: DatedRow) -> MarketCalendar:
    """Weekdays 09:15 to 15:30, and the dated rows."""
    hours = [WeekdayHours(weekday, time(9, 15), time(15, 30), date(2010, 1, 4)) for weekday in range(5)]
    return MarketCalendar("NSE", hours, dated)


def make_context(*dated: DatedRow) -> ReplayContext:
    """A replay's context over that calendar."""
    return ReplayContext(ContractRules(ExpiryRules(make_calendar(*dated))), ContractBook(), ReplayReport())


def make_ticks(*times: int) -> np.ndarray:
    """Ticks of instrument 0 at these event times."""
    ticks = np.zeros(len(times), dtype=TICK)
    ticks["event_time"] = times
    ticks["row"] = range(len(times))
    return ticks


class VirtualClock:
    """Time passes only in `sleep`; `slept` lists the waits."""

    def __init__(self, wall_ns: int = 1_000_000_000_000) -> None:
        self.seconds = 0.0
        self.slept: list[float] = []
        self._wall_ns = wall_ns

    def wall_ns(self) -> int:
        return self._wall_ns + int(self.seconds * 1e9)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds
        await asyncio.sleep(0)


class MemoryLog:
    """The log's protocol in memory. `away` many appends are stored, yet their answers are lost."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.stored: list[tuple[str, list[bytes]]] = []
        self.appended_seconds: list[float] = []
        self.away = 0
        self._sequences: dict[tuple[str, int], str] = {}

    @property
    def entries(self) -> list[log_pb2.LogEntry]:
        return self.of_shard(0)

    def of_shard(self, shard: int) -> list[log_pb2.LogEntry]:
        return [log_pb2.LogEntry.FromString(payloads[shard]) for _, payloads in self.stored]

    async def append(self, payloads: Sequence[bytes], *, producer: str = "", sequence: int = 0) -> str:
        known = self._sequences.get((producer, sequence))
        if known is None:
            known = self._sequences[producer, sequence] = f"{len(self.stored) + 1}-0"
            self.stored.append((known, list(payloads)))
            self.appended_seconds.append(self.clock.seconds)
        if self.away:
            self.away -= 1
            raise Unavailable("away")
        return known

    async def forget_producer(self, producer: str) -> None:
        self._sequences = {key: value for key, value in self._sequences.items() if key[0] != producer}

    async def range(self, shard: int, after: str, until: str, count: int) -> list[tuple[str, bytes]]:
        first = int(after.partition("-")[0])
        return [(name, payloads[shard]) for name, payloads in self.stored[first:]][:count]

    async def length(self) -> int:
        return len(self.stored)

    async def last_id(self) -> str:
        return self.stored[-1][0] if self.stored else "0-0"


class Committed:
    """Positions of the worker; by default it has committed everything."""

    def __init__(self) -> None:
        self.positions: dict[str, str] = {"bars-0": "999999999-0"}

    async def __call__(self) -> Mapping[str, str]:
        return self.positions


class WriterParts:
    """A writer with all that it is connected to."""

    def __init__(self, shards: int = 1, max_ticks: int = 1_000_000, max_entries: int = 1_000_000) -> None:
        self.clock = VirtualClock()
        self.log = MemoryLog(self.clock)
        self.committed = Committed()
        self.shards = ShardMap(shards)
        self.metrics = FeedMetrics(CollectorRegistry())
        limits = FlowLimits(frozenset({"bars-0"}), max_ticks, max_entries)
        self.flow = FlowControl(self.log, self.committed, limits, self.clock, self.metrics)
        self.writer = BatchWriter(
            self.log, self.shards, self.flow, self.clock, self.metrics, source="replay", run="run-1"
        )

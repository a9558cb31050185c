"""Option chains of a whole market: 17,000 contracts at 20,000 ticks a second, from tick to published chain."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from dataclasses import dataclass, field

from server.store.market_log import OutputLog
from server.store.redis import open_redis
from strikeline.internal.v1.log_pb2 import ChainsEntry
from tests.performance.option_market import CONTRACTS, INDICES, list_market, option_feed
from tests.performance.processes import bench, process
from tests.performance.report import Figure, percentile, show

RATE, BATCH_MS = 20_000, 50
WARM_UP = 8.0
"""Seconds that do not count: ladders are read when the market opens."""

INDEX_FLOOR, FLOOR = 250.0, 500.0
_PATIENCE = 60.0


@dataclass
class _Seen:
    """Milliseconds: `behind` from the market to a chain that can be read, `between` two states of a chain."""

    behind: list[float] = field(default_factory=list)
    between: list[float] = field(default_factory=list)


async def run(_: int, seconds: float) -> None:
    """Prints how far chains are behind the market."""
    async with bench() as setting:
        await list_market(setting.database.worker_url)
        environment = {**setting.environment, "STRIKELINE_INSTANCE": "worker-1"}
        async with (
            process(["-m", "server", "worker"], None, environment),
            option_feed(setting, RATE, BATCH_MS, seconds + WARM_UP + _PATIENCE),
            open_redis(setting.redis_url, timeout=5.0) as redis,
        ):
            seen, states = await _watch(OutputLog(redis, setting.namespace, "chains:0"), seconds)
    show(
        f"Chains of {CONTRACTS:,} contracts at {RATE:,} ticks/s, {states:,.0f} chains a second, {seconds:.0f} s",
        [
            *_figures("chains of indices", seen[True], INDEX_FLOOR),
            *_figures("all chains", _joined(seen), FLOOR),
        ],
    )


async def _watch(log: OutputLog, seconds: float) -> tuple[dict[bool, _Seen], float]:
    """Reads the chains log. -> what was seen of indices (True) and of stocks, and chains a second."""
    watched, position = _Watched(), "0-0"
    begun = end = 0.0
    async with asyncio.timeout(seconds + WARM_UP + _PATIENCE):
        while not begun or time.monotonic() < end:
            entries = await log.read(position, 16, 200)
            now = time.time_ns()
            if entries and not begun:
                begun = time.monotonic()
                end = begun + WARM_UP + seconds
            for entry_id, payload in entries:
                position = entry_id
                watched.take(ChainsEntry.FromString(payload), now, counts=time.monotonic() > begun + WARM_UP)
    return watched.seen, sum(len(part.behind) for part in watched.seen.values()) / seconds


class _Watched:
    """What was seen of chains of indices (True) and of stocks."""

    def __init__(self) -> None:
        self.seen: defaultdict[bool, _Seen] = defaultdict(_Seen)
        self._last: dict[tuple[str, str], int] = {}

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


def _joined(seen: dict[bool, _Seen]) -> _Seen:
    return _Seen(
        [value for part in seen.values() for value in part.behind],
        [value for part in seen.values() for value in part.between],
    )

"""The one way from a feed into the log: batches that never split an event time, run marks, and signs of life."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from server.domain.errors import Unavailable
from server.market.feeds.flow import FlowControl
from server.market.feeds.metrics import FeedMetrics
from server.market.feeds.ports import Clock, LogPort
from server.market.records import DEPTH, OPEN_INTEREST_REPORT, TICK
from server.store.market_log import LogFull
from strikeline.internal.v1 import log_pb2

BEAT_SECONDS: Final = 1.0
"""Longest wall time without an entry."""

MAX_ENTRY_TICKS: Final = 4_096
"""An entry is cut at the first change of market time beyond this many ticks."""

_RETRY_FIRST_SECONDS: Final = 0.05
_RETRY_LONGEST_SECONDS: Final = 2.0
_GIVE_UP_SECONDS: Final = 60.0
_LOG: Final = logging.getLogger("strikeline.feed")

Ticks = NDArray[np.void]


_NO_TICKS: Final = np.empty(0, TICK)
_NO_DEPTHS: Final = np.empty(0, DEPTH)
_NO_REPORTS: Final = np.empty(0, OPEN_INTEREST_REPORT)


class ShardMap:
    """The tick shard of each instrument, by its number."""

    def __init__(self, shards: int) -> None:
        self.shards = shards
        self._by_instrument = np.zeros(1_024, dtype=np.int32)

    def set(self, instrument_id: int, shard: int) -> None:
        """Makes an instrument known."""
        if instrument_id >= len(self._by_instrument):
            grown = np.zeros(max(instrument_id + 1, 2 * len(self._by_instrument)), dtype=np.int32)
            grown[: len(self._by_instrument)] = self._by_instrument
            self._by_instrument = grown
        self._by_instrument[instrument_id] = shard

    def split(self, records: Ticks) -> list[Ticks]:
        """The records of each shard, in their order."""
        if self.shards == 1:
            return [records]
        shard = self._by_instrument[records["instrument"]]
        return [records[shard == number] for number in range(self.shards)]


class BatchWriter:
    """Appends one run of a feed to the log.

    Market time is the highest event time of the run so far. `send` takes whole event times: a later call brings none
    that an earlier one began, unless the source itself runs backwards. Entries are numbered, so that repeating an
    append whose answer was lost adds nothing.
    """

    def __init__(
        self,
        log: LogPort,
        shards: ShardMap,
        flow: FlowControl,
        clock: Clock,
        metrics: FeedMetrics,
        *,
        source: str,
        run: str,
    ) -> None:
        self._log = log
        self._shards = shards
        self._flow = flow
        self._clock = clock
        self._metrics = metrics
        self._source = source
        self._run = run
        self._sequence = 0
        self._last_append = clock.monotonic()
        self.run = run
        self.market_time = 0
        self.tick_count = 0

    async def start(self) -> None:
        """Marks the begin of the run."""
        await self._append(log_pb2.LOG_ENTRY_KIND_RUN_STARTED)

    async def send(self, ticks: Ticks, depths: Ticks | None = None, reports: Ticks | None = None) -> None:
        """Appends ticks (records of `TICK`) with what belongs to the same event times, ascending.

        `depths` are records of `DEPTH`, `reports` of `OPEN_INTEREST_REPORT`.
        """
        market_times = np.maximum.accumulate(np.maximum(ticks["event_time"], self.market_time))
        beside = (
            _Beside(_NO_DEPTHS if depths is None else depths),
            _Beside(_NO_REPORTS if reports is None else reports),
        )
        for first, last in _entries(market_times):
            self.market_time = int(market_times[last - 1])
            own = [rows.until(self.market_time, everything=last == len(ticks)) for rows in beside]
            await self._flow.wait()
            await self._append(log_pb2.LOG_ENTRY_KIND_TICKS, ticks[first:last], *own)

    async def beat(self) -> None:
        """Appends an empty batch when nothing was appended for a second: the run lives."""
        if self._clock.monotonic() - self._last_append >= BEAT_SECONDS:
            await self._append(log_pb2.LOG_ENTRY_KIND_TICKS)

    async def advance(self, market_time: int) -> None:
        """Appends an empty batch by which market time has come so far: for a session that ends in silence."""
        self.market_time = max(self.market_time, market_time)
        await self._append(log_pb2.LOG_ENTRY_KIND_TICKS)

    async def end(self) -> None:
        """Marks the end of the run, which closes its bars."""
        await self._append(log_pb2.LOG_ENTRY_KIND_RUN_ENDED)
        await self._log.forget_producer(self._run)

    async def _append(
        self,
        kind: log_pb2.LogEntryKind.ValueType,
        ticks: Ticks = _NO_TICKS,
        depths: Ticks = _NO_DEPTHS,
        reports: Ticks = _NO_REPORTS,
    ) -> None:
        entry = log_pb2.LogEntry(
            run=self._run,
            source=self._source,
            market_time=self.market_time,
            appended_at=self._clock.wall_ns(),
            kind=kind,
            tick_count=self.tick_count if kind == log_pb2.LOG_ENTRY_KIND_RUN_ENDED else 0,
        )
        payloads = []
        parts = (self._shards.split(records) for records in (ticks, depths, reports))
        for own_ticks, own_depths, own_reports in zip(*parts, strict=True):
            entry.ticks, entry.depths = own_ticks.tobytes(), own_depths.tobytes()
            entry.open_interest_reports = own_reports.tobytes()
            payloads.append(entry.SerializeToString())
        entry_id = await self._append_once(payloads)
        self._last_append = self._clock.monotonic()
        self._flow.sent(entry_id, len(ticks))
        self.tick_count += len(ticks)
        self._metrics.entries.inc()
        self._metrics.ticks.inc(len(ticks))

    async def _append_once(self, payloads: Sequence[bytes]) -> str:
        """Appends, again and again while the log is away or full; a repeated sequence number comes only once."""
        self._sequence += 1
        delay, started = _RETRY_FIRST_SECONDS, self._clock.monotonic()
        while True:
            try:
                return await self._log.append(payloads, producer=self._run, sequence=self._sequence)
            except LogFull:
                await self._clock.sleep(_RETRY_FIRST_SECONDS)
                await self._flow.wait_for_room()
            except Unavailable as error:
                if self._clock.monotonic() - started > _GIVE_UP_SECONDS:
                    raise
                self._metrics.retries.inc()
                _LOG.warning("the log is away, trying again in %.2f s: %s", delay, error.message)
                await self._clock.sleep(delay)
                delay = min(2 * delay, _RETRY_LONGEST_SECONDS)


class _Beside:
    """Records that are sent with ticks of their event times."""

    def __init__(self, records: Ticks) -> None:
        self._records = records
        self._sent = 0

    def until(self, time: int, *, everything: bool) -> Ticks:
        """The next ones up to an event time, or all that are left."""
        end = len(self._records) if everything else int(np.searchsorted(self._records["event_time"], time, "right"))
        start, self._sent = self._sent, end
        records: Ticks = self._records[start:end]
        return records


def _entries(market_times: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Where to cut: [first, last) of each entry, cut only where market time advances."""
    advances = np.flatnonzero(np.diff(market_times)) + 1
    first, total = 0, len(market_times)
    while first < total:
        at = int(np.searchsorted(advances, first + MAX_ENTRY_TICKS))
        last = int(advances[at]) if at < len(advances) else total
        yield first, last
        first = last

"""One run of a replay: its files merged by event time, paced, and appended to the log."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final, Protocol, TypeGuard

import numpy as np

from server.domain.calendar import exchange_date
from server.domain.timeframes import Timeframe
from server.market.feeds.directory import Directory
from server.market.feeds.kite_instruments import ImportReport
from server.market.feeds.metrics import FeedMetrics
from server.market.feeds.replay.chain_days import ChainDays
from server.market.feeds.replay.formats import recognise
from server.market.feeds.replay.merge import merge
from server.market.feeds.replay.pace import Pacer
from server.market.feeds.replay.paths import ReplayPath
from server.market.feeds.replay.recording import (
    InstrumentFile,
    LargerBars,
    LargerFile,
    Recording,
    ReplayContext,
    TickRecording,
)
from server.market.feeds.replay.report import ReplaySummary
from server.market.feeds.writer import BatchWriter, Ticks
from server.store.records import LARGER_BAR, Records

END_SECONDS: Final = 2.0
"""Longest wait for the end mark of a run that is being cancelled."""


class StoreLarger(Protocol):
    """Stores bars of a larger timeframe (records of `LARGER_BAR`)."""

    async def __call__(self, timeframe: Timeframe, rows: Records, *, in_contracts: bool) -> None:
        """`in_contracts`: volume and open interest are in contracts."""


ImportFile = Callable[[bytes, date | None], Awaitable[ImportReport]]
"""Imports the broker's instrument dump of a day, as far as that is known."""

_DAY = re.compile(r"(?<!\d)(20\d{2})-?(\d{2})-?(\d{2})(?!\d)")


@dataclass(frozen=True)
class ReplayOutputs:
    """Where a replay's contents go."""

    writer: BatchWriter
    pacer: Pacer
    directory: Directory
    store_larger: StoreLarger
    import_file: ImportFile
    metrics: FeedMetrics


class Replay:
    """Replays files. Instruments are imported and larger bars stored first; ticks follow as one run of the log."""

    def __init__(self, files: Sequence[ReplayPath], context: ReplayContext, outputs: ReplayOutputs) -> None:
        self._files = files
        self._context = context
        self._out = outputs

    async def run(self) -> ReplaySummary:
        """Replays all files. Raises UnknownFormat, before anything is stored or sent, when one is no recording."""
        recordings = [await asyncio.to_thread(recognise, file, self._context) for file in self._files]
        for recording in recordings:
            if isinstance(recording, InstrumentFile):
                await self._import(recording)
            else:
                parts = _longer_bars(recording)
                while (part := await asyncio.to_thread(next, parts, None)) is not None:
                    await self._store(part)
        ticks = [item.chunks() for item in recordings if _has_ticks(item)]
        if ticks:
            await self._send(merge(ticks))
        report = self._context.report
        self._out.metrics.malformed.inc(report.malformed)
        return ReplaySummary(self._out.writer.tick_count, len(self._files), self._out.directory.added, report)

    async def _send(self, chunks: Iterator[Ticks]) -> None:
        await self._out.writer.start()
        try:
            while (ticks := await asyncio.to_thread(next, chunks, None)) is not None:
                await self._out.directory.resolve(exchange_date(int(ticks["event_time"][0])))
                reports = self._context.changes.until(int(ticks["event_time"].max()))
                directory = self._out.directory
                await self._out.pacer.send(directory.instruments(ticks), directory.instruments(reports))
        finally:
            async with asyncio.timeout(END_SECONDS):
                await self._out.writer.end()

    async def _store(self, recording: LargerBars) -> None:
        if not len(recording.bars):
            return
        await self._out.directory.resolve(exchange_date(int(recording.bars["open_time"].min())))
        rows = np.zeros(len(recording.bars), dtype=LARGER_BAR)
        for name in LARGER_BAR.names or ():
            rows[name] = recording.bars[name]
        await self._out.store_larger(
            recording.timeframe, self._out.directory.instruments(rows), in_contracts=recording.in_contracts
        )
        self._context.report.larger_bars += len(rows)

    async def _import(self, recording: InstrumentFile) -> None:
        data = await asyncio.to_thread(recording.path.read_bytes)
        imported = await self._out.import_file(data, day_in(recording.path.name))
        self._context.report.imported += imported.imported
        for row in imported.malformed:
            self._context.report.skip(recording.path.name, row.line, row.reason)


def day_in(name: str) -> date | None:
    """The day in the name of a file, such as `instruments_2024-05-28.csv`; None when there is none."""
    for found in _DAY.finditer(name):
        try:
            return date(*map(int, found.groups()))
        except ValueError:
            continue
    return None


def _longer_bars(recording: Recording) -> Iterator[LargerBars]:
    """What is stored as it is."""
    if isinstance(recording, LargerFile):
        return iter(recording.parts)
    if isinstance(recording, ChainDays):
        return recording.bars()
    return iter((recording,) if isinstance(recording, LargerBars) else ())


def _has_ticks(recording: Recording) -> TypeGuard[TickRecording | LargerFile]:
    """The file makes ticks."""
    if isinstance(recording, LargerFile):
        return len(recording.ticks) > 0
    return not isinstance(recording, InstrumentFile | LargerBars)

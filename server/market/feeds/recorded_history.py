"""Recorded files as a source of past bars: a directory of what a replay can read."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from server.brokers.market_data import HISTORY_BAR, HistoryBars, SourceRefused
from server.domain.bars import BAR_STATE, group_ticks, renew_before, volume
from server.domain.calendar import MarketCalendar, exchange_date
from server.domain.instruments import Instrument, InstrumentKind
from server.domain.prices import ABSENT
from server.domain.timeframes import ONE_MINUTE, Timeframe
from server.market.feeds.contracts import ContractBook, ContractRules
from server.market.feeds.replay.formats import recognise
from server.market.feeds.replay.paths import ReplayPath
from server.market.feeds.replay.recording import InstrumentFile, LargerBars, LargerFile, ReplayContext
from server.market.feeds.replay.report import ReplayReport
from server.market.feeds.replay.source import UnknownFormat
from server.market.feeds.writer import Ticks
from server.market.sessions import day_numbers, day_start

_REMEMBERED: Final = 16
_MOST_TICKS: Final = 20_000_000
_LOG: Final = logging.getLogger("strikeline.backfill")

ByKey = Mapping[str, HistoryBars]


class RecordedHistory:
    """`MarketDataSource` over the files of a directory, named as `feed replay` wants them.

    A file is read as a whole when an instrument is asked for, and its minutes are remembered for the next ones. Of
    several files that have a minute the first by name counts.
    """

    def __init__(self, directory: Path, rules: ContractRules, calendar: MarketCalendar) -> None:
        self._directory = directory
        self._rules = rules
        self._calendar = calendar
        self._read: OrderedDict[tuple[Path, int], ByKey] = OrderedDict()
        self._reading = asyncio.Lock()

    async def history(self, instrument: Instrument, start: int, end: int, timeframe: Timeframe) -> HistoryBars:
        """1-minute bars that begin in [start, end). Raises SourceRefused for others and without directory."""
        if timeframe != ONE_MINUTE:
            raise SourceRefused(f"recorded files give bars of a minute, not of {timeframe.name}")
        parts = [np.empty(0, dtype=HISTORY_BAR)]
        async with self._reading:
            for path in await asyncio.to_thread(self._files):
                bars = (await asyncio.to_thread(self._of, path)).get(instrument.key)
                if bars is not None:
                    parts.append(bars[(bars["open_time"] >= start) & (bars["open_time"] < end)])
        found = np.concatenate(parts)
        _, first = np.unique(found["open_time"], return_index=True)
        chosen: HistoryBars = found[first]
        return chosen

    def _files(self) -> list[Path]:
        if not self._directory.is_dir():
            raise SourceRefused("the directory of recorded files does not exist")
        return sorted(path for path in self._directory.iterdir() if path.is_file())

    def _of(self, path: Path) -> ByKey:
        """The minutes of a file by instrument; one that changed is read anew."""
        key = (path, path.stat().st_mtime_ns)
        known = self._read.get(key)
        if known is None:
            known = self._read[key] = self._minutes(path)
            while len(self._read) > _REMEMBERED:
                self._read.popitem(last=False)
        self._read.move_to_end(key)
        return known

    def _minutes(self, path: Path) -> ByKey:
        context = ReplayContext(self._rules, ContractBook(), ReplayReport())
        try:
            recording = recognise(ReplayPath(path), context)
            if isinstance(recording, InstrumentFile | LargerBars | LargerFile):
                return {}
            ticks = _all(recording.chunks(), path)
        except UnknownFormat as error:
            _LOG.warning("a file is no source of minutes: %s", error)
            return {}
        contracts = context.book.contracts
        return {
            contract.key: self._bars(
                ticks[ticks["instrument"] == number], has_volume=contract.kind is not InstrumentKind.INDEX
            )
            for number, contract in enumerate(contracts)
        }

    def _bars(self, ticks: Ticks, *, has_volume: bool) -> HistoryBars:
        priced = ticks[ticks["last_price"] != ABSENT]
        if not has_volume:
            priced["volume"] = ABSENT
        days = day_numbers(priced["event_time"])
        opens = {day: self._opens(day) for day in np.unique(days).tolist()}
        inside = np.array([time >= opens[day][0] for time, day in zip(priced["event_time"], days, strict=True)], bool)
        priced, days = priced[inside], days[inside]
        midnights = np.array([day_start(day) for day in days.tolist()], dtype=np.int64)
        first = np.array([opens[day][0] for day in days.tolist()], dtype=np.int64)
        return _of_states(group_ticks(priced, midnights, days, first))

    def _opens(self, day: int) -> tuple[int, ...]:
        sessions = self._calendar.session_on(exchange_date(day_start(day)))
        return tuple(session.open_ns for session in sessions) or (day_start(day + 1),)


def _all(chunks: Iterable[Ticks], path: Path) -> Ticks:
    parts, total = [], 0
    for chunk in chunks:
        parts.append(chunk)
        total += len(chunk)
        if total > _MOST_TICKS:
            raise UnknownFormat(f"{path}: more than {_MOST_TICKS:,} ticks: split it")
    if not parts:
        raise UnknownFormat(f"{path}: it has no ticks")
    return np.concatenate(parts)


def _of_states(states: NDArray[np.void]) -> HistoryBars:
    """Bars with the volume of each minute, counted within its day."""
    days = np.unique(states["day"]).tolist()
    whole = np.concatenate([np.empty(0, BAR_STATE), *(renew_before(states[states["day"] == day]) for day in days)])
    bars = np.empty(len(whole), dtype=HISTORY_BAR)
    for name in ("open_time", "open", "high", "low", "close", "open_interest"):
        bars[name] = whole[name]
    bars["volume"] = volume(whole)
    return bars

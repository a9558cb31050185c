"""Bars as they change with the worker's entries, live or told again from an earlier place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from server.domain.timeframes import MINUTE_NS
from server.market.hub.folding import BarRow, Folder
from server.market.hub.items import ItemSet
from server.market.hub.position import EntryId
from server.market.hub.streams import Stream
from server.market.records import BAR, BAR_CLOSED
from strikeline.internal.v1 import log_pb2


class History(Protocol):
    """What is stored of the newest bars."""

    async def pieces(self, instruments: Sequence[int], market_time: int, timeframe: str) -> list[BarRow]:
        """Minutes (of earlier days: days) up to a market time that make up the two newest bars of each instrument."""
        ...


@dataclass
class BarClock:
    """Market time of bars: how far the runs have come whose bars were published.

    Given the run that was heard of last, `present` says which one is the present one.
    """

    present: Callable[[str], str] = str
    begin: int = 0
    times: dict[str, int] = field(default_factory=dict)

    def hear(self, run: str, market_time: int) -> None:
        """Bars of a run have come to a market time, of several slots in any order."""
        if market_time:
            self.times[run] = max(self.times.get(run, 0), market_time)

    @property
    def run(self) -> str:
        """The present run; empty before the first."""
        newest = next(reversed(self.times), "")
        chosen = self.present(newest)
        return chosen if chosen in self.times else newest

    @property
    def now(self) -> int:
        """Nanoseconds since 1970 UTC; 0 before the first tick."""
        return self.times.get(self.run, self.begin)


class BarSeries:
    """Folds the minutes of retained instruments, and closes their bars as market time passes."""

    def __init__(self, folder: Folder, history: History, clock: BarClock) -> None:
        self.folder = folder
        self.clock = clock
        self._history = history
        self._market_time = 0
        self._begun = set(clock.times)
        self._restarts = 0

    def retain(self, instrument: int, run: str, minutes: Iterable[BarRow]) -> bool:
        """The instrument is needed once more. -> it was not needed before: it begins with minutes of a run."""
        if not self.folder.retain(instrument):
            return False
        now = self.clock.now
        self.folder.apply(run, now, [row for row in minutes if row.open_time <= now])
        self.folder.follow(instrument, self.clock.run)
        return True

    async def fill(self, instruments: Sequence[int]) -> None:
        """Reads what is stored of the newest bars of retained instruments."""
        now, restarts = self.clock.now, self._restarts
        if not now or not instruments:
            return
        pieces = await self._history.pieces(instruments, now, self.folder.timeframe.name)
        if restarts == self._restarts:
            self._complete(pieces)

    def knows(self, run: str) -> bool:
        """Entries of the run can be taken in."""
        return run in self._begun

    async def begin(self, run: str, market_time: int) -> None:
        """Before the first entry of a run, which has that market time: the bars are again as they were then.

        What was stored of that time before is part of them.
        """
        self.clock.hear(run, market_time)
        if not market_time:
            return
        done: set[int] = set()
        while fresh := [instrument for instrument in self.folder.instruments if instrument not in done]:
            self._restarts += 1
            self.folder.begin(run, market_time)
            before = market_time // MINUTE_NS * MINUTE_NS - 1
            self._complete(await self._history.pieces(fresh, before, self.folder.timeframe.name))
            done.update(fresh)

    def apply(self, entry: log_pb2.BarsEntry, minutes: Iterable[BarRow]) -> list[BarRow]:
        """Takes in an entry with its minutes of retained instruments. -> the bars that changed or closed, in order."""
        self.clock.hear(entry.run, entry.market_time)
        if entry.market_time:
            self._begun.add(entry.run)
        rows = self.folder.apply(entry.run, entry.market_time, minutes)
        before, self._market_time = self._market_time, entry.market_time
        if entry.market_time // MINUTE_NS != before // MINUTE_NS or entry.session_ended:
            rows += self.folder.close(entry.run, entry.market_time, ended=entry.session_ended)
        return rows

    async def at(self, stream: Stream, place: EntryId, items: ItemSet) -> BarSeries:
        """The bars of some retained instruments as they stood at a place of a slot: what follows can be told again."""
        series, numbers = BarSeries(self.folder.empty(), self._history, BarClock()), items.numbers.tolist()
        for instrument in numbers:
            series.folder.retain(instrument)
        for _, payloads in await stream.range(_just_before(place), place, 1):
            entry = log_pb2.BarsEntry.FromString(payloads[0])
            if numbers and entry.market_time:
                await self._stand(series, items, entry)
        return series

    async def _stand(self, series: BarSeries, items: ItemSet, entry: log_pb2.BarsEntry) -> None:
        """The entry's own minute is known as it ended: what follows says how it came to that."""
        numbers, minute = items.numbers.tolist(), entry.market_time // MINUTE_NS * MINUTE_NS
        pieces = await self._history.pieces(numbers, entry.market_time, self.folder.timeframe.name)
        pieces += [row for instrument in numbers for row in self.folder.minutes(instrument)]
        earlier = sorted((row for row in pieces if row.open_time <= minute), key=lambda row: row.open_time)
        series.folder.apply(entry.run, entry.market_time, [_running(row, minute) for row in earlier])
        for instrument in numbers:
            series.folder.follow(instrument, entry.run)
        series.apply(entry, minutes_of(entry, items))

    def _complete(self, pieces: Iterable[BarRow]) -> None:
        for piece in pieces:
            self.folder.complete(piece, self.clock.now)


def minutes_of(entry: log_pb2.BarsEntry, items: ItemSet) -> list[BarRow]:
    """The entry's minutes of some instruments."""
    bars = np.frombuffer(entry.bars, BAR)
    return rows_of(bars[items.contains(bars["instrument"])])


def rows_of(bars: NDArray[np.void]) -> list[BarRow]:
    """Records of `BAR` as rows."""
    return [BarRow(*row) for row in bars.tolist()]


def _running(row: BarRow, minute: int) -> BarRow:
    """The row, not closed when it is of that minute."""
    return row._replace(flags=row.flags & ~BAR_CLOSED) if row.open_time == minute else row


def _just_before(place: EntryId) -> EntryId:
    """A place that has nothing between it and the given one."""
    if place.number:
        return EntryId(place.milliseconds, place.number - 1)
    return EntryId(max(place.milliseconds - 1, 0), 2**64 - 1) if place.milliseconds else place

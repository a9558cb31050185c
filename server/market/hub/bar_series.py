"""Bars as they change with the worker's entries, live or told again from an earlier place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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
    """What is stored of the bars that are still open."""

    async def pieces(self, instruments: Sequence[int], market_time: int, timeframe: str) -> list[BarRow]:
        """Minutes (of earlier days: days) that belong to the bar at market time of each instrument, in ascending order.

        Outside of sessions: of the last session's last bar.
        """
        ...


class BarSeries:
    """Folds the minutes of retained instruments, and closes their bars as market time passes."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.market_time = 0
        """Of the latest entry, nanoseconds since 1970 UTC; 0 before the first."""

    def apply(self, entry: log_pb2.BarsEntry, minutes: Iterable[BarRow]) -> list[BarRow]:
        """Takes in an entry with its minutes of retained instruments. -> the bars that changed or closed, in order."""
        rows = self.folder.apply(entry.run, entry.market_time, minutes)
        before, self.market_time = self.market_time, entry.market_time
        if entry.market_time // MINUTE_NS != before // MINUTE_NS or entry.session_ended:
            rows += self.folder.close(entry.run, entry.market_time, ended=entry.session_ended)
        return rows


@dataclass(frozen=True, slots=True)
class Past:
    """What tells how bars stood before: the database, and the live bars' minutes."""

    history: History
    live: Folder

    async def series(self, stream: Stream, place: EntryId, items: ItemSet) -> BarSeries:
        """The bars of some instruments as they stood at a place of a slot's stream: what follows can be told again.

        The instruments are retained in the live folder.
        """
        series, numbers = BarSeries(self.live.empty()), items.numbers.tolist()
        for instrument in numbers:
            series.folder.retain(instrument)
        for _, payloads in await stream.range(_just_before(place), place, 1):
            entry = log_pb2.BarsEntry.FromString(payloads[0])
            if numbers and entry.market_time:
                await self._fill(series, items, entry)
        return series

    async def _fill(self, series: BarSeries, items: ItemSet, entry: log_pb2.BarsEntry) -> None:
        """The entry's own minute is known as it ended: what follows says how it came to that."""
        numbers, minute = items.numbers.tolist(), entry.market_time // MINUTE_NS * MINUTE_NS
        pieces = await self.history.pieces(numbers, entry.market_time, series.folder.timeframe.name)
        pieces += [row for instrument in numbers for row in self.live.minutes(instrument)]
        earlier = sorted((row for row in pieces if row.open_time <= minute), key=lambda row: row.open_time)
        series.folder.apply(entry.run, entry.market_time, [_running(row, minute) for row in earlier])
        series.apply(entry, minutes_of(entry, items))


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

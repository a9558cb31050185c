"""What the streams of bars and those of signals have in common: something is told of each bar, as bars change."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Protocol

import numpy as np

from server.domain.timeframes import MINUTE_NS
from server.market.hub.bar_series import minutes_of, rows_of
from server.market.hub.board import Board
from server.market.hub.channel import Channel, Frame
from server.market.hub.folding import BarRow, Folder
from server.market.hub.items import ItemSet
from server.market.hub.journal import Events, Integers, Moment
from server.market.hub.position import EntryId, Position, replace
from server.market.hub.streams import Stream, check_held, pages
from server.market.hub.wire import EnvelopeLayout
from server.market.records import BAR
from strikeline.internal.v1 import log_pb2


class ToldSeries(Protocol):
    """Bars of retained instruments in `folder`, and what is told of them: of all bars, or of closed ones only."""

    @property
    def layout(self) -> EnvelopeLayout:
        """Of the stream's responses."""
        ...

    @property
    def folder(self) -> Folder:
        """Where the bars are."""
        ...

    @property
    def closed_only(self) -> bool:
        """Nothing is told of open bars."""
        ...

    def knows(self, run: str) -> bool:
        """Entries of the run can be taken in."""
        ...

    async def begin(self, run: str, market_time: int) -> None:
        """Before the first entry of a run, at that market time."""
        ...

    def retain(self, instrument: int, run: str, minutes: Iterable[BarRow]) -> None:
        """The instrument is needed once more; if it was not before, it begins with minutes of a run."""
        ...

    def release(self, instrument: int) -> None:
        """Takes back one `retain`."""
        ...

    async def fill(self, instruments: Sequence[int]) -> None:
        """Reads what is stored of the newest bars of retained instruments."""
        ...

    def apply(self, entry: log_pb2.BarsEntry, minutes: Sequence[BarRow]) -> list[BarRow]:
        """Takes in an entry with its minutes of retained instruments. -> the bars to tell something of, in order."""
        ...

    def encoded(self, row: BarRow) -> bytes:
        """What is told of a bar, as a field of the stream's batch."""
        ...

    async def at(self, stream: Stream, place: EntryId, items: ItemSet) -> ToldSeries:
        """Some retained instruments as they stood at a place of a slot: what follows can be told again."""
        ...


class SeriesTopic:
    """A stream of what is told of bars. `channel` has one stream for each slot of the worker."""

    def __init__(self, slots: Sequence[Stream], channel: Channel, board: Board, series: ToldSeries) -> None:
        self.channel = channel
        self.layout = series.layout
        self._slots = slots
        self._board = board
        self._series = series
        self._folder = series.folder
        self._closed_only = series.closed_only

    def knows(self, run: str) -> bool:
        """The run's entries can be taken in."""
        return self._series.knows(run)

    async def begin(self, run: str, market_time: int) -> None:
        """Before the first entry of a run, at that market time."""
        await self._series.begin(run, market_time)

    def apply(self, slot: int, place: EntryId, entry: log_pb2.BarsEntry) -> None:
        """Takes in an entry of one slot; the board has it already."""
        position = replace(self.channel.head.position, slot, place)
        bars = np.frombuffer(entry.bars, BAR)
        rows = self._series.apply(entry, rows_of(bars[self.channel.wanted.mask(bars["instrument"])]))
        self.channel.append(position, entry.market_time, self._events(rows))

    def retain(self, items: ItemSet) -> None:
        """From now on the instruments' minutes are folded, beginning with the two latest."""
        for instrument in items.numbers.tolist():
            self._series.retain(instrument, *self._board.latest(instrument))

    def release(self, items: ItemSet) -> None:
        """Takes back one `retain`."""
        for instrument in items.numbers.tolist():
            self._series.release(instrument)

    async def prepare(self, items: ItemSet) -> None:
        """Reads what was stored of the newest bars before the instruments were retained."""
        await self._series.fill(items.numbers.tolist())

    def snapshot(self, items: ItemSet) -> list[bytes]:
        """What is told of the newest bar of each instrument that has one."""
        newest = (self._folder.newest(item, closed_only=self._closed_only) for item in items.numbers.tolist())
        return [self._series.encoded(row) for row in newest if row is not None]

    async def check_held(self, position: Position) -> None:
        """Raises OutOfRange when bars behind the position are gone."""
        for stream, place in zip(self._slots, position, strict=True):
            await check_held(stream, place)

    async def replay(self, after: Position, until: Position, items: ItemSet) -> AsyncIterator[Frame]:
        """What was told between two positions, slot by slot: an instrument belongs to one slot."""
        position = after
        for slot, stream in enumerate(self._slots):
            series = await self._series.at(stream, after[slot], items)
            async for page in pages(stream, after[slot], until[slot]):
                entries = [log_pb2.BarsEntry.FromString(payloads[0]) for _, payloads in page]
                chunks: list[bytes] = []
                for entry in entries:
                    if not series.knows(entry.run):
                        await series.begin(entry.run, entry.market_time)
                    chunks += [series.encoded(row) for row in series.apply(entry, minutes_of(entry, items))]
                position = replace(position, slot, page[-1][0])
                if chunks:
                    moment = Moment.of(-1, position, entries[-1].market_time)
                    yield Frame(None, b"".join(chunks), len(chunks), moment)

    def _events(self, rows: list[BarRow]) -> Events | None:
        if not rows:
            return None
        items: Integers = np.array([row.instrument for row in rows], dtype=np.int64)
        minutes = np.array([row.open_time for row in rows], dtype=np.int64) // MINUTE_NS
        newest = np.array([self._is_newest(row) for row in rows], dtype=np.bool_)
        return Events.of(items, items << 32 | minutes, newest, [self._series.encoded(row) for row in rows])

    def _is_newest(self, row: BarRow) -> bool:
        newest = self._folder.newest(row.instrument, closed_only=self._closed_only)
        return newest is None or row.open_time >= newest.open_time

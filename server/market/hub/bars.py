"""The streams of bars: minutes as the worker publishes them, larger ones folded from them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence

import numpy as np

from server.domain.calendar import NANOSECONDS
from server.domain.timeframes import MINUTE_NS
from server.market.hub.bar_series import BarSeries, minutes_of, rows_of
from server.market.hub.board import Board
from server.market.hub.channel import Channel, Frame
from server.market.hub.folding import BarRow
from server.market.hub.items import ItemSet
from server.market.hub.journal import Events, Integers, Moment
from server.market.hub.position import EntryId, Position, replace
from server.market.hub.streams import Stream, check_held, pages
from server.market.hub.wire import EnvelopeLayout, delimited, key_of
from server.market.records import ABSENT, BAR, BAR_CLOSED, BAR_PARTIAL, PRICE_SCALE
from strikeline.internal.v1 import log_pb2
from strikeline.v1 import bar_pb2, market_data_service_pb2

METHOD = "strikeline.v1.MarketDataService/StreamBars"

_UPDATE_KEY = key_of(market_data_service_pb2.BarBatch.DESCRIPTOR, "bars")


def encode_bar(row: BarRow, key: str, timeframe: str) -> bytes:
    """A bar as a field of a BarBatch. `key` is its instrument's."""
    update = bar_pb2.BarUpdate(instrument=key, timeframe=timeframe)
    bar = update.bar
    bar.open_time.seconds, bar.open_time.nanos = divmod(row.open_time, NANOSECONDS)
    bar.open, bar.high = row.open / PRICE_SCALE, row.high / PRICE_SCALE
    bar.low, bar.close = row.low / PRICE_SCALE, row.close / PRICE_SCALE
    if row.volume != ABSENT:
        bar.volume = row.volume
    if row.open_interest != ABSENT:
        bar.open_interest = row.open_interest
    bar.partial = bool(row.flags & BAR_PARTIAL)
    bar.closed = bool(row.flags & BAR_CLOSED)
    return delimited(_UPDATE_KEY, update.SerializeToString())


class BarsTopic:
    """Bars of one timeframe, all changes or closed ones only. `channel` has one stream for each slot of the worker."""

    layout = EnvelopeLayout.of(market_data_service_pb2.StreamBarsResponse.DESCRIPTOR)

    def __init__(
        self,
        slots: Sequence[Stream],
        channel: Channel,
        board: Board,
        series: BarSeries,
        key: Callable[[int], str],
        *,
        closed_only: bool,
    ) -> None:
        self.channel = channel
        self._slots = slots
        self._board = board
        self._series = series
        self._folder = series.folder
        self._key = key
        self._closed_only = closed_only

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
        self.channel.append(position, entry.market_time, self._events(self._chosen(rows)))

    def retain(self, items: ItemSet) -> None:
        """From now on the instruments' minutes are folded, beginning with the two latest."""
        for instrument in items.numbers.tolist():
            self._series.retain(instrument, *self._board.latest(instrument))

    def release(self, items: ItemSet) -> None:
        """Takes back one `retain`."""
        for instrument in items.numbers.tolist():
            self._folder.release(instrument)

    async def prepare(self, items: ItemSet) -> None:
        """Reads what was stored of the newest bars before the instruments were retained."""
        await self._series.fill(items.numbers.tolist())

    def snapshot(self, items: ItemSet) -> list[bytes]:
        """The newest bar of each instrument that has one."""
        newest = (self._folder.newest(item, closed_only=self._closed_only) for item in items.numbers.tolist())
        return [self._encoded(row) for row in newest if row is not None]

    async def check_held(self, position: Position) -> None:
        """Raises OutOfRange when bars behind the position are gone."""
        for stream, place in zip(self._slots, position, strict=True):
            await check_held(stream, place)

    async def replay(self, after: Position, until: Position, items: ItemSet) -> AsyncIterator[Frame]:
        """The bars between two positions, slot by slot: an instrument belongs to one slot."""
        position = after
        for slot, stream in enumerate(self._slots):
            series = await self._series.at(stream, after[slot], items)
            async for page in pages(stream, after[slot], until[slot]):
                entries = [log_pb2.BarsEntry.FromString(payloads[0]) for _, payloads in page]
                chunks: list[bytes] = []
                for entry in entries:
                    if not series.knows(entry.run):
                        await series.begin(entry.run, entry.market_time)
                    rows = series.apply(entry, minutes_of(entry, items))
                    chunks += [self._encoded(row) for row in self._chosen(rows)]
                position = replace(position, slot, page[-1][0])
                if chunks:
                    moment = Moment.of(-1, position, entries[-1].market_time)
                    yield Frame(None, b"".join(chunks), len(chunks), moment)

    def _chosen(self, rows: Iterable[BarRow]) -> list[BarRow]:
        return [row for row in rows if row.closed or not self._closed_only]

    def _encoded(self, row: BarRow) -> bytes:
        return encode_bar(row, self._key(row.instrument), self._folder.timeframe.name)

    def _events(self, rows: list[BarRow]) -> Events | None:
        if not rows:
            return None
        items: Integers = np.array([row.instrument for row in rows], dtype=np.int64)
        minutes = np.array([row.open_time for row in rows], dtype=np.int64) // MINUTE_NS
        newest = np.array([self._is_newest(row) for row in rows], dtype=np.bool_)
        return Events.of(items, items << 32 | minutes, newest, [self._encoded(row) for row in rows])

    def _is_newest(self, row: BarRow) -> bool:
        newest = self._folder.newest(row.instrument, closed_only=self._closed_only)
        return newest is None or row.open_time >= newest.open_time

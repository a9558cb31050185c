"""The streams of position signals: each bar of a future against the bar before it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

import numpy as np

from server.domain.futures import SIGNAL_THRESHOLD
from server.domain.instruments import Instrument
from server.domain.timeframes import MINUTE_NS, Timeframe
from server.market.hub.bar_series import BarSeries, History, minutes_of, rows_of
from server.market.hub.board import Board
from server.market.hub.channel import Channel, Frame
from server.market.hub.folding import BarRow
from server.market.hub.items import ItemSet
from server.market.hub.journal import Events, Integers, Moment
from server.market.hub.position import EntryId, Position, replace
from server.market.hub.signal_series import SignalSeries
from server.market.hub.signal_wire import encode_signal
from server.market.hub.streams import Stream, check_held, pages
from server.market.hub.wire import EnvelopeLayout
from server.market.records import BAR
from strikeline.internal.v1 import log_pb2
from strikeline.v1 import futures_requests_pb2

METHOD = "strikeline.v1.FuturesService/StreamPositionSignals"

_EARLIER_BARS: Final = 2
"""Stored bars before the present one that are read: a late tick still changes the signal of the first of them."""


class SignalHistory(History, Protocol):
    """What is stored of bars, open and closed."""

    async def before(self, instrument: int, instant: int, timeframe: str, count: int) -> list[BarRow]:
        """At most `count` bars that begin before an instant, the newest first."""
        ...


@dataclass(frozen=True, slots=True)
class SignalSources:
    """Where signals come from: the worker's streams of minutes, the newest minutes, stored bars, and the contracts."""

    slots: Sequence[Stream]
    board: Board
    history: SignalHistory
    instrument: Callable[[int], Instrument | None]


class SignalKind(NamedTuple):
    """What distinguishes topics: bars of one length, all changes or closed ones, a threshold in per cent."""

    timeframe: Timeframe
    closed_only: bool = False
    threshold: float = SIGNAL_THRESHOLD

    @property
    def variant(self) -> str:
        """The kind as a part of a resume token. The usual threshold is not named."""
        words = [self.timeframe.name, *(["closed"] if self.closed_only else [])]
        if self.threshold != SIGNAL_THRESHOLD:
            words.append(f"above {self.threshold!r}")
        return " ".join(words)


class SignalsTopic:
    """Signals of one kind; its threshold is that of `position_move`."""

    layout = EnvelopeLayout.of(futures_requests_pb2.StreamPositionSignalsResponse.DESCRIPTOR)

    def __init__(self, sources: SignalSources, channel: Channel, series: BarSeries, kind: SignalKind) -> None:
        self.channel = channel
        self._sources = sources
        self._kind = kind
        self._series = SignalSeries(series, closed_only=kind.closed_only)

    def knows(self, run: str) -> bool:
        """The run's entries can be taken in."""
        return self._series.bars.knows(run)

    async def begin(self, run: str, market_time: int) -> None:
        """Before the first entry of a run, at that market time."""
        await self._begin(self._series, run, market_time)

    def apply(self, slot: int, place: EntryId, entry: log_pb2.BarsEntry) -> None:
        """Takes in an entry of one slot; the board has it already."""
        position = replace(self.channel.head.position, slot, place)
        bars = np.frombuffer(entry.bars, BAR)
        rows = self._series.apply(entry, rows_of(bars[self.channel.wanted.mask(bars["instrument"])]))
        self.channel.append(position, entry.market_time, self._events(rows))

    def retain(self, items: ItemSet) -> None:
        """From now on the contracts' minutes are folded, beginning with the two latest."""
        for instrument in items.numbers.tolist():
            if self._series.bars.retain(instrument, *self._sources.board.latest(instrument)):
                self._series.note_known(instrument)

    def release(self, items: ItemSet) -> None:
        """Takes back one `retain`."""
        for instrument in items.numbers.tolist():
            if self._series.folder.release(instrument):
                self._series.forget(instrument)

    async def prepare(self, items: ItemSet) -> None:
        """Reads what was stored of the present bars and of those before them."""
        numbers = items.numbers.tolist()
        await self._series.bars.fill(numbers)
        await self._read_earlier(self._series, numbers)

    def snapshot(self, items: ItemSet) -> list[bytes]:
        """The signal of each contract's newest bar."""
        newest = (self._series.newest(item) for item in items.numbers.tolist())
        return [self._encoded(self._series, row) for row in newest if row is not None]

    async def check_held(self, position: Position) -> None:
        """Raises OutOfRange when bars behind the position are gone."""
        for stream, place in zip(self._sources.slots, position, strict=True):
            await check_held(stream, place)

    async def replay(self, after: Position, until: Position, items: ItemSet) -> AsyncIterator[Frame]:
        """The signals between two positions, slot by slot: a contract belongs to one slot."""
        position = after
        for slot, stream in enumerate(self._sources.slots):
            series = await self._series_at(stream, after[slot], items)
            async for page in pages(stream, after[slot], until[slot]):
                entries = [log_pb2.BarsEntry.FromString(payloads[0]) for _, payloads in page]
                chunks: list[bytes] = []
                for entry in entries:
                    if not series.bars.knows(entry.run):
                        await self._begin(series, entry.run, entry.market_time)
                    chunks += [self._encoded(series, row) for row in series.apply(entry, minutes_of(entry, items))]
                position = replace(position, slot, page[-1][0])
                if chunks:
                    moment = Moment.of(-1, position, entries[-1].market_time)
                    yield Frame(None, b"".join(chunks), len(chunks), moment)

    async def _series_at(self, stream: Stream, place: EntryId, items: ItemSet) -> SignalSeries:
        """The contracts' bars as they were at a place of a slot, so that what follows can be told again."""
        bars = await self._series.bars.at(stream, place, items)
        series, numbers = SignalSeries(bars, closed_only=self._kind.closed_only), items.numbers.tolist()
        await self._read_earlier(series, numbers)
        for instrument in numbers:
            series.tape.adopt(self._series.tape, instrument, _start(series, instrument))
        return series

    async def _begin(self, series: SignalSeries, run: str, market_time: int) -> None:
        await series.bars.begin(run, market_time)
        series.begin(run)
        await self._read_earlier(series, series.folder.instruments)

    async def _read_earlier(self, series: SignalSeries, numbers: list[int]) -> None:
        """Notes the folded bars, and the stored ones before the present ones."""
        for instrument in numbers if series.bars.clock.now else ():
            if not series.folder.retains(instrument):
                continue
            series.note_known(instrument)
            start, timeframe = _start(series, instrument), series.folder.timeframe.name
            found = await self._sources.history.before(instrument, start, timeframe, _EARLIER_BARS)
            for row in found if series.folder.retains(instrument) else ():
                series.tape.complete(row)

    def _encoded(self, series: SignalSeries, row: BarRow) -> bytes:
        instrument = self._sources.instrument(row.instrument)
        if instrument is None or instrument.expiry is None:
            raise ValueError(f"instrument {row.instrument} is no future")
        return encode_signal(
            row, instrument.key, instrument.expiry.isoformat(), series.tape.move(row, self._kind.threshold)
        )

    def _events(self, rows: list[BarRow]) -> Events | None:
        if not rows:
            return None
        items: Integers = np.array([row.instrument for row in rows], dtype=np.int64)
        minutes = np.array([row.open_time for row in rows], dtype=np.int64) // MINUTE_NS
        newest = np.array([self._is_newest(row) for row in rows], dtype=np.bool_)
        chunks = [self._encoded(self._series, row) for row in rows]
        return Events.of(items, items << 32 | minutes, newest, chunks)

    def _is_newest(self, row: BarRow) -> bool:
        newest = self._series.newest(row.instrument)
        return newest is None or row.open_time >= newest.open_time


def _start(series: SignalSeries, instrument: int) -> int:
    """When the present bar begins; without one, the next instant."""
    present = series.folder.newest(instrument, closed_only=False)
    return series.bars.clock.now + 1 if present is None else present.open_time

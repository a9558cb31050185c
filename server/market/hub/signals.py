"""The streams of position signals: each bar of a future against the bar before it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple, Protocol

from server.domain.futures import SIGNAL_THRESHOLD
from server.domain.instruments import Instrument
from server.domain.timeframes import Timeframe
from server.market.hub.bar_series import BarSeries, History
from server.market.hub.folding import BarRow
from server.market.hub.items import ItemSet
from server.market.hub.position import EntryId
from server.market.hub.signal_series import SignalSeries
from server.market.hub.signal_wire import encode_signal
from server.market.hub.streams import Stream
from server.market.hub.wire import EnvelopeLayout
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


class ToldSignals:
    """Signals of one kind; its threshold is that of `position_move`. `instrument` says what the contracts are."""

    layout = EnvelopeLayout.of(futures_requests_pb2.StreamPositionSignalsResponse.DESCRIPTOR)

    def __init__(
        self,
        bars: BarSeries,
        history: SignalHistory,
        instrument: Callable[[int], Instrument | None],
        kind: SignalKind,
    ) -> None:
        self.folder = bars.folder
        self.closed_only = kind.closed_only
        self.series = SignalSeries(bars, closed_only=kind.closed_only)
        self._history = history
        self._instrument = instrument
        self._kind = kind

    def knows(self, run: str) -> bool:
        """See ToldSeries."""
        return self.series.bars.knows(run)

    async def begin(self, run: str, market_time: int) -> None:
        """See ToldSeries."""
        await self.series.bars.begin(run, market_time)
        self.series.begin(run)
        await self.read_earlier(self.folder.instruments)

    def retain(self, instrument: int, run: str, minutes: Iterable[BarRow]) -> None:
        """See ToldSeries."""
        if self.series.bars.retain(instrument, run, minutes):
            self.series.note_known(instrument)

    def release(self, instrument: int) -> None:
        """See ToldSeries."""
        if self.folder.release(instrument):
            self.series.forget(instrument)

    async def fill(self, instruments: Sequence[int]) -> None:
        """See ToldSeries. Those before the present bars are read too."""
        await self.series.bars.fill(instruments)
        await self.read_earlier(instruments)

    def apply(self, entry: log_pb2.BarsEntry, minutes: Sequence[BarRow]) -> list[BarRow]:
        """See ToldSeries."""
        return self.series.apply(entry, minutes)

    def encoded(self, row: BarRow) -> bytes:
        """See ToldSeries."""
        instrument = self._instrument(row.instrument)
        if instrument is None or instrument.expiry is None:
            raise ValueError(f"instrument {row.instrument} is no future")
        move = self.series.tape.move(row, self._kind.threshold)
        return encode_signal(row, instrument.key, instrument.expiry.isoformat(), move)

    async def at(self, stream: Stream, place: EntryId, items: ItemSet) -> ToldSignals:
        """See ToldSeries."""
        bars, numbers = await self.series.bars.at(stream, place, items), items.numbers.tolist()
        told = ToldSignals(bars, self._history, self._instrument, self._kind)
        await told.read_earlier(numbers)
        for instrument in numbers:
            told.series.tape.adopt(self.series.tape, instrument, _start(told.series, instrument))
        return told

    async def read_earlier(self, instruments: Sequence[int]) -> None:
        """Notes the folded bars of retained contracts, and the stored ones before the present ones."""
        series = self.series
        for instrument in instruments if series.bars.clock.now else ():
            if not self.folder.retains(instrument):
                continue
            series.note_known(instrument)
            start, timeframe = _start(series, instrument), self.folder.timeframe.name
            found = await self._history.before(instrument, start, timeframe, _EARLIER_BARS)
            for row in found if self.folder.retains(instrument) else ():
                series.tape.complete(row)


def _start(series: SignalSeries, instrument: int) -> int:
    """When the present bar begins; without one, the next instant."""
    present = series.folder.newest(instrument, closed_only=False)
    return series.bars.clock.now + 1 if present is None else present.open_time

"""The streams of bars: minutes as the worker publishes them, larger ones folded from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from server.domain.calendar import NANOSECONDS
from server.market.hub.bar_series import BarSeries
from server.market.hub.folding import BarRow
from server.market.hub.items import ItemSet
from server.market.hub.position import EntryId
from server.market.hub.streams import Stream
from server.market.hub.wire import EnvelopeLayout, delimited, key_of
from server.market.records import ABSENT, BAR_CLOSED, BAR_PARTIAL, PRICE_SCALE
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


class ToldBars:
    """Bars as they are: all changes, or closed ones only. `key` names their instruments."""

    layout = EnvelopeLayout.of(market_data_service_pb2.StreamBarsResponse.DESCRIPTOR)

    def __init__(self, series: BarSeries, key: Callable[[int], str], *, closed_only: bool) -> None:
        self.folder = series.folder
        self.closed_only = closed_only
        self._series = series
        self._key = key

    def knows(self, run: str) -> bool:
        """See ToldSeries."""
        return self._series.knows(run)

    async def begin(self, run: str, market_time: int) -> None:
        """See ToldSeries."""
        await self._series.begin(run, market_time)

    def retain(self, instrument: int, run: str, minutes: Iterable[BarRow]) -> None:
        """See ToldSeries."""
        self._series.retain(instrument, run, minutes)

    def release(self, instrument: int) -> None:
        """See ToldSeries."""
        self.folder.release(instrument)

    async def fill(self, instruments: Sequence[int]) -> None:
        """See ToldSeries."""
        await self._series.fill(instruments)

    def apply(self, entry: log_pb2.BarsEntry, minutes: Sequence[BarRow]) -> list[BarRow]:
        """See ToldSeries."""
        return [row for row in self._series.apply(entry, minutes) if row.closed or not self.closed_only]

    def encoded(self, row: BarRow) -> bytes:
        """See ToldSeries."""
        return encode_bar(row, self._key(row.instrument), self.folder.timeframe.name)

    async def at(self, stream: Stream, place: EntryId, items: ItemSet) -> ToldBars:
        """See ToldSeries."""
        return ToldBars(await self._series.at(stream, place, items), self._key, closed_only=self.closed_only)

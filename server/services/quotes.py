"""Quotes in the contract's bytes, each encoded once for as long as it does not change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from server.domain.calendar import MarketCalendar, calendar_of
from server.domain.instruments import Instrument
from server.domain.prices import SCALE
from server.domain.timeframes import ONE_MINUTE
from server.market.hub import wire
from server.market.hub.quotes import Quote
from server.observability.durations import CacheUse
from server.services.converters_market import quote_message, quote_of_bars
from server.store.bar_series import Bar, BarQuery
from server.store.bars import BarStore
from server.store.records import to_datetime
from strikeline.v1 import quote_pb2

KEPT = 20_000
"""Most quotes that are kept. A full memory is emptied: what is asked for comes back by itself."""


class Quotes(Protocol):
    """The present quotes (`server.market.hub.hub.Hub`)."""

    def quote(self, instrument_id: int) -> Quote | None:
        """What is known of an instrument now; None before its first tick."""
        ...

    def quote_state(self, instrument_id: int) -> bytes:
        """Changes whenever the instrument's quote does."""
        ...


class QuoteEncoder:
    """Encodes quotes as a field of a message: strikeline.v1.Quote behind the field's key and its length."""

    def __init__(self, quotes: Quotes, field: bytes) -> None:
        self._quotes = quotes
        self._field = field
        self.use = CacheUse()
        self._kept: dict[int, tuple[bytes, bool, bytes]] = {}

    def encoded(self, key: str, instrument_id: int, *, stale: bool) -> bytes | None:
        """The field with the quote, serialised; None before the instrument's first tick."""
        state = self._quotes.quote_state(instrument_id)
        kept = self._kept.get(instrument_id)
        if kept is not None and kept[0] == state and kept[1] is stale:
            self.use.hits += 1
            return kept[2]
        self.use.misses += 1
        quote = self._quotes.quote(instrument_id)
        if quote is None:
            return None
        if len(self._kept) >= KEPT:
            self._kept.clear()
        payload = self.field(quote_message(key, quote, stale=stale))
        self._kept[instrument_id] = (state, stale, payload)
        return payload

    def field(self, quote: quote_pb2.Quote) -> bytes:
        """The field with a quote from elsewhere."""
        return wire.delimited(self._field, quote.SerializeToString())


class StoredQuotes:
    """What minutes that are stored up to market time still tell of instruments without a tick in memory.

    `calendars` are by name. `market_time` is 0 when no feed ever ran.
    """

    def __init__(self, bars: BarStore, calendars: Mapping[str, MarketCalendar], market_time: Callable[[], int]) -> None:
        self._bars = bars
        self._calendars = calendars
        self._market_time = market_time

    async def quote(self, key: str, instrument_id: int) -> quote_pb2.Quote:
        """The newest minute's close, stale; without any minute nothing but the key."""
        bar = await self._newest(key, instrument_id)
        return quote_message(key, None, stale=True) if bar is None else quote_of_bars(key, bar)

    async def price(self, key: str, instrument_id: int) -> float | None:
        """The newest minute's close in rupees or points; None without any minute."""
        bar = await self._newest(key, instrument_id)
        return None if bar is None else bar.close

    async def _newest(self, key: str, instrument_id: int) -> Bar | None:
        now = self._market_time()
        query = BarQuery(
            instrument_id=instrument_id,
            timeframe=ONE_MINUTE,
            ascending=False,
            market_time=to_datetime(now) if now else None,
        )
        page = await self._bars.list_bars(query, self._calendars[calendar_of(key.partition(":")[0])], 1)
        return page.items[0] if page.items else None


class NewestPrices:
    """The newest price that is known of an instrument, from a tick or from stored minutes."""

    def __init__(self, live: Quotes, stored: StoredQuotes) -> None:
        self._live = live
        self._stored = stored

    async def price(self, instrument: Instrument) -> float | None:
        """Rupees or points; None when nothing is known."""
        quote = self._live.quote(instrument.instrument_id)
        if quote is not None and quote.last_price is not None:
            return quote.last_price / SCALE
        return await self._stored.price(instrument.key, instrument.instrument_id)

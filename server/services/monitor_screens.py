"""What a screen of an underlying shows, as quotes and as instruments."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final, Protocol

from server.domain.instruments import Instrument
from server.market.hub import wire
from server.services.converters_instruments import instrument_message
from server.services.converters_market import quote_message
from server.services.monitor_selection import MonitorSelections, SelectedExpiry, SelectedStrike, Selection
from server.services.quotes import QuoteEncoder, Quotes, StoredQuotes
from server.services.times import timestamp
from strikeline.v1 import instrument_pb2, quote_pb2
from strikeline.v1 import monitor_pb2 as pb

_EXPIRIES: Final = wire.key_of(pb.MarketSnapshot.DESCRIPTOR, "expiries")
_STRIKES: Final = wire.key_of(pb.SnapshotExpiry.DESCRIPTOR, "strikes")
_CALL: Final = wire.key_of(pb.SnapshotStrike.DESCRIPTOR, "call")
_PUT: Final = wire.key_of(pb.SnapshotStrike.DESCRIPTOR, "put")


class ByNumber(Protocol):
    """The instrument master (`server.store.instruments.InstrumentStore`)."""

    async def by_numbers(self, numbers: Iterable[int]) -> list[Instrument]:
        """Those that exist, by number."""
        ...


class Market(Protocol):
    """Where the market is, and whether it moves."""

    def market_time(self) -> int | None:
        """Nanoseconds since 1970 UTC; None before the first tick."""
        ...

    def is_live(self) -> bool:
        """Ticks are coming, or the feed says that it lives."""
        ...


class MonitorScreens:
    """Quotes come from the hub, encoded once for as long as they do not change."""

    def __init__(
        self, selections: MonitorSelections, quotes: Quotes, stored: StoredQuotes, master: ByNumber, market: Market
    ) -> None:
        self._selections = selections
        self._quotes = quotes
        self._stored = stored
        self._calls = QuoteEncoder(quotes, _CALL)
        self._puts = QuoteEncoder(quotes, _PUT)
        self._master = master
        self._market = market

    async def snapshot(self, request: pb.GetMarketSnapshotRequest) -> bytes:
        """A MarketSnapshot, serialised. Raises NotFound (UNDERLYING_NOT_FOUND)."""
        selection = await self._selections.choose(request)
        stale = not self._market.is_live()
        parts = [(await self._head(selection, stale=stale)).SerializeToString()]
        for expiry in selection.expiries:
            parts.append(wire.delimited(_EXPIRIES, self._expiry(expiry, stale=stale)))
            # Hundreds of quotes are encoded for each: others have their turn between.
            await asyncio.sleep(0)
        return b"".join(parts)

    async def metadata(self, request: pb.GetMonitorMetadataRequest) -> pb.MonitorMetadata:
        """The same selection as instruments. Raises NotFound (UNDERLYING_NOT_FOUND)."""
        selection = await self._selections.choose(request)
        numbers = [number for expiry in selection.expiries for number in expiry.numbers]
        known = {item.instrument_id: item for item in await self._master.by_numbers(numbers)}
        message = pb.MonitorMetadata(
            underlying=selection.underlying,
            instrument=None if selection.own is None else instrument_message(selection.own),
            futures=map(instrument_message, selection.futures),
        )
        for expiry in selection.expiries:
            message.expiries.append(_expiry_message(expiry, known))
            await asyncio.sleep(0)
        now = self._market.market_time()
        if now is not None:
            message.as_of.CopyFrom(timestamp(now))
        return message

    async def _head(self, selection: Selection, *, stale: bool) -> pb.MarketSnapshot:
        """Everything but the options."""
        message = pb.MarketSnapshot(underlying=selection.underlying, stale=stale)
        if selection.own is not None:
            message.quote.CopyFrom(await self._quote(selection.own, stale=stale))
        for future in selection.futures:
            quote = await self._quote(future, stale=stale)
            message.futures.add(expiry="" if future.expiry is None else future.expiry.isoformat(), quote=quote)
        now = self._market.market_time()
        if now is not None:
            message.as_of.CopyFrom(timestamp(now))
        return message

    async def _quote(self, instrument: Instrument, *, stale: bool) -> quote_pb2.Quote:
        quote = self._quotes.quote(instrument.instrument_id)
        if quote is None:
            return await self._stored.quote(instrument.key, instrument.instrument_id)
        return quote_message(instrument.key, quote, stale=stale)

    def _expiry(self, chosen: SelectedExpiry, *, stale: bool) -> bytes:
        head = pb.SnapshotExpiry(
            expiry=chosen.expiry.isoformat(),
            labels=chosen.labels,
            reference_price=chosen.reference,
            atm_strike=chosen.atm,
        )
        rows = (wire.delimited(_STRIKES, self._strike(chosen, row, stale=stale)) for row in chosen.strikes)
        return b"".join((head.SerializeToString(), *rows))

    def _strike(self, chosen: SelectedExpiry, row: SelectedStrike, *, stale: bool) -> bytes:
        parts = [pb.SnapshotStrike(strike=row.strike).SerializeToString()]
        for encoder, number in ((self._calls, row.call), (self._puts, row.put)):
            if number is not None:
                key = chosen.key(number)
                quote = encoder.encoded(key, number, stale=stale)
                parts.append(encoder.field(quote_message(key, None, stale=True)) if quote is None else quote)
        return b"".join(parts)


def _expiry_message(chosen: SelectedExpiry, known: Mapping[int, Instrument]) -> pb.MonitorExpiry:
    return pb.MonitorExpiry(
        expiry=chosen.expiry.isoformat(),
        labels=chosen.labels,
        reference_price=chosen.reference,
        atm_strike=chosen.atm,
        strike_step=chosen.step,
        strikes=(
            pb.MonitorStrike(strike=row.strike, call=_contract(known, row.call), put=_contract(known, row.put))
            for row in chosen.strikes
        ),
    )


def _contract(known: Mapping[int, Instrument], number: int | None) -> instrument_pb2.Instrument | None:
    found = None if number is None else known.get(number)
    return None if found is None else instrument_message(found)

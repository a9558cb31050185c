"""Quotes in the contract's bytes, each encoded once for as long as it does not change."""

from __future__ import annotations

from typing import Protocol

from server.market.hub import wire
from server.market.hub.quotes import Quote
from server.services.converters_market import quote_message
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
        self._kept: dict[int, tuple[bytes, bool, bytes]] = {}

    def encoded(self, key: str, instrument_id: int, *, stale: bool) -> bytes | None:
        """The field with the quote, serialised; None before the instrument's first tick."""
        state = self._quotes.quote_state(instrument_id)
        kept = self._kept.get(instrument_id)
        if kept is not None and kept[0] == state and kept[1] is stale:
            return kept[2]
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

"""Quotes and bars as messages of the contract. Prices become doubles here, by one correctly rounded division."""

from __future__ import annotations

from collections.abc import Sequence

from server.domain.calendar import NANOSECONDS
from server.domain.prices import SCALE
from server.market.hub.quotes import Level, Quote
from server.services.times import timestamp_of
from server.store.bar_series import Bar
from strikeline.v1 import bar_pb2, quote_pb2


def quote_message(key: str, quote: Quote | None, *, stale: bool) -> quote_pb2.Quote:
    """What is known of an instrument; without a quote nothing but its key."""
    message = quote_pb2.Quote(instrument=key, stale=stale)
    if quote is None:
        return message
    message.event_time.seconds, message.event_time.nanos = divmod(quote.event_time, NANOSECONDS)
    if quote.last_price is not None:
        message.last_price = quote.last_price / SCALE
    if quote.last_quantity is not None:
        message.last_quantity = quote.last_quantity
    if quote.volume is not None:
        message.volume = quote.volume
    if quote.open_interest is not None:
        message.open_interest = quote.open_interest
    _set_day(message.ohlc, quote)
    if quote.bids or quote.asks:
        message.depth.CopyFrom(depth_message(quote))
    return message


def depth_message(quote: Quote) -> quote_pb2.Depth:
    """The order book of a quote, best levels first."""
    return quote_pb2.Depth(bids=_levels(quote.bids), asks=_levels(quote.asks))


def bar_message(bar: Bar) -> bar_pb2.Bar:
    """A stored bar."""
    return bar_pb2.Bar(
        open_time=timestamp_of(bar.open_time),
        open=bar.open,
        high=bar.high,
        low=bar.low,
        close=bar.close,
        volume=bar.volume,
        open_interest=bar.open_interest,
        partial=bar.partial,
        closed=bar.closed,
    )


def quote_of_bars(key: str, last: Bar) -> quote_pb2.Quote:
    """What stored bars still tell when no tick is in memory: the last minute's close, stale. `volume` stays absent."""
    return quote_pb2.Quote(
        instrument=key,
        last_price=last.close,
        open_interest=last.open_interest,
        event_time=timestamp_of(last.open_time),
        stale=True,
    )


def _set_day(message: quote_pb2.DayPrices, quote: Quote) -> None:
    if quote.day_open is not None:
        message.open = quote.day_open / SCALE
    if quote.day_high is not None:
        message.high = quote.day_high / SCALE
    if quote.day_low is not None:
        message.low = quote.day_low / SCALE
    if quote.previous_close is not None:
        message.close = quote.previous_close / SCALE


def _levels(levels: Sequence[Level]) -> list[quote_pb2.DepthLevel]:
    return [
        quote_pb2.DepthLevel(price=level.price / SCALE, quantity=level.quantity, orders=level.orders)
        for level in levels
    ]

"""What is known of an instrument now, out of the book."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from server.market.book import Book
from server.market.records import ABSENT


@dataclass(frozen=True, slots=True)
class Level:
    """All orders of one side at one price, in ten-thousandths of a rupee. Quantity and orders: 0 is not known."""

    price: int
    quantity: int
    orders: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """Latest tick, day figures and depth of one instrument. Prices are ten-thousandths of a rupee; None is not known.

    `event_time` and `depth_time` (of the order book) are nanoseconds since 1970 UTC. `bids` and `asks` are best first:
    the feed's newest ladder, or the best prices of the tick where that is younger, one level without orders. Empty,
    and `depth_time` None, where the feed has neither.
    """

    instrument_id: int
    event_time: int
    last_price: int | None
    last_quantity: int | None
    volume: int | None
    open_interest: int | None
    bid_price: int | None
    bid_quantity: int | None
    ask_price: int | None
    ask_quantity: int | None
    day_open: int | None
    day_high: int | None
    day_low: int | None
    previous_close: int | None
    depth_time: int | None = None
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


_COLUMNS = (
    "last_price", "last_quantity", "volume", "open_interest", "bid_price", "bid_quantity", "ask_price", "ask_quantity",
    "day_open", "day_high", "day_low", "previous_close",
)  # fmt: skip


def quote_of(book: Book, instrument_id: int) -> Quote | None:
    """The instrument's quote; None before its first tick."""
    if not 0 <= instrument_id < len(book.records):
        return None
    record = book.records[instrument_id]
    if record["event_time"] == ABSENT:
        return None
    values = dict(zip(record.dtype.names or (), record.tolist(), strict=True))
    known = {name: None if values[name] == ABSENT else values[name] for name in _COLUMNS}
    depth = book.depths[instrument_id]
    depth_time = int(depth["event_time"])
    bids, asks = _levels(depth, "bids"), _levels(depth, "asks")
    if depth_time < values["event_time"] and (known["bid_price"], known["ask_price"]) != (None, None):
        depth_time = values["event_time"]
        bids, asks = (_best_level(known[f"{side}_price"], known[f"{side}_quantity"]) for side in ("bid", "ask"))
    return Quote(
        instrument_id=instrument_id,
        event_time=values["event_time"],
        depth_time=None if depth_time == ABSENT else depth_time,
        bids=bids,
        asks=asks,
        **known,
    )


def state_of(book: Book, instrument_id: int) -> bytes:
    """Changes whenever the instrument's quote does: what is made of a quote can be kept for as long as it stays."""
    if not 0 <= instrument_id < len(book.records):
        return b""
    record: bytes = book.records[instrument_id].tobytes()
    depth: bytes = book.depths[instrument_id].tobytes()
    return record + depth


def _best_level(price: int | None, quantity: int | None) -> tuple[Level, ...]:
    return () if price is None else (Level(price, quantity or 0, 0),)


def _levels(depth: np.void, side: str) -> tuple[Level, ...]:
    if depth["event_time"] == ABSENT:
        return ()
    return tuple(Level(*level) for level in depth[side].tolist() if level[0] != ABSENT)

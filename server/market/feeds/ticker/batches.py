"""Quotes as columns: records of `TICK` and `DEPTH` in the order of their arrival."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from server.market.feeds.replay.ticks import blank_ticks
from server.market.feeds.ticker.quotes import Level, Quote
from server.market.feeds.writer import Ticks
from server.market.records import ABSENT, DEPTH, DEPTH_LEVELS

_NO_LEVEL: Level = (ABSENT, 0, 0)


@dataclass(frozen=True)
class Placed:
    """A quote with its contract's number in the run's book, its event time, and its place in the order of arrival."""

    quote: Quote
    number: int
    event_time: int
    row: int


def ticks_of(placed: list[Placed]) -> Ticks:
    """One tick a quote; its best bid and ask are the depth's first levels."""
    ticks = blank_ticks(len(placed))
    ticks["instrument"] = [item.number for item in placed]
    ticks["event_time"] = [item.event_time for item in placed]
    ticks["row"] = [item.row for item in placed]
    ticks["last_price"] = [item.quote.last_price for item in placed]
    ticks["volume"] = [item.quote.volume for item in placed]
    ticks["open_interest"] = [item.quote.open_interest for item in placed]
    for side, levels in (("bid", [item.quote.bids for item in placed]), ("ask", [item.quote.asks for item in placed])):
        ticks[f"{side}_price"] = [own[0][0] if own else ABSENT for own in levels]
        ticks[f"{side}_quantity"] = [own[0][1] if own else ABSENT for own in levels]
    return ticks


def depths_of(placed: list[Placed]) -> Ticks:
    """The order books of the quotes that have one, in ascending order of event time as the log wants them."""
    deep = sorted((item for item in placed if item.quote.bids or item.quote.asks), key=lambda item: item.event_time)
    depths = np.zeros(len(deep), dtype=DEPTH)
    for place, item in enumerate(deep):
        depths[place] = (
            item.number, 0, item.event_time, item.row, _padded(item.quote.bids), _padded(item.quote.asks),
        )  # fmt: skip
    return depths


def _padded(levels: tuple[Level, ...]) -> list[Level]:
    return [*levels, *[_NO_LEVEL] * (DEPTH_LEVELS - len(levels))]

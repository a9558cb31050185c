"""Layout of the records that cross Redis: the one place where their columns are defined.

All numbers are little-endian. Prices are ten-thousandths of a rupee (or of an index point), exact; quantities are
units; times are nanoseconds since 1970 UTC. `ABSENT` stands for a value that is not known, which is different from
zero.
"""

from __future__ import annotations

import numpy as np

from server.domain.prices import ABSENT
from server.domain.prices import SCALE as PRICE_SCALE

__all__ = [
    "ABSENT",
    "BAR",
    "BAR_CLOSED",
    "BAR_PARTIAL",
    "DEPTH",
    "DEPTH_LEVELS",
    "M2M",
    "M2M_COMPLETE",
    "M2M_LEG",
    "PRICE_SCALE",
    "TICK",
]

DEPTH_LEVELS = 5

TICK = np.dtype(
    [
        ("instrument", "<i4"),
        ("reserved", "<i4"),
        ("event_time", "<i8"),
        ("row", "<i8"),
        ("last_price", "<i8"),
        ("last_quantity", "<i8"),
        ("volume", "<i8"),
        ("open_interest", "<i8"),
        ("bid_price", "<i8"),
        ("bid_quantity", "<i8"),
        ("ask_price", "<i8"),
        ("ask_quantity", "<i8"),
    ]
)
"""One tick. `volume` is the day's cumulative volume; `row`, its number in the source, orders ticks of one event
time."""

_SIDE = [("price", "<i8"), ("quantity", "<i8"), ("orders", "<i8")]

DEPTH = np.dtype(
    [
        ("instrument", "<i4"),
        ("reserved", "<i4"),
        ("event_time", "<i8"),
        ("row", "<i8"),
        ("bids", _SIDE, (DEPTH_LEVELS,)),
        ("asks", _SIDE, (DEPTH_LEVELS,)),
    ]
)
"""The five best levels of each side, best first; missing levels have `ABSENT` prices."""

BAR_PARTIAL = 1
"""The bar does not cover its whole time: the feed began within it."""
BAR_CLOSED = 2
"""Market time has passed the bar's end."""

BAR = np.dtype(
    [
        ("instrument", "<i4"),
        ("flags", "<i4"),
        ("open_time", "<i8"),
        ("open", "<i8"),
        ("high", "<i8"),
        ("low", "<i8"),
        ("close", "<i8"),
        ("volume", "<i8"),
        ("open_interest", "<i8"),
    ]
)
"""A 1-minute bar as published. `volume` is that minute's, absent for an index."""

M2M_COMPLETE = 1
"""Every open leg has a fresh price."""

M2M = np.dtype(
    [
        ("strategy", "<i8"),
        ("flags", "<i4"),
        ("legs", "<i4"),
        ("market_time", "<i8"),
        ("m2m", "<i8"),
        ("premium_flow", "<i8"),
    ]
)
"""The mark-to-market of one strategy (by its number); `legs` rows of `M2M_LEG` follow in the companion array."""

M2M_LEG = np.dtype(
    [
        ("leg", "<i8"),
        ("flags", "<i4"),
        ("reserved", "<i4"),
        ("last_time", "<i8"),
        ("last_price", "<i8"),
        ("m2m", "<i8"),
    ]
)
"""One leg (by its number) of the strategy sample beside it. Flag 1: its price is fresh."""

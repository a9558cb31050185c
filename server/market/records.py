"""Layout of the records that cross Redis: the one place where their columns are defined.

All numbers are little-endian. Prices are ten-thousandths of a rupee (or of an index point), exact; quantities are
units; times are nanoseconds since 1970 UTC. `ABSENT` stands for a value that is not known, which is different from
zero.
"""

from __future__ import annotations

import numpy as np

from server.domain.options.greeks import NAMES as GREEKS
from server.domain.prices import ABSENT
from server.domain.prices import SCALE as PRICE_SCALE

__all__ = [
    "ABSENT",
    "BAR",
    "BAR_CLOSED",
    "BAR_PARTIAL",
    "BOOK_SUMMARY",
    "CHAIN_CONTRACT",
    "CHAIN_ROW",
    "CONTRACT_LISTED",
    "CONTRACT_STALE",
    "CONTRACT_WITHHELD",
    "DEPTH",
    "DEPTH_LEVELS",
    "M2M",
    "M2M_COMPLETE",
    "M2M_LEG",
    "MINUTE_CONTRACT",
    "MINUTE_ROW",
    "OPEN_INTEREST_REPORT",
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

OPEN_INTEREST_REPORT = np.dtype([("instrument", "<i4"), ("reserved", "<i4"), ("event_time", "<i8"), ("change", "<i8")])
"""A feed's own figure: change of open interest against the previous day's close, units, as the exchange published
it at that time."""

CONTRACT_LISTED = 1
"""There is such a contract. Without it the other columns say nothing."""
CONTRACT_STALE = 2
"""Its last price is too old to be valued by: volatility and Greeks are absent."""
CONTRACT_WITHHELD = 4
"""A figure of it violated an invariant and was withheld."""

CHAIN_CONTRACT = np.dtype(
    [
        ("instrument", "<i4"),
        ("flags", "<i4"),
        ("event_time", "<i8"),
        ("last_price", "<i8"),
        ("volume", "<i8"),
        ("open_interest", "<i8"),
        ("previous_open_interest", "<i8"),
        ("exchange_oi_change", "<i8"),
        ("bid_price", "<i8"),
        ("bid_quantity", "<i8"),
        ("ask_price", "<i8"),
        ("ask_quantity", "<i8"),
        ("liquidity_score", "<f8"),
        ("volatility", "<f8"),
        *((name, "<f8") for name in GREEKS),
    ]
)
"""One option of a chain. Integers as in `TICK`; `event_time` and prices are `ABSENT` before its first tick of the run.

`previous_open_interest` is the previous trading day's last. `liquidity_score`, 0 to 100, is of all levels of the newest
order book, NaN when that is older than a price may be. Volatility is a fraction a year and NaN when it cannot be known;
so are the Greeks, which have the units of `server.domain.options.greeks`.
"""

CHAIN_ROW = np.dtype([("strike", "<i8"), ("call", CHAIN_CONTRACT), ("put", CHAIN_CONTRACT)])
"""One listed strike of a chain with both sides."""

BOOK_SUMMARY = np.dtype(
    [
        ("spread", "<f8"),
        ("spread_pct", "<f8"),
        ("imbalance_pct", "<f8"),
        ("pressure", "<f8"),
        ("microprice", "<f8"),
        ("score", "<f8"),
    ]
)
"""Liquidity of one contract by its newest order book of the minute: rupees, per cent, -100 to 100, -1 to 1, rupees,
0 to 100. All NaN when no book came; where a side was empty its score is 0 and what needs both sides is NaN."""

_FIRST_ORDER = ("volatility", *GREEKS[:5])

MINUTE_CONTRACT = np.dtype(
    [
        ("instrument", "<i4"),
        ("samples", "<i4"),
        ("close", "<i8"),
        ("volume", "<i8"),
        ("open_interest", "<i8"),
        *((f"{name}_sum", "<f8") for name in _FIRST_ORDER),
        *((f"{name}_count", "<i4") for name in _FIRST_ORDER),
        *((f"{name}_last", "<f8") for name in ("volatility", *GREEKS)),
        ("book", BOOK_SUMMARY),
    ]
)
"""One option over one minute. `samples` is how often its chain was valued; a sum has its own count of valid samples.

`close`, `volume` (of the minute) and `open_interest` are the chain's at the minute's end. `_last` is the last valid
sample, NaN without one. `instrument` is 0 where there is no such contract.
"""

MINUTE_ROW = np.dtype([("strike", "<i8"), ("call", MINUTE_CONTRACT), ("put", MINUTE_CONTRACT)])
"""One strike of a chain over one minute, both sides."""

"""Units of one contract, as a daily file itself tells them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

import numpy as np

from server.domain.prices import SCALE
from server.market.feeds.replay.day_rows import DayRows
from server.market.records import ABSENT

_ROUNDED: Final = 1_000
"""Rupees by which a turnover in lakhs, of two decimals, can be wrong."""


def lot_of(rows: DayRows) -> int | None:
    """The lot size that the rows of one underlying's futures agree on; None when they do not tell one.

    Rows name it, or divide units by contracts, or leave one size that divides every open interest and that the
    turnover, over the contracts and a price between low and high, allows.
    """
    stated = set(rows["lot"][rows["lot"] > 0].tolist()) or set(_divided(rows))
    if not stated:
        stated = set(_by_turnover(rows))
    return stated.pop() if len(stated) == 1 else None


def _divided(rows: DayRows) -> Iterable[int]:
    traded = rows[(rows["volume"] > 0) & (rows["volume_contracts"] > 0)]
    units, rest = np.divmod(traded["volume"], traded["volume_contracts"])
    found: list[int] = units.tolist()
    return [] if rest.any() else found


def _by_turnover(rows: DayRows) -> Iterable[int]:
    traded = rows[(rows["turnover"] != ABSENT) & (rows["volume_contracts"] > 0) & (rows["low"] > 0)]
    interests = rows["open_interest"][rows["open_interest"] > 0].tolist()
    if not len(traded) or not interests:
        return []
    values, contracts = traded["turnover"].astype(np.float64), traded["volume_contracts"].astype(np.float64)
    smallest = ((values - _ROUNDED) / contracts / (traded["high"] / SCALE)).max()
    largest = ((values + _ROUNDED) / contracts / (traded["low"] / SCALE)).min()
    common = math.gcd(*interests)
    return [size for size in range(math.ceil(smallest), math.floor(largest) + 1) if size > 0 and common % size == 0]

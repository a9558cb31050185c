"""What an order of a certain size would do to the price, and at which price to wait instead."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from server.domain.depth import Books, FloatArray, rupees
from server.domain.liquidity import SpreadClass, spread_class


class OrderSide(StrEnum):
    """A buyer takes the offers, a seller the bids."""

    BUY = "BUY"
    SELL = "SELL"


class ImpactLevel(StrEnum):
    """By impact in basis points of the mid: LOW below 10, MODERATE below 30, HIGH below 50."""

    LOW = "LOW"
    MODERATE = "MODERATE"
    HIGH = "HIGH"
    VERY_HIGH = "VERY_HIGH"


@dataclass(frozen=True)
class Impact:
    """A market order sent into each of n books; NaN is absent.

    `available` (units) is what the book would fill. `average` (rupees) is the mean price of the whole quantity, NaN
    where the book does not hold so much. `amount` is average − mid, above 0 for a buyer and below 0 for a seller;
    `basis_points` is that in 1/10,000 of the mid; `cost` is what crossing costs in rupees, at or above 0. `levels` is
    how many levels are touched.
    """

    available: FloatArray
    average: FloatArray
    amount: FloatArray
    basis_points: FloatArray
    cost: FloatArray
    levels: NDArray[np.int64]


def market_impact(books: Books, side: OrderSide, quantity: ArrayLike) -> Impact:
    """Walks the opposite side of each book with a quantity in units, above 0."""
    levels = books.asks if side is OrderSide.BUY else books.bids
    wanted = np.broadcast_to(np.asarray(quantity, np.float64), (len(books),))
    before = np.cumsum(levels.quantity, axis=1) - levels.quantity
    taken = np.clip(wanted[:, None] - before, 0.0, levels.quantity)
    filled = taken.sum(axis=1)
    paid = rupees((np.nan_to_num(levels.price) * taken).sum(axis=1))
    complete = (filled >= wanted) & (wanted > 0.0)
    units = np.where(complete, wanted, np.nan)
    # Twice the excess over the mid: sums of prices, which the half of a mid is not.
    excess = rupees(2.0 * paid - 2.0 * books.mid * units) / 2.0
    amount = excess / units
    touched = np.count_nonzero(taken > 0.0, axis=1)
    return Impact(filled, paid / units, amount, amount / books.mid * 10_000.0, np.abs(excess), touched)


def impact_level(basis_points: float | None) -> ImpactLevel:
    """The level of an impact of either sign; VERY_HIGH where the book does not hold so much."""
    if basis_points is None or np.isnan(basis_points):
        return ImpactLevel.VERY_HIGH
    size = abs(basis_points)
    if size < 10.0:
        return ImpactLevel.LOW
    if size < 30.0:
        return ImpactLevel.MODERATE
    return ImpactLevel.HIGH if size < 50.0 else ImpactLevel.VERY_HIGH


def limit_price(books: Books, side: OrderSide, tick: Decimal, row: int = 0) -> Decimal | None:
    """A price to wait at: the other side's best when the spread is tight, the microprice when normal, else the mid.

    A multiple of the tick (rupees, above 0), rounded away from the other side: down for a buyer, up for a seller. None
    without a spread.
    """
    kind = spread_class(float(books.spread_percent[row]))
    if kind is None:
        return None
    if kind is SpreadClass.TIGHT:
        touch = books.asks.best_price if side is OrderSide.BUY else books.bids.best_price
        return _to_tick(float(touch[row]), tick, side)
    middle = books.microprice if kind is SpreadClass.NORMAL else books.mid
    return _to_tick(float(middle[row]), tick, side)


def _to_tick(price: float, tick: Decimal, side: OrderSide) -> Decimal:
    exact = Decimal(repr(round(price, 6)))
    rounding = ROUND_FLOOR if side is OrderSide.BUY else ROUND_CEILING
    return (exact / tick).to_integral_value(rounding) * tick

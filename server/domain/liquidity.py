"""How well an instrument can be traded: a score, its tier, the class of its spread, and warnings."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from server.domain.depth import Books, FloatArray

USUAL_DEPTH: Final = 1_000.0
"""Units in both sides together that count as deep, where neither lot size nor a neighbour's depth is known."""

WIDE_SPREAD: Final = 0.5
THIN_DEPTH: Final = 500.0
FEW_ORDERS: Final = 50.0
UNBALANCED: Final = 20.0
SMALL_TOUCH: Final = 50.0

_LOTS_OF_DEPTH: Final = 100.0
_SPREAD_WEIGHT, _DEPTH_WEIGHT, _ORDER_WEIGHT, _BALANCE_WEIGHT = 0.40, 0.30, 0.20, 0.10


class LiquidityTier(StrEnum):
    """By score: HIGH from 80, MEDIUM from 60, LOW from 40."""

    HIGH = "HIGH"
    MEDIUM = "MEDIUM"
    LOW = "LOW"
    ILLIQUID = "ILLIQUID"


class SpreadClass(StrEnum):
    """By spread in per cent of the mid: TIGHT below 0.2, NORMAL below 0.5, WIDE below 1."""

    TIGHT = "TIGHT"
    NORMAL = "NORMAL"
    WIDE = "WIDE"
    VERY_WIDE = "VERY_WIDE"


class LiquidityFlag(StrEnum):
    """Warnings about one book."""

    EMPTY_SIDE = "EMPTY_SIDE"
    WIDE_SPREAD = "WIDE_SPREAD"
    THIN_DEPTH = "THIN_DEPTH"
    FEW_ORDERS = "FEW_ORDERS"
    UNBALANCED = "UNBALANCED"
    SMALL_TOUCH = "SMALL_TOUCH"


@dataclass(frozen=True)
class LiquidityScale:
    """What scores are measured by.

    `tick` in rupees: a spread of one tick is as tight as it can be and costs nothing. `depth` in units: a book of that
    quantity in both sides together is deep; the best measure is the depth at the money of the same underlying.
    """

    tick: ArrayLike = 0.0
    depth: ArrayLike = USUAL_DEPTH

    @classmethod
    def of_lots(cls, tick: ArrayLike, lot_size: ArrayLike) -> LiquidityScale:
        """Deep is a hundred lots."""
        return cls(tick, np.asarray(lot_size, np.float64) * _LOTS_OF_DEPTH)


def liquidity_score(books: Books, scale: LiquidityScale) -> FloatArray:
    """0 (no trade) to 100, for each book; 0 where a side is empty.

    40 % for the spread beyond one tick (gone at 0.5 % of the mid), 30 % for depth, 20 % for up to 100 orders, 10 % for
    balance (gone at 50 %). Where orders are not counted the rest is weighted up.
    """
    quantity = books.bids.total_quantity + books.asks.total_quantity
    orders = books.bids.total_orders + books.asks.total_orders
    excess = np.maximum(books.spread - np.asarray(scale.tick, np.float64) * (1.0 + 1e-9), 0.0) / books.mid * 100.0
    score = _SPREAD_WEIGHT * np.maximum(0.0, 100.0 - 200.0 * excess)
    score = score + _DEPTH_WEIGHT * np.minimum(quantity / np.asarray(scale.depth, np.float64), 1.0) * 100.0
    score = score + _BALANCE_WEIGHT * np.maximum(0.0, 100.0 - 2.0 * np.abs(books.imbalance_percent))
    counted = score + _ORDER_WEIGHT * np.minimum(orders, 100.0)
    complete = np.where(np.isnan(orders), score / (1.0 - _ORDER_WEIGHT), counted)
    return np.where(np.isnan(books.spread), 0.0, complete)


def liquidity_tier(score: float) -> LiquidityTier:
    """The tier of a score."""
    if score >= 80.0:
        return LiquidityTier.HIGH
    if score >= 60.0:
        return LiquidityTier.MEDIUM
    return LiquidityTier.LOW if score >= 40.0 else LiquidityTier.ILLIQUID


def spread_class(spread_percent: float | None) -> SpreadClass | None:
    """The class of a spread in per cent of the mid; None without a spread."""
    if spread_percent is None or np.isnan(spread_percent):
        return None
    if spread_percent < 0.2:
        return SpreadClass.TIGHT
    if spread_percent < 0.5:
        return SpreadClass.NORMAL
    return SpreadClass.WIDE if spread_percent < 1.0 else SpreadClass.VERY_WIDE


def liquidity_flags(books: Books, row: int = 0) -> tuple[LiquidityFlag, ...]:
    """The warnings about one of the books, in the order of `LiquidityFlag`."""
    orders = books.bids.total_orders[row] + books.asks.total_orders[row]
    quantity = books.bids.total_quantity[row] + books.asks.total_quantity[row]
    touch = min(books.bids.best_quantity[row], books.asks.best_quantity[row])
    raised = {
        LiquidityFlag.EMPTY_SIDE: touch == 0.0,
        LiquidityFlag.WIDE_SPREAD: books.spread_percent[row] > WIDE_SPREAD,
        LiquidityFlag.THIN_DEPTH: quantity < THIN_DEPTH,
        LiquidityFlag.FEW_ORDERS: orders < FEW_ORDERS,
        LiquidityFlag.UNBALANCED: abs(books.imbalance_percent[row]) > UNBALANCED,
        LiquidityFlag.SMALL_TOUCH: touch < SMALL_TOUCH,
    }
    return tuple(flag for flag, holds in raised.items() if holds)

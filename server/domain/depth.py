"""Analysis of order books, many at once: spread, mid, sizes and imbalance, side by side.

Feeds pad missing levels with zeros; such levels are dropped first, or a bid of 0 would pass for a price.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class BookSide:
    """One side of n books, (n, levels) each, best level first, real levels only and the dropped ones behind them.

    `price` in rupees is NaN, `quantity` (units) and `orders` are 0 where a level is missing. `orders` is NaN
    throughout where the source does not count them.
    """

    price: FloatArray
    quantity: FloatArray
    orders: FloatArray

    @classmethod
    def of(cls, price: ArrayLike, quantity: ArrayLike, orders: ArrayLike, *, descending: bool) -> BookSide:
        """Cleaned levels; anything without a price and a quantity above 0 is no level. Bids are descending."""
        prices, quantities, counts = np.broadcast_arrays(
            np.atleast_2d(np.asarray(price, np.float64)),
            np.asarray(quantity, np.float64),
            np.asarray(orders, np.float64),
        )
        real = (prices > 0.0) & (quantities > 0.0)
        rank = np.where(real, -prices if descending else prices, np.inf)
        order = np.argsort(rank, axis=1, kind="stable")
        sort = np.take_along_axis
        return cls(
            sort(np.where(real, prices, np.nan), order, 1),
            sort(np.where(real, quantities, 0.0), order, 1),
            sort(np.where(real, counts, np.where(np.isnan(counts), np.nan, 0.0)), order, 1),
        )

    @cached_property
    def best_price(self) -> FloatArray:
        """Rupees; NaN on an empty side."""
        return self.price[:, 0]

    @cached_property
    def best_quantity(self) -> FloatArray:
        """Units; 0 on an empty side."""
        return self.quantity[:, 0]

    @cached_property
    def total_quantity(self) -> FloatArray:
        """Units of all levels."""
        return _row_sums(self.quantity)

    @cached_property
    def total_orders(self) -> FloatArray:
        """Number of orders of all levels; NaN where the source does not count them."""
        return _row_sums(self.orders)

    @cached_property
    def value(self) -> FloatArray:
        """Σ price × quantity, rupees."""
        return rupees(_row_sums(np.nan_to_num(self.price) * self.quantity))

    @cached_property
    def levels(self) -> NDArray[np.int64]:
        """Number of real levels."""
        return np.asarray(np.count_nonzero(self.quantity > 0.0, axis=1), np.int64)

    def mean_order(self) -> FloatArray:
        """Units an order; NaN without orders."""
        return _ratio(self.total_quantity, self.total_orders)

    def concentration(self, levels: int) -> FloatArray:
        """Share (0 to 1) of the quantity in the best levels; NaN on an empty side."""
        return _ratio(_row_sums(self.quantity[:, :levels]), self.total_quantity)


@dataclass(frozen=True)
class Books:
    """n order books and what they say. NaN is absent; a book with an empty side, or crossed, has no spread."""

    bids: BookSide
    asks: BookSide

    @classmethod
    def of(
        cls,
        *,
        bid_price: ArrayLike,
        bid_quantity: ArrayLike,
        ask_price: ArrayLike,
        ask_quantity: ArrayLike,
        bid_orders: ArrayLike = np.nan,
        ask_orders: ArrayLike = np.nan,
    ) -> Books:
        """Books of (n, levels) columns, or one book of (levels,) columns; prices in rupees."""
        return cls(
            BookSide.of(bid_price, bid_quantity, bid_orders, descending=True),
            BookSide.of(ask_price, ask_quantity, ask_orders, descending=False),
        )

    def __len__(self) -> int:
        return len(self.bids.price)

    @cached_property
    def spread(self) -> FloatArray:
        """Best ask − best bid, rupees, above 0."""
        distance = rupees(self.asks.best_price - self.bids.best_price)
        return np.where(distance > 0.0, distance, np.nan)

    @cached_property
    def mid(self) -> FloatArray:
        """The middle of best bid and best ask, rupees."""
        middle = rupees(self.bids.best_price + self.asks.best_price) / 2.0
        return np.where(np.isnan(self.spread), np.nan, middle)

    @cached_property
    def spread_percent(self) -> FloatArray:
        """Spread in per cent of the mid."""
        return self.spread / self.mid * 100.0

    @cached_property
    def microprice(self) -> FloatArray:
        """Mid weighted by the size of the other side: nearer to the bid when more is offered than bid for."""
        bids, asks = self.bids, self.asks
        weighted = bids.best_price * asks.best_quantity + asks.best_price * bids.best_quantity
        return np.where(np.isnan(self.spread), np.nan, _ratio(weighted, bids.best_quantity + asks.best_quantity))

    @cached_property
    def imbalance(self) -> FloatArray:
        """Bid quantity − ask quantity, units."""
        return self.bids.total_quantity - self.asks.total_quantity

    @cached_property
    def imbalance_percent(self) -> FloatArray:
        """Imbalance in per cent of both sides, −100 to 100, above 0 when more is bid for; NaN on an empty book."""
        return _ratio(self.imbalance, self.bids.total_quantity + self.asks.total_quantity) * 100.0

    @cached_property
    def quantity_ratio(self) -> FloatArray:
        """Bid quantity over ask quantity; NaN where nothing is offered."""
        return _ratio(self.bids.total_quantity, self.asks.total_quantity)

    @cached_property
    def order_ratio(self) -> FloatArray:
        """Number of bids over number of offers; NaN where it is not known or nothing is offered."""
        return _ratio(self.bids.total_orders, self.asks.total_orders)

    @cached_property
    def pressure(self) -> FloatArray:
        """Imbalance as a share, −1 to 1; beyond ±0.15 it is strong."""
        return self.imbalance_percent / 100.0


def rupees(values: FloatArray) -> FloatArray:
    """Differences and sums of prices without the noise of binary fractions: prices have at most four decimals."""
    return np.asarray(np.round(values, 4), np.float64)


def _ratio(upper: FloatArray, lower: FloatArray) -> FloatArray:
    with np.errstate(all="ignore"):
        return np.where(lower > 0.0, upper / lower, np.nan)


def _row_sums(values: FloatArray) -> FloatArray:
    return np.asarray(values.sum(axis=1), np.float64)

"""Order books and their analyses as messages of the contract, many at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Final

import numpy as np
from numpy.typing import NDArray

from server.domain.depth import Books, BookSide, FloatArray
from server.domain.instruments import Instrument
from server.domain.liquidity import LiquidityScale, liquidity_flags, liquidity_score, liquidity_tier, spread_class
from server.domain.market_impact import Impact, OrderSide, impact_level, limit_price, market_impact
from server.market.records import ABSENT, PRICE_SCALE
from strikeline.v1 import depth_pb2, leg_pb2, quote_pb2

Rows = NDArray[np.void]

QUANTITIES: Final = (100, 500)
"""Units of the orders whose impact is told when none are asked for."""

_SIDES: Final = ((OrderSide.BUY, leg_pb2.SIDE_BUY), (OrderSide.SELL, leg_pb2.SIDE_SELL))
_UNKNOWN_TICK: Final = Decimal("0.01")
"""Rounding of passive prices where the register knows no tick size, as for an index."""


def books_of_records(depths: Rows) -> Books:
    """Books from records of the dtype DEPTH, one each."""
    sides = []
    for name in ("bids", "asks"):
        levels = depths[name]
        missing = levels["price"] == ABSENT
        price = np.where(missing, 0.0, levels["price"] / PRICE_SCALE)
        quantity, orders = (np.where(missing, 0, levels[column]) for column in ("quantity", "orders"))
        sides.append((price, quantity, orders))
    return _books(*sides)


def books_of_message(depth: quote_pb2.Depth | depth_pb2.OrderBook) -> Books:
    """One book from a message."""
    sides = []
    for levels in (depth.bids, depth.asks):
        rows = [(level.price, level.quantity, level.orders) for level in levels] or [(0.0, 0, 0)]
        price, quantity, orders = np.array(rows, np.float64).T[:, np.newaxis, :]
        sides.append((price, quantity, orders))
    return _books(*sides)


Columns = tuple[FloatArray, FloatArray, FloatArray]


def _books(bids: Columns, asks: Columns) -> Books:
    # A source that does not count orders says 0 at every level of a book.
    counted = np.logical_or(bids[2].any(axis=1), asks[2].any(axis=1))
    clean = []
    for (price, quantity, orders), descending in ((bids, True), (asks, False)):
        known = np.where(np.expand_dims(counted, 1), orders, np.nan)
        clean.append(BookSide.of(price, quantity, known, descending=descending))
    return Books(*clean)


def depth_of(books: Books, row: int = 0) -> quote_pb2.Depth:
    """One of the books without padded levels."""
    return quote_pb2.Depth(bids=_levels(books.bids, row), asks=_levels(books.asks, row))


def _levels(side: BookSide, row: int) -> Iterator[quote_pb2.DepthLevel]:
    for place in range(int(side.levels[row])):
        orders = side.orders[row, place]
        yield quote_pb2.DepthLevel(
            price=float(side.price[row, place]),
            quantity=int(side.quantity[row, place]),
            orders=0 if np.isnan(orders) else int(orders),
        )


class DepthAnalyses:
    """Analyses of n books of n instruments. What concerns all of them is computed once, here."""

    def __init__(self, instruments: Sequence[Instrument], books: Books, quantities: Sequence[int] = QUANTITIES) -> None:
        self._instruments = instruments
        self._books = books
        ticks = np.array([float(instrument.tick_size) for instrument in instruments])
        # A share is no lot: its depth is measured by the usual one.
        depths = [_scale(instrument) for instrument in instruments]
        self._scores = liquidity_score(books, LiquidityScale(ticks, np.array(depths)))
        self._impacts = [
            (market_impact(books, side, quantity), name, quantity) for quantity in quantities for side, name in _SIDES
        ]

    def message(self, row: int = 0) -> depth_pb2.DepthAnalysis:
        """What one of the books says. `event_time` and `stale` are the caller's to set."""
        books, instrument = self._books, self._instruments[row]
        message = depth_pb2.DepthAnalysis(
            instrument=instrument.key,
            depth=depth_of(books, row),
            bids=_side(books.bids, row),
            asks=_side(books.asks, row),
            liquidity=self._liquidity(row),
            impacts=[_impact(impact, row, name, quantity) for impact, name, quantity in self._impacts],
        )
        if not np.isnan(books.spread[row]):
            message.spread.CopyFrom(_spread(books, row))
            _set_passive_prices(message, books, row, instrument.tick_size or _UNKNOWN_TICK)
        if not np.isnan(books.imbalance_percent[row]):
            message.balance.CopyFrom(_balance(books, row))
        return message

    def _liquidity(self, row: int) -> depth_pb2.DepthLiquidity:
        score = float(self._scores[row])
        return depth_pb2.DepthLiquidity(
            score=score,
            tier=depth_pb2.LiquidityTier.Value(f"LIQUIDITY_TIER_{liquidity_tier(score)}"),
            flags=[
                depth_pb2.LiquidityFlag.Value(f"LIQUIDITY_FLAG_{flag}") for flag in liquidity_flags(self._books, row)
            ],
        )


def _scale(instrument: Instrument) -> float:
    if instrument.lot_size <= 1:
        return float(np.asarray(LiquidityScale().depth))
    return float(np.asarray(LiquidityScale.of_lots(0.0, instrument.lot_size).depth))


def _spread(books: Books, row: int) -> depth_pb2.DepthSpread:
    percent = float(books.spread_percent[row])
    return depth_pb2.DepthSpread(
        best_bid=float(books.bids.best_price[row]),
        best_ask=float(books.asks.best_price[row]),
        spread=float(books.spread[row]),
        spread_pct=percent,
        mid_price=float(books.mid[row]),
        microprice=float(books.microprice[row]),
        spread_class=depth_pb2.SpreadClass.Value(f"SPREAD_CLASS_{spread_class(percent)}"),
    )


def _side(side: BookSide, row: int) -> depth_pb2.DepthSide:
    orders = _known(side.total_orders, row)
    return depth_pb2.DepthSide(
        levels=int(side.levels[row]),
        best_quantity=int(side.best_quantity[row]),
        total_quantity=int(side.total_quantity[row]),
        total_value=float(side.value[row]),
        total_orders=None if orders is None else int(orders),
        mean_order=_known(side.mean_order(), row),
        top1_share=_known(side.concentration(1), row),
        top3_share=_known(side.concentration(3), row),
        top5_share=_known(side.concentration(5), row),
    )


def _balance(books: Books, row: int) -> depth_pb2.DepthBalance:
    return depth_pb2.DepthBalance(
        imbalance=int(books.imbalance[row]),
        imbalance_pct=float(books.imbalance_percent[row]),
        pressure=float(books.pressure[row]),
        quantity_ratio=_known(books.quantity_ratio, row),
        order_ratio=_known(books.order_ratio, row),
        value_imbalance=float(books.bids.value[row] - books.asks.value[row]),
    )


def _impact(impact: Impact, row: int, side: leg_pb2.Side.ValueType, quantity: int) -> depth_pb2.MarketImpact:
    points = _known(impact.basis_points, row)
    return depth_pb2.MarketImpact(
        side=side,
        quantity=quantity,
        available=int(impact.available[row]),
        levels=int(impact.levels[row]),
        average_price=_known(impact.average, row),
        amount=_known(impact.amount, row),
        basis_points=points,
        cost=_known(impact.cost, row),
        level=depth_pb2.ImpactLevel.Value(f"IMPACT_LEVEL_{impact_level(points)}"),
    )


def _set_passive_prices(message: depth_pb2.DepthAnalysis, books: Books, row: int, tick: Decimal) -> None:
    buy, sell = (limit_price(books, side, tick, row) for side in (OrderSide.BUY, OrderSide.SELL))
    if buy is not None and sell is not None:
        message.passive_buy_price, message.passive_sell_price = float(buy), float(sell)


def _known(values: FloatArray, row: int) -> float | None:
    value = float(values[row])
    return None if np.isnan(value) else value

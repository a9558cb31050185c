"""The analysis of order books as messages of the contract."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final

import numpy as np

from server.domain.depth import Books, BookSide
from server.domain.errors import FailedPrecondition, FieldViolation
from server.domain.instruments import Instrument
from server.domain.liquidity import (
    LiquidityScale,
    liquidity_flags,
    liquidity_score,
    liquidity_tier,
    spread_class,
)
from server.domain.market_impact import Impact, OrderSide, impact_level, limit_price, market_impact
from server.market.hub.quotes import Quote
from server.services.converters_market import depth_message
from server.services.times import NANOSECONDS
from strikeline.v1 import depth_pb2, leg_pb2, quote_pb2

QUANTITIES: Final = (100, 500)
"""Units of the orders whose impact is told when none are asked for."""

USUAL_AGE: Final = 60 * NANOSECONDS
"""Greatest age of a feed's book when the request does not say, nanoseconds of market time."""

_SIDES: Final = ((OrderSide.BUY, leg_pb2.SIDE_BUY), (OrderSide.SELL, leg_pb2.SIDE_SELL))
_UNKNOWN_TICK: Final = Decimal("0.01")
"""Rounding of passive prices where the register knows no tick size, as for an index."""


def depth_analysis(
    instrument: Instrument, depth: quote_pb2.Depth, quantities: Sequence[int] = QUANTITIES
) -> depth_pb2.DepthAnalysis:
    """What a book says. `event_time` and `stale` are the caller's to set."""
    books = _books(depth)
    message = depth_pb2.DepthAnalysis(
        instrument=instrument.key,
        depth=quote_pb2.Depth(bids=_levels(books.bids), asks=_levels(books.asks)),
        bids=_side(books.bids),
        asks=_side(books.asks),
        liquidity=_liquidity(books, instrument),
        impacts=_impacts(books, quantities),
    )
    if not np.isnan(books.spread[0]):
        message.spread.CopyFrom(_spread(books))
        _set_passive_prices(message, books, instrument)
    if not np.isnan(books.imbalance_percent[0]):
        message.balance.CopyFrom(_balance(books))
    return message


def fresh_depth(
    instrument: Instrument, quote: Quote | None, market_time: int, bound: int
) -> tuple[quote_pb2.Depth, int]:
    """The feed's newest book and its event time (nanoseconds). `bound` is its greatest age in nanoseconds.

    Raises FailedPrecondition (PRICE_UNAVAILABLE) when there is none, or none that is young enough.
    """
    if quote is None or quote.depth_time is None:
        raise _unavailable(instrument, "the feed sent no order book of it")
    age = market_time - quote.depth_time
    if age > bound:
        raise _unavailable(instrument, f"its order book is {age / NANOSECONDS:.1f} s old")
    return depth_message(quote), quote.depth_time


def _unavailable(instrument: Instrument, why: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"{instrument.key}: {why}",
        reason="PRICE_UNAVAILABLE",
        metadata={"instruments": instrument.key},
        violations=(FieldViolation("instrument", why),),
    )


def _books(depth: quote_pb2.Depth) -> Books:
    bids, asks = (
        [(level.price, level.quantity, level.orders) for level in side] or [(0.0, 0, 0)]
        for side in (depth.bids, depth.asks)
    )
    bid_price, bid_quantity, bid_orders = np.array(bids, np.float64).T
    ask_price, ask_quantity, ask_orders = np.array(asks, np.float64).T
    # A source that does not count orders says 0 at every level.
    counted = bid_orders.any() or ask_orders.any()
    return Books(
        BookSide.of(bid_price, bid_quantity, bid_orders if counted else np.nan, descending=True),
        BookSide.of(ask_price, ask_quantity, ask_orders if counted else np.nan, descending=False),
    )


def _levels(side: BookSide) -> Iterable[quote_pb2.DepthLevel]:
    for place in range(int(side.levels[0])):
        orders = side.orders[0, place]
        yield quote_pb2.DepthLevel(
            price=float(side.price[0, place]),
            quantity=int(side.quantity[0, place]),
            orders=0 if np.isnan(orders) else int(orders),
        )


def _spread(books: Books) -> depth_pb2.DepthSpread:
    percent = float(books.spread_percent[0])
    return depth_pb2.DepthSpread(
        best_bid=float(books.bids.best_price[0]),
        best_ask=float(books.asks.best_price[0]),
        spread=float(books.spread[0]),
        spread_pct=percent,
        mid_price=float(books.mid[0]),
        microprice=float(books.microprice[0]),
        spread_class=depth_pb2.SpreadClass.Value(f"SPREAD_CLASS_{spread_class(percent)}"),
    )


def _side(side: BookSide) -> depth_pb2.DepthSide:
    orders = _known(side.total_orders)
    return depth_pb2.DepthSide(
        levels=int(side.levels[0]),
        best_quantity=int(side.best_quantity[0]),
        total_quantity=int(side.total_quantity[0]),
        total_value=float(side.value[0]),
        total_orders=None if orders is None else int(orders),
        mean_order=_known(side.mean_order()),
        top1_share=_known(side.concentration(1)),
        top3_share=_known(side.concentration(3)),
        top5_share=_known(side.concentration(5)),
    )


def _balance(books: Books) -> depth_pb2.DepthBalance:
    return depth_pb2.DepthBalance(
        imbalance=int(books.imbalance[0]),
        imbalance_pct=float(books.imbalance_percent[0]),
        pressure=float(books.pressure[0]),
        quantity_ratio=_known(books.quantity_ratio),
        order_ratio=_known(books.order_ratio),
        value_imbalance=float(books.bids.value[0] - books.asks.value[0]),
    )


def _liquidity(books: Books, instrument: Instrument) -> depth_pb2.DepthLiquidity:
    score = float(liquidity_score(books, _scale(instrument))[0])
    return depth_pb2.DepthLiquidity(
        score=score,
        tier=depth_pb2.LiquidityTier.Value(f"LIQUIDITY_TIER_{liquidity_tier(score)}"),
        flags=[depth_pb2.LiquidityFlag.Value(f"LIQUIDITY_FLAG_{flag}") for flag in liquidity_flags(books)],
    )


def _scale(instrument: Instrument) -> LiquidityScale:
    tick = float(instrument.tick_size)
    # A share is no lot: its depth is measured by the usual one.
    return LiquidityScale.of_lots(tick, instrument.lot_size) if instrument.lot_size > 1 else LiquidityScale(tick)


def _impacts(books: Books, quantities: Sequence[int]) -> Iterable[depth_pb2.MarketImpact]:
    for quantity in quantities:
        for side, name in _SIDES:
            yield _impact(market_impact(books, side, quantity), name, quantity)


def _impact(impact: Impact, side: leg_pb2.Side.ValueType, quantity: int) -> depth_pb2.MarketImpact:
    points = _known(impact.basis_points)
    return depth_pb2.MarketImpact(
        side=side,
        quantity=quantity,
        available=int(impact.available[0]),
        levels=int(impact.levels[0]),
        average_price=_known(impact.average),
        amount=_known(impact.amount),
        basis_points=points,
        cost=_known(impact.cost),
        level=depth_pb2.ImpactLevel.Value(f"IMPACT_LEVEL_{impact_level(points)}"),
    )


def _set_passive_prices(message: depth_pb2.DepthAnalysis, books: Books, instrument: Instrument) -> None:
    tick = instrument.tick_size or _UNKNOWN_TICK
    buy, sell = limit_price(books, OrderSide.BUY, tick), limit_price(books, OrderSide.SELL, tick)
    if buy is not None and sell is not None:
        message.passive_buy_price, message.passive_sell_price = float(buy), float(sell)


def _known(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float | None:
    value = float(values[0])
    return None if np.isnan(value) else value

"""Order books: the three of the requirements, and what must not pass for a book."""

import math
from decimal import Decimal

import numpy as np
import pytest

from server.domain.depth import Books
from server.domain.liquidity import (
    LiquidityFlag,
    LiquidityScale,
    LiquidityTier,
    SpreadClass,
    liquidity_flags,
    liquidity_score,
    liquidity_tier,
    spread_class,
)
from server.domain.market_impact import ImpactLevel, OrderSide, impact_level, limit_price, market_impact

NAN = math.nan
DOWN = np.array([0.0, -0.5, -1.0, -1.5, -2.0])


def orders(total: float) -> list[float]:
    return [total - 4.0, 1.0, 1.0, 1.0, 1.0]


LIQUID = Books.of(
    bid_price=25_600.0 + DOWN,
    bid_quantity=[750, 1500, 2000, 1000, 1250],
    bid_orders=orders(115),
    ask_price=25_600.5 - DOWN,
    ask_quantity=[1000, 1750, 1500, 2000, 1250],
    ask_orders=orders(122),
)
ILLIQUID = Books.of(
    bid_price=45.0 + DOWN,
    bid_quantity=[25, 50, 75, 25, 50],
    bid_orders=orders(9),
    ask_price=46.5 - DOWN,
    ask_quantity=[50, 75, 50, 100, 50],
    ask_orders=orders(13),
)
PRESSED = Books.of(
    bid_price=25_600.0 + DOWN,
    bid_quantity=[2000, 3000, 2500, 2000, 1500],
    bid_orders=orders(209),
    ask_price=25_600.5 - DOWN,
    ask_quantity=[500, 750, 600, 800, 500],
    ask_orders=orders(59),
)
BOOKS = {"liquid": LIQUID, "illiquid": ILLIQUID, "pressed": PRESSED}
FUTURE_SCALE = LiquidityScale.of_lots(0.05, 65)
OPTION_SCALE = LiquidityScale.of_lots(0.05, 65)


def one_sided() -> Books:
    return Books.of(bid_price=[45.0, 0.0], bid_quantity=[75, 0], ask_price=[0.0, 0.0], ask_quantity=[0, 0])


@pytest.mark.parametrize(
    ("book", "spread", "percent", "mid", "microprice"),
    [
        ("liquid", 0.50, 0.00195, 25_600.25, 25_600.2143),
        ("illiquid", 1.50, 3.2787, 45.75, 45.50),
        ("pressed", 0.50, 0.00195, 25_600.25, 25_600.40),
    ],
)
def test_prices_of_the_books(book: str, spread: float, percent: float, mid: float, microprice: float) -> None:
    found = BOOKS[book]

    assert found.spread[0] == spread
    assert found.spread_percent[0] == pytest.approx(percent, abs=5e-5)
    assert found.mid[0] == mid
    assert found.microprice[0] == pytest.approx(microprice, abs=5e-5)


def test_rupees_have_no_noise_of_binary_fractions() -> None:
    book = Books.of(
        bid_price=[25_600.3, 25_600.1], bid_quantity=[65, 130], ask_price=[25_622.7, 25_622.9], ask_quantity=[65, 130]
    )
    buy = market_impact(book, OrderSide.BUY, 65)

    assert (book.spread[0], book.mid[0]) == (22.4, 25_611.5)
    assert (buy.amount[0], buy.cost[0], buy.average[0]) == (11.2, 728.0, 25_622.7)
    assert book.bids.value[0] == 4_992_032.5


@pytest.mark.parametrize(("bid", "ask"), [(0.05, 0.1), (100.0001, 100.0002), (25_600.05, 25_600.1)])
def test_the_half_of_a_spread_is_exact(bid: float, ask: float) -> None:
    book = Books.of(bid_price=[bid], bid_quantity=[75], ask_price=[ask], ask_quantity=[75])
    exact = Decimal(str(ask)) - Decimal(str(bid))

    impacts = [market_impact(book, side, 75) for side in OrderSide]

    assert book.spread[0] == float(exact)
    assert [impact.cost[0] for impact in impacts] == [float(exact * 75 / 2)] * 2


@pytest.mark.parametrize(
    ("book", "quantities", "counts", "imbalance", "percent"),
    [
        ("liquid", (6_500, 7_500), (115, 122), -1_000, -7.14),
        ("illiquid", (225, 325), (9, 13), -100, -18.18),
        ("pressed", (11_000, 3_150), (209, 59), 7_850, 55.48),
    ],
)
def test_sizes_of_the_books(
    book: str, quantities: tuple[int, int], counts: tuple[int, int], imbalance: int, percent: float
) -> None:
    found = BOOKS[book]

    assert (found.bids.total_quantity[0], found.asks.total_quantity[0]) == quantities
    assert (found.bids.total_orders[0], found.asks.total_orders[0]) == counts
    assert found.imbalance[0] == imbalance
    assert found.imbalance_percent[0] == pytest.approx(percent, abs=0.005)
    assert found.pressure[0] == pytest.approx(percent / 100.0, abs=5e-5)
    assert found.quantity_ratio[0] == quantities[0] / quantities[1]
    assert found.order_ratio[0] == counts[0] / counts[1]


def test_one_side_in_detail() -> None:
    asks = ILLIQUID.asks

    assert asks.levels[0] == 5
    assert asks.value[0] == 50 * 46.5 + 75 * 47.0 + 50 * 47.5 + 100 * 48.0 + 50 * 48.5
    assert asks.mean_order()[0] == 325 / 13
    assert [asks.concentration(levels)[0] for levels in (1, 3, 5)] == pytest.approx([50 / 325, 175 / 325, 1.0])


def test_a_liquid_future_is_liquid_and_a_wide_option_is_not() -> None:
    assert liquidity_score(LIQUID, FUTURE_SCALE)[0] == pytest.approx(40.0 + 30.0 + 20.0 + 8.571, abs=0.2)
    assert liquidity_tier(liquidity_score(LIQUID, FUTURE_SCALE)[0]) is LiquidityTier.HIGH
    assert liquidity_score(ILLIQUID, OPTION_SCALE)[0] < 20.0
    assert liquidity_tier(liquidity_score(ILLIQUID, OPTION_SCALE)[0]) is LiquidityTier.ILLIQUID


def test_one_tick_is_the_tightest_spread_of_a_cheap_option() -> None:
    cheap = Books.of(
        bid_price=[0.05], bid_quantity=[50_000], ask_price=[0.10], ask_quantity=[50_000], bid_orders=60, ask_orders=60
    )

    assert liquidity_score(cheap, OPTION_SCALE)[0] == pytest.approx(100.0)
    assert liquidity_score(cheap, LiquidityScale())[0] == pytest.approx(60.0)


def test_a_score_without_counted_orders_is_weighted_up() -> None:
    uncounted = Books.of(bid_price=[99.95], bid_quantity=[5_000], ask_price=[100.0], ask_quantity=[5_000])

    assert liquidity_score(uncounted, OPTION_SCALE)[0] == pytest.approx(100.0)


@pytest.mark.parametrize(
    ("score", "tier"),
    [(100, "HIGH"), (80, "HIGH"), (79.99, "MEDIUM"), (60, "MEDIUM"), (59.99, "LOW"), (40, "LOW"), (39.99, "ILLIQUID")],
)
def test_tiers_begin_at_80_60_and_40(score: float, tier: str) -> None:
    assert liquidity_tier(score).value == tier


@pytest.mark.parametrize(
    ("percent", "expected"),
    [
        (0.19, SpreadClass.TIGHT),
        (0.2, SpreadClass.NORMAL),
        (0.5, SpreadClass.WIDE),
        (1.0, SpreadClass.VERY_WIDE),
        (NAN, None),
        (None, None),
    ],
)
def test_spread_classes(percent: float | None, expected: SpreadClass | None) -> None:
    assert spread_class(percent) is expected


def test_flags_warn_of_what_is_wrong() -> None:
    assert liquidity_flags(LIQUID) == ()
    assert liquidity_flags(ILLIQUID) == (
        LiquidityFlag.WIDE_SPREAD,
        LiquidityFlag.FEW_ORDERS,
        LiquidityFlag.SMALL_TOUCH,
    )
    assert liquidity_flags(PRESSED) == (LiquidityFlag.UNBALANCED,)
    assert LiquidityFlag.EMPTY_SIDE in liquidity_flags(one_sided())


def test_padded_levels_are_no_levels() -> None:
    padded = Books.of(
        bid_price=[45.0, 44.5, 0.0, 0.0, 0.0],
        bid_quantity=[25, 50, 0, 0, 0],
        ask_price=[0.0, 46.5, 47.0, NAN, 48.0],
        ask_quantity=[0, 50, 75, 100, 0],
    )

    assert (padded.bids.levels[0], padded.asks.levels[0]) == (2, 2)
    assert (padded.spread[0], padded.mid[0]) == (1.5, 45.75)
    assert padded.asks.total_quantity[0] == 125


@pytest.mark.parametrize(
    "book", [one_sided(), Books.of(bid_price=10.1, bid_quantity=5, ask_price=10.0, ask_quantity=5)]
)
def test_a_book_with_an_empty_side_or_crossed_has_no_spread_and_no_score(book: Books) -> None:
    assert np.isnan([book.spread[0], book.mid[0], book.spread_percent[0], book.microprice[0]]).all()
    assert liquidity_score(book, OPTION_SCALE)[0] == 0.0
    assert limit_price(book, OrderSide.BUY, Decimal("0.05")) is None


def test_an_empty_book_knows_nothing() -> None:
    empty = Books.of(bid_price=[0.0], bid_quantity=[0], ask_price=[0.0], ask_quantity=[0])

    assert np.isnan([empty.imbalance_percent[0], empty.quantity_ratio[0], empty.bids.concentration(1)[0]]).all()


def test_buying_and_selling_move_the_price_apart() -> None:
    bought, sold = market_impact(ILLIQUID, OrderSide.BUY, 100), market_impact(ILLIQUID, OrderSide.SELL, 100)

    assert bought.average[0] == 46.75
    assert bought.amount[0] == 1.0
    assert bought.basis_points[0] == pytest.approx(1.0 / 45.75 * 10_000.0)
    assert bought.cost[0] == 100.0
    assert bought.levels[0] == 2
    assert sold.average[0] == (25 * 45.0 + 50 * 44.5 + 25 * 44.0) / 100
    assert sold.amount[0] == -1.25
    assert sold.levels[0] == 3


def test_a_quantity_beyond_the_book_has_no_average_price() -> None:
    found = market_impact(ILLIQUID, OrderSide.BUY, 500)

    assert (found.available[0], found.levels[0]) == (325.0, 5)
    assert np.isnan([found.average[0], found.amount[0], found.cost[0]]).all()
    assert impact_level(found.basis_points[0]) is ImpactLevel.VERY_HIGH


def test_within_the_touch_the_average_is_the_touch() -> None:
    assert market_impact(LIQUID, OrderSide.BUY, 100).average[0] == 25_600.50
    assert market_impact(PRESSED, OrderSide.BUY, 100).average[0] == 25_600.50


@pytest.mark.parametrize(
    ("basis_points", "level"),
    [(9.9, "LOW"), (-9.9, "LOW"), (10, "MODERATE"), (30, "HIGH"), (50, "VERY_HIGH"), (None, "VERY_HIGH")],
)
def test_impact_levels(basis_points: float | None, level: str) -> None:
    assert impact_level(basis_points).value == level


@pytest.mark.parametrize(
    ("bid", "ask", "side", "expected"),
    [
        (100.00, 100.10, OrderSide.BUY, "100.10"),
        (100.00, 100.10, OrderSide.SELL, "100.00"),
        (100.00, 100.35, OrderSide.BUY, "100.15"),
        (100.00, 100.35, OrderSide.SELL, "100.20"),
        (100.00, 101.25, OrderSide.BUY, "100.60"),
        (100.00, 101.25, OrderSide.SELL, "100.65"),
    ],
)
def test_a_limit_price_is_a_multiple_of_the_tick_on_the_waiting_side(
    bid: float, ask: float, side: OrderSide, expected: str
) -> None:
    book = Books.of(bid_price=bid, bid_quantity=10, ask_price=ask, ask_quantity=10)

    assert limit_price(book, side, Decimal("0.05")) == Decimal(expected)


def test_many_books_are_analysed_at_once() -> None:
    prices = np.array([[45.0, 44.5], [0.0, 0.0], [10.0, 9.95]])
    quantities = np.array([[25, 50], [0, 0], [100, 100]])

    books = Books.of(
        bid_price=prices, bid_quantity=quantities, ask_price=prices + 1.5, ask_quantity=np.array([[50, 75]] * 3)
    )

    assert books.spread == pytest.approx([1.0, NAN, 1.45], nan_ok=True)
    assert len(books) == 3
    assert market_impact(books, OrderSide.SELL, [75, 75, 150]).average == pytest.approx(
        [(25 * 45.0 + 50 * 44.5) / 75, NAN, (100 * 10.0 + 50 * 9.95) / 150], nan_ok=True
    )

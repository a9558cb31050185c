"""Analyses of order books as messages, with the three books of the predecessor's demonstration tests."""

from decimal import Decimal

import pytest

from server.domain.errors import FailedPrecondition
from server.domain.instruments import Instrument, InstrumentKind
from server.market.depth_messages import QUANTITIES, DepthAnalyses, books_of_message
from server.market.hub.feed import FeedState
from server.market.hub.quotes import Level, Quote
from server.services.depth import analyze_depth
from strikeline.v1 import depth_pb2, leg_pb2, quote_pb2

FUTURE = Instrument(
    instrument_id=7, exchange="NFO", tradingsymbol="NIFTY25NOVFUT", token=None, name="NIFTY",
    kind=InstrumentKind.FUTURE, underlying="NIFTY", expiry=None, strike=None, tick_size=Decimal("0.05"), lot_size=75,
    freeze_quantity=None, segment="NFO-FUT", provenance="seed",
)  # fmt: skip
SECOND = 1_000_000_000


def side(*levels):
    return [quote_pb2.DepthLevel(price=price, quantity=quantity, orders=orders) for price, quantity, orders in levels]


LIQUID = quote_pb2.Depth(
    bids=side((25600.0, 750, 15), (25599.5, 1500, 25), (25599, 2000, 30), (25598.5, 1000, 20), (25598, 1250, 25)),
    asks=side((25600.5, 1000, 20), (25601, 1750, 27), (25601.5, 1500, 25), (25602, 2000, 28), (25602.5, 1250, 22)),
)
ILLIQUID = quote_pb2.Depth(
    bids=side((45.0, 25, 1), (44.5, 50, 2), (44.0, 75, 3), (43.5, 25, 1), (43.0, 50, 2)),
    asks=side((46.5, 50, 2), (47.0, 75, 3), (47.5, 50, 2), (48.0, 100, 4), (48.5, 50, 2)),
)


def quote(depth_time):
    nothing = dict.fromkeys(
        ("last_price", "last_quantity", "volume", "open_interest", "bid_price", "bid_quantity", "ask_price",
         "ask_quantity", "day_open", "day_high", "day_low", "previous_close")
    )  # fmt: skip
    bids = (Level(1_000_000, 75, 2),)
    return Quote(instrument_id=7, event_time=100 * SECOND, depth_time=depth_time, bids=bids, asks=(), **nothing)


def depth_analysis(instrument, depth, quantities=QUANTITIES):
    return DepthAnalyses([instrument], books_of_message(depth), quantities).message()


class Market:
    """A market at 161 s whose only instrument has a quote."""

    def __init__(self, depth_time):
        self.quote = lambda _number: quote(depth_time)
        self.market_time = lambda: 161 * SECOND
        self.feed_state = lambda: FeedState.LIVE


def test_a_liquid_future():
    analysis = depth_analysis(FUTURE, LIQUID)

    assert (analysis.spread.spread, analysis.spread.mid_price) == (0.5, 25600.25)
    assert analysis.spread.microprice == pytest.approx(25600.2143, abs=1e-4)
    assert analysis.spread.spread_class == depth_pb2.SPREAD_CLASS_TIGHT
    assert (analysis.bids.total_quantity, analysis.asks.total_quantity) == (6500, 7500)
    assert (analysis.bids.total_orders, analysis.asks.total_orders) == (115, 122)
    assert (analysis.balance.imbalance, round(analysis.balance.imbalance_pct, 2)) == (-1000, -7.14)
    assert analysis.liquidity.tier == depth_pb2.LIQUIDITY_TIER_HIGH
    assert list(analysis.liquidity.flags) == []


def test_impact_of_both_sides_is_signed():
    buy, sell = depth_analysis(FUTURE, LIQUID, [100]).impacts

    assert (buy.side, buy.average_price, buy.amount) == (leg_pb2.SIDE_BUY, 25600.5, 0.25)
    assert (sell.side, sell.average_price, sell.amount) == (leg_pb2.SIDE_SELL, 25600.0, -0.25)
    assert buy.level == depth_pb2.IMPACT_LEVEL_LOW


def test_an_illiquid_option():
    analysis = depth_analysis(FUTURE, ILLIQUID)

    assert (analysis.spread.spread, analysis.spread.mid_price, analysis.spread.microprice) == (1.5, 45.75, 45.5)
    assert analysis.spread.spread_class == depth_pb2.SPREAD_CLASS_VERY_WIDE
    assert analysis.liquidity.tier == depth_pb2.LIQUIDITY_TIER_ILLIQUID
    assert depth_pb2.LIQUIDITY_FLAG_WIDE_SPREAD in analysis.liquidity.flags
    assert [impact.HasField("average_price") for impact in analysis.impacts] == [True, True, False, False]
    assert analysis.impacts[2].level == depth_pb2.IMPACT_LEVEL_VERY_HIGH


def test_padded_levels_are_no_levels():
    depth = quote_pb2.Depth(bids=side((100.0, 75, 1), (0.0, 0, 0)), asks=side((0.0, 0, 0), (100.1, 75, 1)))

    analysis = depth_analysis(FUTURE, depth)

    assert (analysis.bids.levels, analysis.asks.levels) == (1, 1)
    assert (len(analysis.depth.bids), len(analysis.depth.asks)) == (1, 1)
    assert analysis.spread.best_ask == 100.1


def test_an_empty_side_has_no_spread_and_no_trade():
    analysis = depth_analysis(FUTURE, quote_pb2.Depth(bids=side((100.0, 75, 1))))

    assert not analysis.HasField("spread")
    assert not analysis.HasField("passive_buy_price")
    assert analysis.liquidity.score == 0
    assert depth_pb2.LIQUIDITY_FLAG_EMPTY_SIDE in analysis.liquidity.flags


def test_orders_that_are_not_counted_are_absent():
    analysis = depth_analysis(FUTURE, quote_pb2.Depth(bids=side((100.0, 75, 0)), asks=side((100.05, 75, 0))))

    assert not analysis.bids.HasField("total_orders")
    assert not analysis.balance.HasField("order_ratio")


def test_passive_prices_are_rounded_away_from_the_other_side():
    analysis = depth_analysis(FUTURE, ILLIQUID)

    assert (analysis.passive_buy_price, analysis.passive_sell_price) == (45.75, 45.75)


def test_a_book_that_is_too_old_is_refused_with_its_age():
    request = depth_pb2.AnalyzeDepthRequest(instrument=FUTURE.key)

    with pytest.raises(FailedPrecondition, match=r"order book is 61\.0 s old") as refused:
        analyze_depth(Market(depth_time=100 * SECOND), FUTURE, request)

    assert refused.value.reason == "PRICE_UNAVAILABLE"


def test_a_caller_may_take_an_older_book():
    request = depth_pb2.AnalyzeDepthRequest(instrument=FUTURE.key)
    request.max_age.FromSeconds(61)

    analysis = analyze_depth(Market(depth_time=100 * SECOND), FUTURE, request)

    assert analysis.event_time.ToNanoseconds() == 100 * SECOND


def test_no_book_is_refused():
    with pytest.raises(FailedPrecondition, match="sent no order book"):
        analyze_depth(Market(depth_time=None), FUTURE, depth_pb2.AnalyzeDepthRequest(instrument=FUTURE.key))

"""MarketDataService on a real database and Redis."""

import asyncio

import grpc
import numpy as np
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from server.domain.prices import ABSENT, scale_price
from server.store.bars import BarStore
from server.store.records import STORED_BAR
from strikeline.v1 import depth_pb2
from strikeline.v1 import market_data_service_pb2 as pb
from tests.support.market import nanoseconds
from tests.support.waiting import eventually

pytestmark = pytest.mark.stack

QUOTES = "/strikeline.v1.MarketDataService/BatchGetQuotes"
BARS = "/strikeline.v1.MarketDataService/ListBars"
DEPTH = "/strikeline.v1.MarketDataService/AnalyzeDepth"
TICKS = "/strikeline.v1.MarketDataService/StreamTicks"
STREAM_BARS = "/strikeline.v1.MarketDataService/StreamBars"
OPEN = nanoseconds("2025-11-24T09:15:00")
MINUTE = 60 * 10**9


async def heard(api, market_time: int) -> None:
    """The api's hub has read the log up to a market time."""
    await eventually(lambda: api.app.hub.market_time() >= market_time)


def stored(instrument, minute: int, price: str, volume: int = 10) -> tuple[int, ...]:
    scaled = scale_price(price)
    start = OPEN + minute * MINUTE
    keys = (start, minute, start, minute)
    return (instrument.instrument_id, 2, start, scaled, scaled, scaled, scaled, ABSENT, *keys, 100 + volume, 100)


async def store_bars(worker_db, *rows: tuple[int, ...]) -> None:
    async with worker_db.transaction() as transaction:
        await BarStore(worker_db).merge_bars(transaction, np.array(list(rows), STORED_BAR))


async def test_a_quote_is_the_latest_tick_with_the_days_prices_and_depth(api, feed, instruments):
    reliance = instruments[1]
    await feed.tick(reliance, OPEN, "2900.5", 100)
    await feed.tick(reliance, OPEN + 10**9, "2905.05", 150)
    await feed.depth(reliance, OPEN + 2 * 10**9, "2905", "2905.1")
    await heard(api, OPEN + 2 * 10**9)

    answer = await api.call(QUOTES, pb.BatchGetQuotesRequest(instruments=["NSE:RELIANCE"]), token=api.token())

    (quote,) = answer.message.quotes
    assert (quote.instrument, quote.last_price, quote.volume) == ("NSE:RELIANCE", 2905.05, 150)
    assert (quote.ohlc.open, quote.ohlc.high, quote.ohlc.low) == (2900.5, 2905.05, 2900.5)
    assert [(level.price, level.quantity, level.orders) for level in quote.depth.bids] == [(2905.0, 75, 2)]
    assert not quote.HasField("open_interest")
    assert not quote.stale
    assert answer.message.as_of.ToNanoseconds() == OPEN + 2 * 10**9


async def test_the_feeds_newest_book_is_analysed(api, feed, instruments):
    reliance = instruments[1]
    await feed.tick(reliance, OPEN, "2900.5", 100)
    await feed.depth(reliance, OPEN + 10**9, "2905", "2905.1")
    await heard(api, OPEN + 10**9)

    request = depth_pb2.AnalyzeDepthRequest(instrument="NSE:RELIANCE")
    analysis = (await api.call(DEPTH, request, token=api.token())).message

    assert (analysis.spread.best_bid, analysis.spread.best_ask) == (2905.0, 2905.1)
    assert analysis.event_time.ToNanoseconds() == OPEN + 10**9
    assert (analysis.stale, analysis.bids.total_quantity) == (False, 75)


async def test_where_the_feed_has_best_prices_alone_they_are_the_book(api, feed, instruments):
    best = {"bid_price": 221_500, "bid_quantity": 1_500, "ask_price": 224_500, "ask_quantity": 500}
    await feed.tick(instruments[1], OPEN, "22.3", 100, **best)
    await heard(api, OPEN)

    request = depth_pb2.AnalyzeDepthRequest(instrument="NSE:RELIANCE")
    analysis = (await api.call(DEPTH, request, token=api.token())).message
    quotes = await api.call(QUOTES, pb.BatchGetQuotesRequest(instruments=["NSE:RELIANCE"]), token=api.token())

    (bid,), (ask,) = analysis.depth.bids, analysis.depth.asks
    assert [(level.price, level.quantity, level.orders) for level in (bid, ask)] == [(22.15, 1_500, 0), (22.45, 500, 0)]
    assert (analysis.spread.spread, analysis.bids.total_quantity) == (pytest.approx(0.3), 1_500)
    assert not analysis.bids.HasField("total_orders")
    assert analysis.event_time.ToNanoseconds() == OPEN
    assert quotes.message.quotes[0].depth == analysis.depth


async def test_an_instrument_without_a_book_has_no_analysis(api, instruments):
    request = depth_pb2.AnalyzeDepthRequest(instrument="NSE:RELIANCE")

    answer = await api.call(DEPTH, request, token=api.token())

    assert (answer.code, answer.info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "PRICE_UNAVAILABLE")


async def test_quotes_come_in_the_order_requested_and_by_alias(api, feed, instruments):
    request = pb.BatchGetQuotesRequest(instruments=["NSE:RELIANCE", "NSE:NIFTY50"])

    answer = await api.call(QUOTES, request, token=api.token())

    assert [quote.instrument for quote in answer.message.quotes] == ["NSE:RELIANCE", "NSE:NIFTY 50"]


async def test_an_unknown_instrument_is_named_with_its_place(api):
    request = pb.BatchGetQuotesRequest(instruments=["NSE:RELIANCE", "NSE:NOSUCH"])

    answer = await api.call(QUOTES, request, token=api.token())

    assert (answer.code, answer.info.reason) == (grpc.StatusCode.NOT_FOUND, "INSTRUMENT_NOT_FOUND")
    assert dict(answer.info.metadata) == {"instrument": "NSE:NOSUCH"}
    assert answer.bad_request.field_violations[0].field == "instruments[1]"


async def test_without_ticks_a_quote_is_the_last_stored_minute_and_stale(api, worker_db, instruments):
    await store_bars(worker_db, stored(instruments[1], 0, "2900"), stored(instruments[1], 1, "2901.5"))

    answer = await api.call(QUOTES, pb.BatchGetQuotesRequest(instruments=["NSE:RELIANCE"]), token=api.token())

    (quote,) = answer.message.quotes
    assert (quote.last_price, quote.stale) == (2901.5, True)
    assert quote.event_time.ToNanoseconds() == OPEN + MINUTE


async def test_an_instrument_that_never_traded_has_no_price(api):
    answer = await api.call(QUOTES, pb.BatchGetQuotesRequest(instruments=["NSE:RELIANCE"]), token=api.token())

    (quote,) = answer.message.quotes
    assert not quote.HasField("last_price")
    assert quote.stale


async def test_an_instrument_that_was_added_later_is_found(api, worker_db):
    from server.domain.instruments import InstrumentKind, NewInstrument
    from tests.support.api import add_instruments

    await add_instruments(worker_db, NewInstrument(exchange="NSE", tradingsymbol="LATE", kind=InstrumentKind.EQUITY))

    answer = await api.call(QUOTES, pb.BatchGetQuotesRequest(instruments=["NSE:LATE"]), token=api.token())

    assert answer.code is grpc.StatusCode.OK


async def test_bars_come_in_pages_and_in_order(api, worker_db, instruments):
    await store_bars(worker_db, *(stored(instruments[1], minute, f"29{minute:02d}.5") for minute in range(5)))
    request = pb.ListBarsRequest(instrument="NSE:RELIANCE", timeframe="1min", page_size=3)

    first = (await api.call(BARS, request, token=api.token())).message
    request.page_token = first.next_page_token
    second = (await api.call(BARS, request, token=api.token())).message

    times = [bar.open_time.ToNanoseconds() for bar in (*first.bars, *second.bars)]
    assert times == [OPEN + minute * MINUTE for minute in range(5)]
    assert second.next_page_token == ""
    assert (first.bars[1].close, first.bars[1].volume, first.bars[1].closed) == (2901.5, 10, True)


async def test_bars_without_an_end_end_at_market_time(api, feed, worker_db, instruments):
    await store_bars(worker_db, *(stored(instruments[1], minute, "2900") for minute in range(5)))
    await feed.tick(instruments[0], OPEN + 2 * MINUTE, "24500")
    await heard(api, OPEN + 2 * MINUTE)

    request = pb.ListBarsRequest(instrument="NSE:RELIANCE", timeframe="1min")
    answer = (await api.call(BARS, request, token=api.token())).message

    times = [bar.open_time.ToNanoseconds() for bar in answer.bars]
    assert times == [OPEN + minute * MINUTE for minute in range(3)]


async def test_a_quote_of_a_stored_minute_is_of_one_up_to_market_time(api, feed, worker_db, instruments):
    await store_bars(worker_db, *(stored(instruments[1], minute, f"290{minute}") for minute in range(5)))
    await feed.tick(instruments[0], OPEN + 2 * MINUTE, "24500")
    await heard(api, OPEN + 2 * MINUTE)

    answer = await api.call(QUOTES, pb.BatchGetQuotesRequest(instruments=["NSE:RELIANCE"]), token=api.token())

    assert answer.message.quotes[0].last_price == 2902


async def test_larger_bars_are_made_of_minutes(api, worker_db, instruments):
    await store_bars(worker_db, *(stored(instruments[1], minute, f"29{minute:02d}.5") for minute in range(5)))

    request = pb.ListBarsRequest(instrument="NSE:RELIANCE", timeframe="5min")
    answer = (await api.call(BARS, request, token=api.token())).message

    (bar,) = answer.bars
    assert (bar.open, bar.high, bar.low, bar.close, bar.volume) == (2900.5, 2904.5, 2900.5, 2904.5, 50)


async def test_a_page_token_of_another_query_is_refused(api, worker_db, instruments):
    await store_bars(worker_db, *(stored(instruments[1], minute, "2900") for minute in range(3)))
    request = pb.ListBarsRequest(instrument="NSE:RELIANCE", timeframe="1min", page_size=1)
    token = (await api.call(BARS, request, token=api.token())).message.next_page_token

    other = pb.ListBarsRequest(instrument="NSE:RELIANCE", timeframe="5min", page_size=1, page_token=token)
    answer = await api.call(BARS, other, token=api.token())

    assert (answer.code, answer.info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")
    assert answer.bad_request.field_violations[0].field == "page_token"


@pytest.mark.parametrize("path", [BARS, STREAM_BARS])
async def test_an_unknown_timeframe_is_refused_with_the_known_ones(api, path):
    if path == BARS:
        request = pb.ListBarsRequest(instrument="NSE:RELIANCE", timeframe="7min")
    else:
        request = pb.StreamBarsRequest(instruments=["NSE:RELIANCE"], timeframe="7min")

    answer = await api.call(path, request, token=api.token())

    assert (answer.code, answer.info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "TIMEFRAME_UNKNOWN")
    assert answer.info.metadata["timeframe"] == "7min"
    assert "15min" in answer.info.metadata["allowed"].split()
    assert answer.bad_request.field_violations[0].field == "timeframe"


async def test_a_range_that_ends_before_it_starts_is_refused(api):
    request = pb.ListBarsRequest(
        instrument="NSE:RELIANCE", timeframe="1min", start_time=Timestamp(seconds=20), end_time=Timestamp(seconds=10)
    )

    answer = await api.call(BARS, request, token=api.token())

    assert answer.bad_request.field_violations[0].field == "end_time"


async def test_a_subscription_begins_with_what_became_of_each_item(api):
    request = pb.StreamTicksRequest(instruments=["NSE:RELIANCE", "NSE:NOSUCH"])

    answer = await api.call(TICKS, request, token=api.token())

    results = [(item.item, item.key, item.refusal) for item in answer.message.subscribed.results]
    assert results == [("NSE:RELIANCE", "NSE:RELIANCE", 0), ("NSE:NOSUCH", "", 1)]
    assert answer.message.subscribed.stream
    assert answer.headers["x-correlation-id"]


async def test_ticks_reach_a_subscriber(api, feed, instruments):
    reliance = instruments[1]
    await feed.tick(reliance, OPEN, "2900")
    await heard(api, OPEN)
    request = pb.StreamTicksRequest(instruments=["NSE:RELIANCE"])
    request.options.flush_interval.FromMilliseconds(0)
    stream = api.call.channel.unary_stream(TICKS, response_deserializer=pb.StreamTicksResponse.FromString)(
        request.SerializeToString(), metadata=(("authorization", f"Bearer {api.token()}"),)
    )
    assert (await stream.read()).WhichOneof("event") == "subscribed"
    assert (await stream.read()).snapshot.ticks[0].last_price == 2900

    await feed.tick(reliance, OPEN + 10**9, "2901.55")

    async with asyncio.timeout(5):
        while (message := await stream.read()).WhichOneof("event") != "batch":
            continue
    assert message.batch.ticks[0].last_price == 2901.55
    stream.cancel()

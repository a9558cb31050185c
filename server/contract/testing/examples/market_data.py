"""Requests of MarketDataService."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from google.protobuf.message import Message

from server.contract.testing.examples.example import Example, Wrong, changed
from server.contract.testing.examples.instruments import NOWHERE
from server.contract.testing.world import World
from strikeline.v1 import stream_pb2
from strikeline.v1.depth_pb2 import AnalyzeDepthRequest, OrderBook, OrderBookLevel, StreamDepthRequest
from strikeline.v1.market_data_service_pb2 import (
    BatchGetQuotesRequest,
    ListBarsRequest,
    StreamBarsRequest,
    StreamTicksRequest,
)

STREAM = ("stream", "resume_token", "as_of")
"""What differs between two openings of one stream."""


def _bars(world: World, instrument: str = "") -> ListBarsRequest:
    request = ListBarsRequest(instrument=instrument or world.equity, timeframe="1min", page_size=5)
    request.start_time.FromJsonString("2025-11-03T03:45:00Z")
    request.end_time.FromJsonString("2025-11-03T10:00:00Z")
    return request


def _book(world: World) -> Message:
    depth = OrderBook(
        bids=[OrderBookLevel(price=99.95, quantity=150, orders=3)],
        asks=[OrderBookLevel(price=100.05, quantity=75, orders=2)],
    )
    return AnalyzeDepthRequest(instrument=world.equity, depth=depth, quantities=[50])


def _too_many_books(request: Message) -> None:
    assert isinstance(request, StreamDepthRequest)
    request.instruments.extend(f"NSE:SHARE{number}" for number in range(100))


def _backwards(request: Message) -> None:
    assert isinstance(request, ListBarsRequest)
    request.end_time.CopyFrom(request.start_time)


def bad_resume_token() -> Wrong:
    """A resume token that the server did not make."""

    def change(request: Message) -> None:
        options = getattr(request, "options")
        assert isinstance(options, stream_pb2.StreamOptions)
        options.resume_token = "made-up"

    return Wrong("made-up resume token", change, "options.resume_token", "RESUME_TOKEN_INVALID")


def _timeframe(name: str) -> Wrong:
    return Wrong(
        f"timeframe {name}", lambda request: setattr(request, "timeframe", name), "timeframe", "TIMEFRAME_UNKNOWN"
    )


EXAMPLES: Mapping[str, Example] = MappingProxyType(
    {
        "MarketDataService/BatchGetQuotes": Example(
            lambda world: BatchGetQuotesRequest(instruments=[world.equity, world.option.instrument]),
            volatile=("as_of",),
            missing=lambda world: BatchGetQuotesRequest(instruments=[world.equity, NOWHERE]),
            missing_reason="INSTRUMENT_NOT_FOUND",
        ),
        "MarketDataService/StreamTicks": Example(
            lambda world: StreamTicksRequest(instruments=[world.equity, NOWHERE]),
            volatile=STREAM,
            wrong=(bad_resume_token(),),
            missing=lambda _world: StreamTicksRequest(instruments=[NOWHERE]),
            missing_reason="INSTRUMENT_NOT_FOUND",
        ),
        "MarketDataService/AnalyzeDepth": Example(
            _book,
            missing=lambda _world: changed(_book(_world), instrument=NOWHERE),
            missing_reason="INSTRUMENT_NOT_FOUND",
        ),
        "MarketDataService/StreamDepth": Example(
            lambda world: StreamDepthRequest(instruments=[world.equity], analysis=True),
            volatile=STREAM,
            wrong=(bad_resume_token(), Wrong("analysis of too many", _too_many_books, "")),
            missing=lambda _world: StreamDepthRequest(instruments=[NOWHERE]),
            missing_reason="INSTRUMENT_NOT_FOUND",
        ),
        "MarketDataService/ListBars": Example(
            _bars,
            wrong=(
                Wrong("end before start", _backwards, "end_time"),
                Wrong(
                    "token of nobody",
                    lambda request: setattr(request, "page_token", "no-token"),
                    "page_token",
                    "PAGE_TOKEN_INVALID",
                ),
                _timeframe("7min"),
                _timeframe("5m"),
            ),
            missing=lambda world: _bars(world, NOWHERE),
            missing_reason="INSTRUMENT_NOT_FOUND",
        ),
        "MarketDataService/StreamBars": Example(
            lambda world: StreamBarsRequest(instruments=[world.equity], timeframe="5min"),
            volatile=STREAM,
            wrong=(bad_resume_token(), _timeframe("2min")),
            missing=lambda _world: StreamBarsRequest(instruments=[NOWHERE]),
            missing_reason="INSTRUMENT_NOT_FOUND",
        ),
    }
)

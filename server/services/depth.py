"""Which order book is analysed when a caller asks."""

from __future__ import annotations

from typing import Final, Protocol

from server.domain.calendar import NANOSECONDS
from server.domain.errors import FailedPrecondition, FieldViolation
from server.domain.instruments import Instrument
from server.market.depth_messages import QUANTITIES, DepthAnalyses, books_of_message
from server.market.hub.feed import FeedState
from server.market.hub.quotes import Quote
from server.services.converters_market import depth_message
from server.services.times import timestamp
from strikeline.v1 import depth_pb2, quote_pb2

USUAL_AGE: Final = 60 * NANOSECONDS
"""Greatest age of a feed's book when the request does not say, nanoseconds of market time."""


class LiveBooks(Protocol):
    """The market as it is now (`server.market.hub.hub.Hub`)."""

    def quote(self, instrument_id: int) -> Quote | None:
        """What is known of an instrument; None before its first tick."""
        ...

    def market_time(self) -> int:
        """Market time, nanoseconds since 1970 UTC; 0 before the first tick."""
        ...

    def feed_state(self) -> FeedState:
        """What the feed does."""
        ...


def analyze_depth(
    market: LiveBooks, instrument: Instrument, request: depth_pb2.AnalyzeDepthRequest
) -> depth_pb2.DepthAnalysis:
    """What the order book of an instrument says, or the one that came with the request.

    Raises FailedPrecondition (PRICE_UNAVAILABLE) when the feed has none, or none that is young enough.
    """
    quantities = tuple(request.quantities) or QUANTITIES
    if request.HasField("depth"):
        return DepthAnalyses([instrument], books_of_message(request.depth), quantities).message()
    bound = request.max_age.ToNanoseconds() if request.HasField("max_age") else USUAL_AGE
    depth, event_time = _fresh(instrument, market.quote(instrument.instrument_id), market.market_time(), bound)
    analysis = DepthAnalyses([instrument], books_of_message(depth), quantities).message()
    analysis.event_time.CopyFrom(timestamp(event_time))
    analysis.stale = market.feed_state() is not FeedState.LIVE
    return analysis


def _fresh(instrument: Instrument, quote: Quote | None, market_time: int, bound: int) -> tuple[quote_pb2.Depth, int]:
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

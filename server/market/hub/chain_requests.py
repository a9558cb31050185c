"""What clients ask for when they watch option chains, and what becomes of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from server.domain.errors import FieldViolation, InvalidArgument, NotFound
from server.domain.expiries import earliest_expiry
from server.domain.options.strike_range import StrikeRange
from server.domain.symbols import canonical_underlying
from server.market.hub import option_buckets
from server.market.hub.chain_views import ChainView
from server.market.hub.expiry_labels import ExpiryLabels
from server.market.hub.option_buckets import OptionBucketsTopic
from server.market.hub.option_chains import OptionChainsTopic
from server.market.hub.topic import ItemOutcome, Refusal, Subscription
from strikeline.v1 import stream_pb2

NEAREST = "NWeek+0"
"""The expiry of a request that names none."""


@dataclass(frozen=True)
class ChainRequest:
    """Expiries (ISO dates or labels) of an underlying by any of its names, and strikes. `field` names the expiries.

    It is `expiry` where a request has one only.
    """

    method: str
    underlying: str
    expiries: tuple[str, ...]
    strikes: StrikeRange
    field: str = "expiries"

    def path(self, place: int) -> str:
        """The path of one of the expiries in the request."""
        return self.field if self.field == "expiry" else f"{self.field}[{place}]"


async def follow(request: ChainRequest, topic: OptionChainsTopic, market_time: int, *, resumed: bool) -> Subscription:
    """Follows what is on record of it; the caller unfollows the accepted items.

    A resumed subscription may be of an expiry that is over by now: its end is still to be told. Raises NotFound
    (UNDERLYING_NOT_FOUND), and InvalidArgument for a date that does not exist.
    """
    underlying = _symbol(request.underlying)
    if not underlying or not await topic.labels.learn(underlying):
        raise NotFound(
            f"no options of {request.underlying!r} are on record",
            reason="UNDERLYING_NOT_FOUND",
            metadata={"underlying": request.underlying},
            violations=(FieldViolation("underlying", "has no options on record"),),
        )
    views = [_view(request, underlying, place) for place in range(len(request.expiries))]
    at = topic.time(underlying) or market_time
    outcomes = tuple(_outcomes(views, topic, at, resumed=resumed))
    nothing = Refusal("EXPIRY_NOT_FOUND", "expiry", request.path(0), (("underlying", underlying),))
    return Subscription(request.method, outcomes, repr(request.strikes), nothing)


def _view(request: ChainRequest, underlying: str, place: int) -> ChainView:
    try:
        return ChainView.of(underlying, request.expiries[place], request.strikes)
    except ValueError as error:
        raise InvalidArgument.of(request.path(place), "must be a date that exists, or a label") from error


def _outcomes(views: list[ChainView], topic: OptionChainsTopic, at: int, *, resumed: bool) -> Iterator[ItemOutcome]:
    for view in views:
        if resumed or _is_in_force(view, topic.labels, at):
            yield ItemOutcome(view.item, key=f"{view.underlying}/{view.item}", number=topic.follow(view))
        else:
            yield ItemOutcome(view.item, refusal=stream_pb2.ITEM_REFUSAL_NOT_FOUND)


def _is_in_force(view: ChainView, labels: ExpiryLabels, at: int) -> bool:
    """Before the first tick nothing has a label and every listed date may still come."""
    if not at:
        return view.expiry is None or labels.lists(view.underlying, view.expiry)
    labelled = labels.at(view.underlying, at)
    if view.expiry is None:
        return view.expiry_at(labelled) is not None
    return labels.lists(view.underlying, view.expiry) and view.expiry >= earliest_expiry(at)


def _symbol(text: str) -> str:
    try:
        return canonical_underlying(text)
    except ValueError:
        return ""


async def follow_buckets(underlyings: Sequence[str], topic: OptionBucketsTopic, labels: ExpiryLabels) -> Subscription:
    """Follows the underlyings that have options on record; the caller unfollows the accepted items."""
    symbols = [_symbol(name) for name in underlyings]
    known = {symbol for symbol in dict.fromkeys(symbols) if symbol and await labels.learn(symbol)}
    numbers = {symbol: topic.follow(symbol) for symbol in known}
    outcomes = (_outcome(name, symbol, numbers.get(symbol)) for name, symbol in zip(underlyings, symbols, strict=True))
    nothing = Refusal("UNDERLYING_NOT_FOUND", "underlying", "underlyings[0]")
    return Subscription(option_buckets.METHOD, tuple(outcomes), topic.timeframe, nothing)


def _outcome(name: str, symbol: str, number: int | None) -> ItemOutcome:
    if number is None:
        return ItemOutcome(name, refusal=stream_pb2.ITEM_REFUSAL_NOT_FOUND)
    return ItemOutcome(name, key=symbol, number=number)

"""Requests of InstrumentService."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from google.protobuf.message import Message

from server.contract.testing.examples.example import Example, Wrong
from server.contract.testing.world import World
from strikeline.v1 import instrument_pb2
from strikeline.v1.backfill_pb2 import Backfill, GetBackfillRequest, StartBackfillRequest
from strikeline.v1.feed_subscription_pb2 import (
    CreateFeedSubscriptionRequest,
    DeleteFeedSubscriptionRequest,
    FeedSubscription,
    ListFeedSubscriptionsRequest,
)
from strikeline.v1.instrument_import_pb2 import ImportInstrumentsRequest
from strikeline.v1.instrument_service_pb2 import (
    BatchGetInstrumentsRequest,
    GetInstrumentRequest,
    GetInstrumentStatsRequest,
    ListInstrumentsRequest,
    ListUnderlyingsRequest,
    SearchDerivativeContractsRequest,
    SearchInstrumentsRequest,
)

NOWHERE = "NSE:NOSUCHSHARE"
CSV = (
    b"instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,instrument_type,segment,exchange\n"
    b"999001,3902,ZZCONTRACTTEST,CONTRACT TEST,0,,0,0.05,1,EQ,NSE,NSE\n"
)


def _bad_token() -> Wrong:
    return Wrong(
        "token of nobody",
        lambda request: setattr(request, "page_token", "no-token"),
        "page_token",
        "PAGE_TOKEN_INVALID",
    )


def _crossed_strikes(request: Message) -> None:
    assert isinstance(request, SearchDerivativeContractsRequest)
    request.min_strike, request.max_strike = 200.0, 100.0


def _no_date(request: Message) -> None:
    assert isinstance(request, SearchDerivativeContractsRequest)
    request.expiry = "2025-02-30"


def _create_subscription(world: World) -> CreateFeedSubscriptionRequest:
    return CreateFeedSubscriptionRequest(
        feed_subscription=FeedSubscription(instruments=[world.equity, world.option.instrument])
    )


def _subscription(world: World) -> str:
    made = world.do("InstrumentService/CreateFeedSubscription", _create_subscription(world), FeedSubscription)
    return made.feed_subscription


def _list_subscriptions(world: World) -> ListFeedSubscriptionsRequest:
    _subscription(world)
    return ListFeedSubscriptionsRequest(page_size=3)


def _start_backfill(world: World) -> StartBackfillRequest:
    request = StartBackfillRequest(instruments=[world.equity])
    request.start_time.FromJsonString("2025-11-10T03:45:00Z")
    request.end_time.FromJsonString("2025-11-11T10:00:00Z")
    return request


def _backfill(world: World) -> str:
    return world.do("InstrumentService/StartBackfill", _start_backfill(world), Backfill).backfill


def _crossed_times(request: Message) -> None:
    assert isinstance(request, StartBackfillRequest)
    request.end_time.FromJsonString("2025-11-09T10:00:00Z")


def _too_long(request: Message) -> None:
    assert isinstance(request, StartBackfillRequest)
    request.end_time.FromJsonString("2026-11-09T10:00:00Z")


def _without_trading(request: Message) -> None:
    assert isinstance(request, StartBackfillRequest)
    request.start_time.FromJsonString("2025-11-08T03:45:00Z")
    request.end_time.FromJsonString("2025-11-09T10:00:00Z")


EXAMPLES: Mapping[str, Example] = MappingProxyType(
    {
        "InstrumentService/GetInstrument": Example(
            lambda world: GetInstrumentRequest(instrument=world.equity),
            missing=lambda _world: GetInstrumentRequest(instrument=NOWHERE),
            missing_reason="INSTRUMENT_NOT_FOUND",
        ),
        "InstrumentService/BatchGetInstruments": Example(
            lambda world: BatchGetInstrumentsRequest(instruments=[world.option.instrument, world.equity]),
            missing=lambda world: BatchGetInstrumentsRequest(instruments=[world.equity, NOWHERE]),
            missing_reason="INSTRUMENT_NOT_FOUND",
        ),
        "InstrumentService/ListInstruments": Example(
            lambda _world: ListInstrumentsRequest(kind=instrument_pb2.INSTRUMENT_KIND_CALL, page_size=2),
            wrong=(_bad_token(),),
        ),
        "InstrumentService/SearchInstruments": Example(
            lambda world: SearchInstrumentsRequest(query=world.equity.partition(":")[2][:4], page_size=3),
            wrong=(_bad_token(),),
        ),
        "InstrumentService/ListUnderlyings": Example(
            lambda _world: ListUnderlyingsRequest(page_size=3), wrong=(_bad_token(),)
        ),
        "InstrumentService/SearchDerivativeContracts": Example(
            lambda world: SearchDerivativeContractsRequest(underlying=world.option.underlying, page_size=3),
            wrong=(
                _bad_token(),
                Wrong("crossed strikes", _crossed_strikes, "max_strike"),
                Wrong("no date", _no_date, "expiry"),
            ),
        ),
        "InstrumentService/GetInstrumentStats": Example(lambda _world: GetInstrumentStatsRequest()),
        "InstrumentService/ImportInstruments": Example(
            lambda _world: ImportInstrumentsRequest(csv=CSV),
            wrong=(
                Wrong(
                    "no such columns",
                    lambda request: setattr(request, "csv", b"a,b\n1,2\n"),
                    "csv",
                    "IMPORT_UNREADABLE",
                ),
            ),
        ),
        "InstrumentService/ListFeedSubscriptions": Example(
            _list_subscriptions,
            volatile=("next_page_token", "total_size", "feed_subscriptions"),
            wrong=(_bad_token(),),
        ),
        "InstrumentService/CreateFeedSubscription": Example(
            _create_subscription,
            volatile=("feed_subscription", "create_time"),
            missing=lambda _world: CreateFeedSubscriptionRequest(
                feed_subscription=FeedSubscription(instruments=[NOWHERE])
            ),
            missing_reason="INSTRUMENT_NOT_FOUND",
        ),
        "InstrumentService/DeleteFeedSubscription": Example(
            lambda world: DeleteFeedSubscriptionRequest(feed_subscription=_subscription(world)),
            missing=lambda _world: DeleteFeedSubscriptionRequest(feed_subscription="nobody"),
        ),
        "InstrumentService/StartBackfill": Example(
            _start_backfill,
            volatile=("backfill", "create_time"),
            wrong=(
                Wrong("crossed times", _crossed_times, "end_time"),
                Wrong("a year", _too_long, "end_time"),
                Wrong("a weekend", _without_trading, "end_time"),
            ),
            missing=lambda world: _of_nowhere(_start_backfill(world)),
            missing_reason="INSTRUMENT_NOT_FOUND",
        ),
        "InstrumentService/GetBackfill": Example(
            lambda world: GetBackfillRequest(backfill=_backfill(world)),
            volatile=("backfill", "create_time"),
            missing=lambda _world: GetBackfillRequest(backfill="nobody"),
        ),
    }
)


def _of_nowhere(request: StartBackfillRequest) -> StartBackfillRequest:
    request.instruments[:] = [NOWHERE]
    return request

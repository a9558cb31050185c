"""Lists are complete and stable whatever the size of their pages; values are exact on their way to the client."""

import pytest
from google.protobuf.message import Message

from server.contract.methods import load_contract
from server.contract.testing.fixtures import *  # noqa: F403
from server.contract.testing.fixtures import Callers
from server.contract.testing.world import World
from strikeline.v1 import error_reason_pb2
from strikeline.v1.account_service_pb2 import ListAccountsRequest
from strikeline.v1.instrument_service_pb2 import (
    ListInstrumentsRequest,
    ListUnderlyingsRequest,
    SearchDerivativeContractsRequest,
    SearchInstrumentsRequest,
)
from strikeline.v1.leg_requests_pb2 import ListLegsRequest
from strikeline.v1.m2m_requests_pb2 import ListM2mCandlesRequest
from strikeline.v1.market_data_service_pb2 import ListBarsRequest
from strikeline.v1.strategy_requests_pb2 import ListStrategiesRequest
from strikeline.v1.system_service_pb2 import ListComponentsRequest, ListErrorReasonsRequest, ListMethodPoliciesRequest
from tests.contract.stored import store_candles
from tests.support.databases import TestDatabase


@pytest.fixture(scope="module")
def filled(world: World, contract_database: TestDatabase) -> World:
    """Six strategies with the one that an account begins with, four legs, ten candles."""
    for _ in range(4):
        world.new_strategy()
    for _ in range(3):
        world.new_leg(world.strategy)
    store_candles(contract_database, world.strategy)
    return world


def answer(callers: Callers, world: World, transport: str, name: str, request: Message) -> Message:
    return callers[transport].call(world.method(name), request, world.token()).answer


def walk(callers: Callers, world: World, transport: str, name: str, request: Message, items: str) -> list[Message]:
    """All items, page by page."""
    found = []
    for _ in range(100):
        page = answer(callers, world, transport, name, request)
        found += getattr(page, items)
        assert len(getattr(page, items)) <= request.page_size
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token
    raise AssertionError("the pages do not end")


def of_strategy(kind, **more):
    return lambda world: kind(account=world.owner.account, strategy=world.strategy, **more)


METHODS = len(list(load_contract()))
REASONS = len(error_reason_pb2.ErrorReason.DESCRIPTOR.values) - 1

LISTS = [
    ("AccountService/ListAccounts", lambda _: ListAccountsRequest(), "accounts", 1),
    ("InstrumentService/ListInstruments", lambda _: ListInstrumentsRequest(), "instruments", 7),
    ("InstrumentService/SearchInstruments", lambda _: SearchInstrumentsRequest(query="nifty"), "instruments", 4),
    ("InstrumentService/ListUnderlyings", lambda _: ListUnderlyingsRequest(), "underlyings", 1),
    (
        "InstrumentService/SearchDerivativeContracts",
        lambda _: SearchDerivativeContractsRequest(underlying="NSE:NIFTY50"),
        "contracts",
        3,
    ),
    (
        "MarketDataService/ListBars",
        lambda _: ListBarsRequest(instrument="NSE:INFY", timeframe="1min"),
        "bars",
        10,
    ),
    (
        "StrategyService/ListStrategies",
        lambda world: ListStrategiesRequest(account=world.owner.account),
        "strategies",
        6,
    ),
    ("StrategyService/ListLegs", of_strategy(ListLegsRequest), "legs", 4),
    ("StrategyService/ListM2mCandles", of_strategy(ListM2mCandlesRequest), "candles", 10),
    ("SystemService/ListErrorReasons", lambda _: ListErrorReasonsRequest(), "error_reasons", REASONS),
    ("SystemService/ListMethodPolicies", lambda _: ListMethodPoliciesRequest(), "methods", METHODS),
    ("SystemService/ListComponents", lambda _: ListComponentsRequest(), "components", 5),
]


@pytest.mark.parametrize("transport", ["grpc", "http"])
@pytest.mark.parametrize(("name", "make", "items", "count"), LISTS, ids=[case[0].partition("/")[2] for case in LISTS])
def test_small_pages_together_are_the_whole_list(
    callers: Callers, filled: World, transport: str, name: str, make, items: str, count: int
) -> None:
    whole = answer(callers, filled, transport, name, make(filled))
    request = make(filled)
    request.page_size = 2 if count < 20 else 7

    pages = walk(callers, filled, transport, name, request, items)

    assert len(pages) == count
    if items != "components":
        assert pages[: len(getattr(whole, items))] == list(getattr(whole, items))
    if "total_size" in whole.DESCRIPTOR.fields_by_name:
        assert whole.total_size == count


def test_the_default_of_a_list_is_50_items(callers: Callers, filled: World) -> None:
    whole = answer(callers, filled, "grpc", "SystemService/ListErrorReasons", ListErrorReasonsRequest(page_size=1000))
    first = answer(callers, filled, "grpc", "SystemService/ListErrorReasons", ListErrorReasonsRequest())

    assert len(first.error_reasons) == min(50, len(whole.error_reasons))


@pytest.mark.parametrize("transport", ["grpc", "http"])
def test_bars_are_exact(callers: Callers, filled: World, transport: str) -> None:
    request = ListBarsRequest(instrument="NSE:INFY", timeframe="1min")
    request.start_time.FromJsonString("2025-11-03T03:47:00Z")
    request.end_time.FromJsonString("2025-11-03T03:48:00Z")

    bar = answer(callers, filled, transport, "MarketDataService/ListBars", request).bars[0]

    assert bar.open_time.ToJsonString() == "2025-11-03T03:47:00Z"
    assert (bar.open, bar.high, bar.low, bar.close) == (102.0, 103.0, 101.5, 102.25)
    assert (bar.volume, bar.open_interest) == (1000, 5002)
    assert (bar.partial, bar.closed) == (False, True)


@pytest.mark.parametrize("transport", ["grpc", "http"])
def test_larger_bars_begin_with_the_session(callers: Callers, filled: World, transport: str) -> None:
    request = ListBarsRequest(instrument="NSE:INFY", timeframe="3min")

    bars = answer(callers, filled, transport, "MarketDataService/ListBars", request).bars

    assert [bar.open_time.ToJsonString()[11:16] for bar in bars] == ["03:45", "03:48", "03:51", "03:54"]
    assert (bars[0].open, bars[0].high, bars[0].low, bars[0].close, bars[0].volume) == (
        100.0,
        103.0,
        99.5,
        102.25,
        3000,
    )


@pytest.mark.parametrize("transport", ["grpc", "http"])
def test_money_is_decimal_text(callers: Callers, filled: World, transport: str) -> None:
    request = ListM2mCandlesRequest(account=filled.owner.account, strategy=filled.strategy)

    candles = answer(callers, filled, transport, "StrategyService/ListM2mCandles", request).candles

    assert (candles[3].open, candles[3].high, candles[3].low, candles[3].close) == (
        "-10.50",
        "23.25",
        "-30.00",
        "0.0003",
    )
    assert candles[3].leg_count == 1


def test_a_token_of_another_list_is_refused(callers: Callers, filled: World) -> None:
    request = ListLegsRequest(account=filled.owner.account, strategy=filled.strategy, page_size=1)
    token = answer(callers, filled, "grpc", "StrategyService/ListLegs", request).next_page_token

    outcome = callers["grpc"].call(
        filled.method("MarketDataService/ListBars"),
        ListBarsRequest(instrument="NSE:INFY", timeframe="1min", page_token=token),
        filled.token(),
    )

    assert outcome.failure == ("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID", ("page_token",))

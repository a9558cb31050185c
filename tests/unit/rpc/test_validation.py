"""What is checked of every request beside the rules of the contract."""

import pytest
from google.protobuf.message import Message

from server.domain.errors import FieldViolation, InvalidArgument
from server.rpc.validation import RequestValidator
from strikeline.v1 import account_service_pb2 as accounts
from strikeline.v1 import futures_requests_pb2 as futures
from strikeline.v1 import instrument_service_pb2 as instruments
from strikeline.v1 import market_data_service_pb2 as market
from strikeline.v1 import moneyness_series_pb2 as series
from strikeline.v1 import option_distribution_pb2 as distribution
from strikeline.v1 import option_pb2 as option
from strikeline.v1 import strategy_requests_pb2 as strategies
from strikeline.v1 import stream_pb2 as stream

STRATEGY = {"display_name": "a", "tags": ["x", "y"]}


def refused(request: Message) -> list[FieldViolation]:
    with pytest.raises(InvalidArgument) as error:
        RequestValidator().check(request, request.SerializeToString())
    return list(error.value.violations)


def strategy(**changes: object) -> strategies.CreateStrategyRequest:
    return strategies.CreateStrategyRequest(account="mine", strategy={**STRATEGY, **changes})


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (strategy(display_name="a\0b"), "strategy.display_name"),
        (strategy(tags=["x", "\0"]), "strategy.tags[1]"),
        (accounts.CreateAccountRequest(account={"display_name": "a\0"}), "account.display_name"),
        (accounts.ListAccountsRequest(page_token="\0"), "page_token"),
        (instruments.SearchInstrumentsRequest(query="a\0"), "query"),
        (instruments.ListInstrumentsRequest(exchange="N\0E"), "exchange"),
        (market.BatchGetQuotesRequest(instruments=["NSE:INFY", "NSE:\0"]), "instruments[1]"),
    ],
)
def test_a_nul_character_is_refused_where_it_stands(request_: Message, field: str) -> None:
    assert FieldViolation(field, "must not contain the character U+0000") in refused(request_)


SIDES = "must be one of OPTION_TYPE_UNSPECIFIED, OPTION_TYPE_CALL, OPTION_TYPE_PUT"
EXPIRY = "must be a date such as 2025-11-25, or a label such as NWeek+0 or NMonth+1; in a URL, + is written %2B"


@pytest.mark.parametrize(
    ("request_", "field", "description"),
    [
        (distribution.GetStrikeDistributionRequest(option_type=7), "option_type", SIDES),
        (series.ListMoneynessSeriesRequest(expiries=["2025-11-25", "NWeek 0"]), "expiries[1]", EXPIRY),
        (strategies.GetStrategyRequest(account="a b"), "account", "must consist of letters, digits, '_' and '-'"),
    ],
)
def test_a_violation_is_worded_for_people(request_: Message, field: str, description: str) -> None:
    assert FieldViolation(field, description) in refused(request_)


@pytest.mark.parametrize("indicator", [0, 9, 99], ids=["missing", "excluded", "unknown"])
def test_an_enum_that_is_wrong_or_missing_is_told_what_it_may_be(indicator: int) -> None:
    request = series.ListMoneynessSeriesRequest(indicator=indicator)

    told = {item.field: item.description for item in refused(request)}["indicator"]

    names = told.removeprefix("must be one of ").split(", ")
    assert names == [name for name in option.OptionIndicator.keys()[1:] if name != "OPTION_INDICATOR_MAX_PAIN"]


def test_an_enum_deep_in_a_request_is_told_too() -> None:
    request = market.StreamTicksRequest(instruments=["NSE:INFY"], options={"slow_consumer": 9})

    names = ", ".join(stream.SlowConsumer.keys())
    assert refused(request) == [FieldViolation("options.slow_consumer", f"must be one of {names}")]


def test_a_nul_character_is_named_beside_what_else_is_wrong() -> None:
    assert [item.field for item in refused(strategy(display_name="a\0", description="x" * 2001))] == [
        "strategy.description",
        "strategy.display_name",
    ]


def test_zero_bytes_that_are_no_text_are_fine() -> None:
    request = futures.ListPositionSignalsRequest(underlying="NIFTY", timeframe="1min", threshold_percent=0.5)
    assert b"\0" in request.SerializeToString()

    RequestValidator().check(request, request.SerializeToString())

"""Requests of OptionService."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from server.contract.testing.examples.example import Example, Wrong
from server.contract.testing.world import World
from strikeline.v1.option_chain_requests_pb2 import GetExpiryMetricsRequest, GetOptionChainRequest, ListExpiriesRequest
from strikeline.v1.option_distribution_pb2 import GetStrikeDistributionRequest
from strikeline.v1.option_pb2 import OPTION_INDICATOR_OPEN_INTEREST, OPTION_INDICATOR_PCR, OPTION_TYPE_CALL
from strikeline.v1.strike_range_pb2 import StrikeRange, StrikeSet

NOTHING = "NOSUCHUNDERLYING"
NO_EXPIRY = "1999-12-31"


def _expiries(world: World) -> Message:
    """As of the morning of the option's last day, so that the system needs no market time."""
    morning = Timestamp()
    morning.FromDatetime(datetime.fromisoformat(world.option.expiry).replace(hour=4, tzinfo=UTC))
    return ListExpiriesRequest(underlying=world.option.underlying, as_of=morning, page_size=3)


def _crossed_deltas(request: Message) -> None:
    assert isinstance(request, GetOptionChainRequest)
    request.range.delta.lowest, request.range.delta.highest = 0.5, 0.25


def _ratio_of_one_side(request: Message) -> None:
    assert isinstance(request, GetStrikeDistributionRequest)
    request.indicator, request.option_type = OPTION_INDICATOR_PCR, OPTION_TYPE_CALL


EXAMPLES: Mapping[str, Example] = MappingProxyType(
    {
        "OptionService/ListExpiries": Example(
            _expiries,
            wrong=(
                Wrong(
                    "token of nobody",
                    lambda request: setattr(request, "page_token", "no-token"),
                    "page_token",
                    "PAGE_TOKEN_INVALID",
                ),
            ),
            missing=lambda _world: ListExpiriesRequest(underlying=NOTHING),
            missing_reason="UNDERLYING_NOT_FOUND",
        ),
        "OptionService/GetOptionChain": Example(
            lambda world: GetOptionChainRequest(
                underlying=world.option.underlying,
                expiry=world.option.expiry,
                range=StrikeRange(strikes=StrikeSet(values=[world.option.strike])),
            ),
            wrong=(Wrong("crossed deltas", _crossed_deltas, "range.delta.highest"),),
            missing=lambda world: GetOptionChainRequest(underlying=world.option.underlying, expiry=NO_EXPIRY),
            missing_reason="EXPIRY_NOT_FOUND",
        ),
        "OptionService/GetExpiryMetrics": Example(
            lambda world: GetExpiryMetricsRequest(underlying=world.option.underlying, expiry=world.option.expiry),
            missing=lambda _world: GetExpiryMetricsRequest(underlying=NOTHING, expiry=NO_EXPIRY),
            missing_reason="UNDERLYING_NOT_FOUND",
        ),
        "OptionService/GetStrikeDistribution": Example(
            lambda world: GetStrikeDistributionRequest(
                underlying=world.option.underlying,
                expiries=[world.option.expiry],
                indicator=OPTION_INDICATOR_OPEN_INTEREST,
                range=StrikeRange(strikes=StrikeSet(values=[world.option.strike])),
            ),
            wrong=(Wrong("ratio of one side", _ratio_of_one_side, "option_type"),),
            missing=lambda world: GetStrikeDistributionRequest(
                underlying=world.option.underlying, expiries=[NO_EXPIRY]
            ),
            missing_reason="EXPIRY_NOT_FOUND",
        ),
    }
)

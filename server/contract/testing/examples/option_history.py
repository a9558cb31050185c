"""Requests for the history of options."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from server.contract.testing.examples.example import Example, Wrong
from server.contract.testing.examples.instruments import NOWHERE
from server.contract.testing.world import World
from strikeline.v1.moneyness_series_pb2 import ListMoneynessSeriesRequest
from strikeline.v1.option_history_pb2 import GetGreeksAtRequest, ListExpiryMetricsRequest, ListStrikeHistoryRequest
from strikeline.v1.option_pb2 import (
    OPTION_INDICATOR_IMPLIED_VOLATILITY,
    OPTION_INDICATOR_MAX_PAIN,
    OPTION_INDICATOR_PCR,
    OPTION_TYPE_PUT,
)

NOTHING = "NOSUCHUNDERLYING"
NO_EXPIRY = "1999-12-31"


def _last_day(world: World, hour: int, minute: int = 0) -> Timestamp:
    """A time (UTC) of the option's last day."""
    time = Timestamp()
    time.FromDatetime(datetime.fromisoformat(world.option.expiry).replace(hour=hour, minute=minute, tzinfo=UTC))
    return time


def _metrics(world: World, expiry: str = "") -> ListExpiryMetricsRequest:
    return ListExpiryMetricsRequest(
        underlying=world.option.underlying,
        expiry=expiry or world.option.expiry,
        timeframe="5min",
        start_time=_last_day(world, 3),
        end_time=_last_day(world, 10),
        page_size=3,
    )


def _series(world: World, expiry: str = "") -> ListMoneynessSeriesRequest:
    return ListMoneynessSeriesRequest(
        underlying=world.option.underlying,
        indicator=OPTION_INDICATOR_IMPLIED_VOLATILITY,
        expiries=[expiry or world.option.expiry],
        timeframe="15min",
        start_time=_last_day(world, 3),
        end_time=_last_day(world, 10),
    )


def _strike(world: World, expiry: str = "") -> ListStrikeHistoryRequest:
    return ListStrikeHistoryRequest(
        underlying=world.option.underlying,
        expiry=expiry or world.option.expiry,
        strike=world.option.strike,
        timeframe="1min",
        start_time=_last_day(world, 3),
        end_time=_last_day(world, 10),
        page_size=5,
    )


def _backwards(request: Message) -> None:
    start, end = getattr(request, "start_time"), getattr(request, "end_time")
    assert isinstance(start, Timestamp)
    assert isinstance(end, Timestamp)
    end.CopyFrom(start)


def _ratio_of_one_side(request: Message) -> None:
    assert isinstance(request, ListMoneynessSeriesRequest)
    request.indicator, request.option_type = OPTION_INDICATOR_PCR, OPTION_TYPE_PUT


_SERIES = (
    Wrong("end before start", _backwards, "end_time"),
    Wrong("token of nobody", lambda request: setattr(request, "page_token", "no"), "page_token", "PAGE_TOKEN_INVALID"),
    Wrong("timeframe 7min", lambda request: setattr(request, "timeframe", "7min"), "timeframe", "TIMEFRAME_UNKNOWN"),
)

EXAMPLES: Mapping[str, Example] = MappingProxyType(
    {
        "OptionService/ListExpiryMetrics": Example(
            _metrics,
            wrong=_SERIES,
            missing=lambda world: _metrics(world, NO_EXPIRY),
            missing_reason="EXPIRY_NOT_FOUND",
        ),
        "OptionService/ListMoneynessSeries": Example(
            _series,
            wrong=(
                *_SERIES,
                Wrong(
                    "figure of an expiry",
                    lambda request: setattr(request, "indicator", OPTION_INDICATOR_MAX_PAIN),
                    "indicator",
                ),
                Wrong("ratio of one side", _ratio_of_one_side, "option_type"),
            ),
            missing=lambda world: _series(world, NO_EXPIRY),
            missing_reason="EXPIRY_NOT_FOUND",
        ),
        "OptionService/ListStrikeHistory": Example(
            _strike,
            wrong=_SERIES,
            missing=lambda world: _strike(world, NO_EXPIRY),
            missing_reason="EXPIRY_NOT_FOUND",
        ),
        "OptionService/GetGreeksAt": Example(
            lambda world: GetGreeksAtRequest(instrument=world.option.instrument, time=_last_day(world, 3, 55)),
            missing=lambda world: GetGreeksAtRequest(instrument=NOWHERE, time=_last_day(world, 4)),
            missing_reason="INSTRUMENT_NOT_FOUND",
        ),
    }
)

"""Requests of FuturesService."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from server.contract.testing.examples.example import Example, Wrong, page_token_of_nobody, unknown_timeframe
from server.contract.testing.world import NotPrepared, World
from strikeline.v1 import instrument_pb2, stream_pb2
from strikeline.v1.futures_requests_pb2 import (
    GetFuturesSummaryRequest,
    GetRolloverMetricsRequest,
    GetTermStructureRequest,
    ListPositionSignalsRequest,
    StreamPositionSignalsRequest,
)
from strikeline.v1.instrument_service_pb2 import ListInstrumentsRequest, ListInstrumentsResponse

NOTHING = "NOSUCHUNDERLYING"
STREAM = ("stream", "resume_token", "as_of")


def _future(world: World) -> instrument_pb2.Instrument:
    """A future of the system."""
    request = ListInstrumentsRequest(kind=instrument_pb2.INSTRUMENT_KIND_FUTURE, include_expired=True, page_size=1)
    found = world.do("InstrumentService/ListInstruments", request, ListInstrumentsResponse).instruments
    if not found:
        raise NotPrepared("the system has no future")
    return found[0]


def _last_morning(future: instrument_pb2.Instrument, hour: int = 4) -> Timestamp:
    """An hour (UTC) of the morning of the future's last day, so that the system needs no market time."""
    morning = Timestamp()
    morning.FromDatetime(datetime.fromisoformat(future.expiry).replace(hour=hour, tzinfo=UTC))
    return morning


def _rollover(world: World) -> Message:
    future = _future(world)
    return GetRolloverMetricsRequest(underlying=future.underlying, as_of=_last_morning(future))


def _summary(world: World) -> Message:
    future = _future(world)
    return GetFuturesSummaryRequest(underlying=future.underlying, as_of=_last_morning(future))


def _term_structure(world: World) -> Message:
    future = _future(world)
    return GetTermStructureRequest(underlying=future.underlying, as_of=_last_morning(future))


def _signals(world: World) -> Message:
    future = _future(world)
    return ListPositionSignalsRequest(
        underlying=future.underlying, timeframe="5min", start_time=_last_morning(future, 3), page_size=5
    )


def _stream(world: World) -> Message:
    future = _future(world)
    return StreamPositionSignalsRequest(underlying=future.underlying, instruments=[future.instrument])


def _backwards(request: Message) -> None:
    assert isinstance(request, ListPositionSignalsRequest)
    request.end_time.CopyFrom(request.start_time)


def _not_a_future(request: Message) -> None:
    assert isinstance(request, ListPositionSignalsRequest | StreamPositionSignalsRequest)
    request.underlying = "NIFTY BANK"


def _bad_resume_token(request: Message) -> None:
    options = getattr(request, "options")
    assert isinstance(options, stream_pb2.StreamOptions)
    options.resume_token = "made-up"


EXAMPLES: Mapping[str, Example] = MappingProxyType(
    {
        "FuturesService/ListPositionSignals": Example(
            _signals,
            wrong=(
                Wrong("end before start", _backwards, "end_time"),
                page_token_of_nobody(),
                unknown_timeframe("7min"),
            ),
            missing=lambda _world: ListPositionSignalsRequest(underlying=NOTHING, timeframe="1min"),
            missing_reason="UNDERLYING_NOT_FOUND",
        ),
        "FuturesService/GetRolloverMetrics": Example(
            _rollover,
            missing=lambda _world: GetRolloverMetricsRequest(underlying=NOTHING),
            missing_reason="UNDERLYING_NOT_FOUND",
        ),
        "FuturesService/GetFuturesSummary": Example(
            _summary,
            missing=lambda _world: GetFuturesSummaryRequest(underlying=NOTHING),
            missing_reason="UNDERLYING_NOT_FOUND",
        ),
        "FuturesService/GetTermStructure": Example(
            _term_structure,
            missing=lambda _world: GetTermStructureRequest(underlying=NOTHING),
            missing_reason="UNDERLYING_NOT_FOUND",
        ),
        "FuturesService/StreamPositionSignals": Example(
            _stream,
            volatile=STREAM,
            wrong=(
                Wrong("made-up resume token", _bad_resume_token, "options.resume_token", "RESUME_TOKEN_INVALID"),
                unknown_timeframe("2min"),
                Wrong("a contract of another underlying", _not_a_future, "instruments[0]"),
            ),
            missing=lambda _world: StreamPositionSignalsRequest(underlying=NOTHING),
            missing_reason="UNDERLYING_NOT_FOUND",
        ),
    }
)

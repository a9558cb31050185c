"""Requests of the streams of OptionService."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from google.protobuf.message import Message

from server.contract.testing.examples.example import Example, Wrong
from server.contract.testing.examples.market_data import STREAM, bad_resume_token
from server.contract.testing.examples.options import NO_EXPIRY, NOTHING
from server.contract.testing.world import World
from strikeline.v1.option_stream_pb2 import StreamOptionBucketsRequest, StreamOptionChainRequest, StreamStrikeRequest
from strikeline.v1.strike_range_pb2 import StrikeRange


def _chain(world: World) -> Message:
    return StreamOptionChainRequest(
        underlying=world.option.underlying, expiries=[world.option.expiry, NO_EXPIRY], range=StrikeRange(atm_steps=2)
    )


def _strike(world: World) -> Message:
    return StreamStrikeRequest(
        underlying=world.option.underlying, expiry=world.option.expiry, strike=world.option.strike
    )


def _no_expiry(request: Message) -> None:
    assert isinstance(request, StreamOptionChainRequest)
    request.expiries[:] = ["tomorrow"]


EXAMPLES: Mapping[str, Example] = MappingProxyType(
    {
        "OptionService/StreamOptionChain": Example(
            _chain,
            volatile=STREAM,
            wrong=(bad_resume_token(), Wrong("an expiry that is none", _no_expiry, "expiries[0]")),
            missing=lambda _world: StreamOptionChainRequest(underlying=NOTHING),
            missing_reason="UNDERLYING_NOT_FOUND",
        ),
        "OptionService/StreamOptionBuckets": Example(
            lambda world: StreamOptionBucketsRequest(underlyings=[world.option.underlying, NOTHING], timeframe="5min"),
            volatile=STREAM,
            wrong=(
                bad_resume_token(),
                Wrong(
                    "a timeframe that has none",
                    lambda request: setattr(request, "timeframe", "30min"),
                    "timeframe",
                    "TIMEFRAME_UNKNOWN",
                ),
            ),
            missing=lambda _world: StreamOptionBucketsRequest(underlyings=[NOTHING]),
            missing_reason="UNDERLYING_NOT_FOUND",
        ),
        "OptionService/StreamStrike": Example(
            _strike,
            volatile=STREAM,
            wrong=(bad_resume_token(),),
            missing=lambda world: StreamStrikeRequest(
                underlying=world.option.underlying, expiry=NO_EXPIRY, strike=world.option.strike
            ),
            missing_reason="EXPIRY_NOT_FOUND",
        ),
    }
)

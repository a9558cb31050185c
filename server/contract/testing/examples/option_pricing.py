"""Requests of OptionService that value options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from google.protobuf.message import Message

from server.contract.testing.examples.example import Example, Wrong
from server.contract.testing.world import World
from strikeline.v1.option_pb2 import OPTION_TYPE_CALL, OPTION_TYPE_PUT
from strikeline.v1.option_pricing_pb2 import CalculateGreeksRequest, GetVolatilitySurfaceRequest, GreeksInput

NOTHING = "NOSUCHUNDERLYING"


def _call(**fields: float) -> GreeksInput:
    asked = GreeksInput(option_type=OPTION_TYPE_CALL, strike=24_200.0, spot=24_000.0, years_to_expiry=0.1)
    for name, value in fields.items():
        setattr(asked, name, value)
    return asked


def _questions(world: World) -> CalculateGreeksRequest:
    """One by volatility, one by price, one of a listed option, and one without an answer."""
    put = GreeksInput(option_type=OPTION_TYPE_PUT, strike=24_200.0, forward=24_100.0, years_to_expiry=0.1, price=410.5)
    return CalculateGreeksRequest(
        inputs=[
            _call(volatility=0.12),
            put,
            GreeksInput(instrument=world.option.instrument, spot=24_000.0, years_to_expiry=0.1, volatility=0.15),
            _call(price=0.0),
        ]
    )


def _wrong(label: str, field: str, **fields: float | str) -> Wrong:
    """The first input with other fields."""

    def change(request: Message) -> None:
        assert isinstance(request, CalculateGreeksRequest)
        for name, value in fields.items():
            setattr(request.inputs[0], name, value)

    return Wrong(label, change, f"inputs[0].{field}")


def _without(field: str) -> Wrong:
    """The first input without a field."""

    def change(request: Message) -> None:
        assert isinstance(request, CalculateGreeksRequest)
        clear: Callable[[str], None] = getattr(request.inputs[0], "ClearField")
        clear(field)

    named = {"volatility": "price"}.get(field, field)
    return Wrong(f"without {field}", change, f"inputs[0].{named}")


def _surface(world: World, underlying: str = "") -> GetVolatilitySurfaceRequest:
    """Of the option's own expiry, so that the system needs no market time."""
    return GetVolatilitySurfaceRequest(
        underlying=underlying or world.option.underlying, expiries=[world.option.expiry], deltas=[-0.25, 0.25]
    )


EXAMPLES: Mapping[str, Example] = MappingProxyType(
    {
        "OptionService/CalculateGreeks": Example(
            _questions,
            volatile=("as_of",),
            wrong=(
                _without("option_type"),
                _without("strike"),
                _without("years_to_expiry"),
                _without("spot"),
                _without("volatility"),
                _wrong("price beside volatility", "volatility", price=100.0),
                _wrong("strike beside an instrument", "strike", instrument="NFO:NIFTY25NOV24500CE"),
            ),
        ),
        "OptionService/GetVolatilitySurface": Example(
            _surface,
            volatile=("as_of",),
            wrong=(Wrong("no date", lambda request: getattr(request, "expiries").append("2025-1-1"), "expiries[1]"),),
            missing=lambda world: _surface(world, NOTHING),
            missing_reason="UNDERLYING_NOT_FOUND",
        ),
    }
)

"""Figures of option models as messages."""

from __future__ import annotations

import math
from types import MappingProxyType

from server.domain.options.arrays import FloatArray
from server.domain.options.conventions import Convention
from server.domain.options.forward import ForwardSource
from server.domain.options.greeks import NAMES
from server.market.chains import LiveChain
from strikeline.v1 import option_pb2

SOURCES = MappingProxyType(
    {source: option_pb2.ForwardSource.Value(f"FORWARD_SOURCE_{source}") for source in ForwardSource}
)
"""The contract's word for where a forward was taken from."""


def known(value: float) -> float | None:
    """A value for an optional field; None where it is absent."""
    return value if math.isfinite(value) else None


def greeks_message(column: FloatArray) -> option_pb2.Greeks:
    """Eleven figures in the order of `NAMES`; what is not finite is absent."""
    return option_pb2.Greeks(
        **{name: value for name, value in zip(NAMES, column.tolist(), strict=True) if math.isfinite(value)}
    )


def basis_message(chain: LiveChain) -> option_pb2.ValuationBasis:
    """What a live chain is valued with."""
    forward = chain.forward
    reference = option_pb2.GREEKS_REFERENCE_FORWARD if chain.spot is None else option_pb2.GREEKS_REFERENCE_SPOT
    return option_pb2.ValuationBasis(
        model=option_pb2.PRICING_MODEL_BLACK_76,
        spot=chain.spot,
        forward=None if forward is None else forward.price,
        forward_source=option_pb2.FORWARD_SOURCE_UNSPECIFIED if forward is None else SOURCES[forward.source],
        forward_strike=None if forward is None else forward.strike,
        rate=chain.rate,
        dividend_yield=chain.dividend_yield,
        years_to_expiry=chain.years,
        day_count=option_pb2.DAY_COUNT_ACT_365,
        greeks_reference=reference,
    )


def convention_basis(convention: Convention) -> option_pb2.ValuationBasis:
    """What a convention fixes."""
    if convention is Convention.NSE:
        return option_pb2.ValuationBasis(
            model=option_pb2.PRICING_MODEL_BLACK_SCHOLES,
            day_count=option_pb2.DAY_COUNT_CALENDAR_365,
            greeks_reference=option_pb2.GREEKS_REFERENCE_SPOT,
        )
    on_spot = convention is Convention.SPOT
    return option_pb2.ValuationBasis(
        model=option_pb2.PRICING_MODEL_BLACK_76,
        day_count=option_pb2.DAY_COUNT_ACT_365,
        greeks_reference=option_pb2.GREEKS_REFERENCE_SPOT if on_spot else option_pb2.GREEKS_REFERENCE_FORWARD,
    )

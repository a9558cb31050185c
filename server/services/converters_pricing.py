"""Figures of option models as messages."""

from __future__ import annotations

import math

from server.domain.options.arrays import FloatArray
from server.domain.options.conventions import Convention
from server.domain.options.greeks import NAMES
from server.market.chain_messages import Basis, basis_fields, fill
from strikeline.v1 import option_pb2


def known(value: float) -> float | None:
    """A value for an optional field; None where it is absent."""
    return value if math.isfinite(value) else None


def greeks_message(column: FloatArray) -> option_pb2.Greeks:
    """Eleven figures in the order of `NAMES`; what is not finite is absent."""
    return option_pb2.Greeks(
        **{name: value for name, value in zip(NAMES, column.tolist(), strict=True) if math.isfinite(value)}
    )


def basis_message(chain: Basis) -> option_pb2.ValuationBasis:
    """What a chain is valued with."""
    basis = option_pb2.ValuationBasis()
    fill(basis, basis_fields(chain))
    return basis


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

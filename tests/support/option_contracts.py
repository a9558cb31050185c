"""Contracts to be valued, made the short way: where no forward is given, the spot is carried."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from server.domain.options.arrays import ABSENT, FloatArray, floats
from server.domain.options.black76 import Contracts


def forward_price(spot: ArrayLike, rate: ArrayLike, dividend_yield: ArrayLike, years: ArrayLike) -> FloatArray:
    """Forward by carry: S·e^((r − q)·T)."""
    return floats(spot) * np.exp((floats(rate) - floats(dividend_yield)) * floats(years))


def contracts_of(
    *,
    call: ArrayLike,
    strike: ArrayLike,
    years: ArrayLike,
    spot: ArrayLike = ABSENT,
    forward: ArrayLike = ABSENT,
    rate: ArrayLike = 0.0,
    dividend_yield: ArrayLike = 0.0,
    by_forward: bool = False,
) -> Contracts:
    """Contracts whose Greeks are with respect to the spot, or `by_forward`."""
    given = floats(forward)
    forwards = np.where(np.isnan(given), forward_price(spot, rate, dividend_yield, years), given)
    underlying = None if by_forward else spot
    return Contracts.of(call=call, strike=strike, underlying=underlying, forward=forwards, rate=rate, years=years)

"""Black-76 prices with a smile, for synthetic options. Analytics have their own, exact model."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

RATE: Final = 0.065
"""Yearly discount rate, continuous."""

CARRY: Final = 0.055
"""Yearly carry of futures over spot, continuous."""

_SKEW: Final = -0.06
_CURVATURE: Final = 0.03
_FURTHEST: Final = 6.0

Floats = NDArray[np.float64]


def forward(spot: Floats, years: Floats) -> Floats:
    """Price of the future that expires in `years`."""
    value: Floats = spot * np.exp(CARRY * years)
    return value


def smile(forwards: Floats, strikes: Floats, years: Floats, at_money: Floats) -> Floats:
    """Yearly volatility of each strike: higher for low strikes, and away from the money."""
    distance = np.log(strikes / forwards) / (at_money * np.sqrt(years))
    distance = np.clip(distance, -_FURTHEST, _FURTHEST)
    volatility: Floats = at_money * (1 + _SKEW * distance + _CURVATURE * distance**2)
    return volatility


def option_price(forwards: Floats, strikes: Floats, years: Floats, volatility: Floats, sign: Floats) -> Floats:
    """Discounted price of options; `sign` is +1 for a call, -1 for a put. `years` are above 0."""
    deviation = volatility * np.sqrt(years)
    upper = np.log(forwards / strikes) / deviation + deviation / 2
    lower = upper - deviation
    payoff = sign * (forwards * _normal(sign * upper) - strikes * _normal(sign * lower))
    price: Floats = np.maximum(0.0, np.exp(-RATE * years) * payoff)
    return price


def _normal(value: Floats) -> Floats:
    """Cumulative normal distribution, within 1e-7 (Abramowitz and Stegun 26.2.17)."""
    magnitude = np.abs(value)
    weight = 1 / (1 + 0.2316419 * magnitude)
    polynomial = weight * (
        0.319381530 + weight * (-0.356563782 + weight * (1.781477937 + weight * (-1.821255978 + weight * 1.330274429)))
    )
    tail = np.exp(-(magnitude**2) / 2) / np.sqrt(2 * np.pi) * polynomial
    below: Floats = np.where(value >= 0, 1 - tail, tail)
    return below

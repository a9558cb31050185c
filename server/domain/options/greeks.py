"""Greeks of first and second order under Black's model, for whole arrays at once, in the units that traders use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from server.domain.options.arrays import BLOCK, BoolArray, FloatArray, floats, optional
from server.domain.options.black76 import Contracts, distances, positive, price
from server.domain.options.normal import SQRT_HALF, SQRT_TWO_PI, scaled_complementary_error

NAMES: Final = (
    "delta",
    "gamma",
    "theta",
    "vega",
    "rho",
    "vanna",
    "vomma",
    "charm",
    "speed",
    "zomma",
    "colour",
)
"""Rows of `Greeks.values`, in order."""

HIGHEST_CARRY: Final = 1.0
"""The most that carry counts, a fraction a year either way: beyond it ln(F/U)/T is noise of prices in a short time."""

_DAYS: Final = 365.0
_POINT: Final = 0.01
_DELTA, _GAMMA, _THETA, _VEGA, _RHO, _VANNA, _VOMMA, _CHARM, _SPEED, _ZOMMA, _COLOUR = range(len(NAMES))


@dataclass(frozen=True)
class Greeks:
    """Eleven Greeks of n contracts, one unit long each: `values` has the shape (11, n), rows as in `NAMES`.

    With respect to the underlying that the contracts name. NaN is absent: not known, or withheld.
    """

    values: FloatArray

    @property
    def delta(self) -> FloatArray:
        """Change of the price for 1 rupee of the underlying; within [0, 1] for calls, [-1, 0] for puts, about."""
        return self._row(_DELTA)

    @property
    def gamma(self) -> FloatArray:
        """Change of delta for 1 rupee of the underlying, at or above 0."""
        return self._row(_GAMMA)

    @property
    def theta(self) -> FloatArray:
        """Change of the price as one calendar day passes; mostly below 0."""
        return self._row(_THETA)

    @property
    def vega(self) -> FloatArray:
        """Change of the price for one volatility point (0.01), at or above 0."""
        return self._row(_VEGA)

    @property
    def rho(self) -> FloatArray:
        """Change of the price for 1 % of rate (0.01)."""
        return self._row(_RHO)

    @property
    def vanna(self) -> FloatArray:
        """Change of delta for one volatility point."""
        return self._row(_VANNA)

    @property
    def vomma(self) -> FloatArray:
        """Change of vega for one volatility point: per volatility point squared."""
        return self._row(_VOMMA)

    @property
    def charm(self) -> FloatArray:
        """Change of delta as one calendar day passes."""
        return self._row(_CHARM)

    @property
    def speed(self) -> FloatArray:
        """Change of gamma for 1 rupee of the underlying."""
        return self._row(_SPEED)

    @property
    def zomma(self) -> FloatArray:
        """Change of gamma for one volatility point."""
        return self._row(_ZOMMA)

    @property
    def colour(self) -> FloatArray:
        """Change of gamma as one calendar day passes."""
        return self._row(_COLOUR)

    def _row(self, number: int) -> FloatArray:
        return floats(self.values[number])


def greeks(contracts: Contracts, volatility: ArrayLike) -> Greeks:
    """Greeks at a volatility (fraction a year).

    The carry b = ln(F/U)/T and with it the yield q = r − b are what the forward says; moving the underlying, the
    rate or the time keeps q. Where the underlying is the forward itself, b is 0 and rho moves the discount alone.
    As time passes (theta, charm, colour) the forward comes nearer to the underlying by no more than `HIGHEST_CARRY`.
    NaN where an input is absent, volatility is not above 0, or time is over.
    """
    sigma = np.broadcast_to(floats(volatility), contracts.strike.shape)
    values = np.empty((len(NAMES), len(contracts)))
    with np.errstate(all="ignore"):
        for start in range(0, len(contracts), BLOCK):
            rows = slice(start, start + BLOCK)
            _fill(values[:, rows], contracts.part(rows), sigma[rows])
    return Greeks(values)


def limited_carry(contracts: Contracts) -> FloatArray:
    """The carry b = ln(F/U)/T, fraction a year, within ±`HIGHEST_CARRY`."""
    carry = np.log(contracts.forward / contracts.underlying) / contracts.years
    return np.clip(carry, -HIGHEST_CARRY, HIGHEST_CARRY)


def net_greeks(single: Greeks, signed_units: ArrayLike) -> Mapping[str, float | None]:
    """Σ Greek × units over contracts, units above 0 bought and below 0 sold; by name, in the order of `NAMES`.

    A sum is absent as soon as one of its contracts is; no contracts sum to 0.
    """
    sums = (single.values * floats(signed_units)).sum(axis=1)
    return MappingProxyType({name: optional(value) for name, value in zip(NAMES, sums, strict=True)})


@dataclass(frozen=True)
class _Terms:
    """What the formulas share. `d1`, `d2`; `chance1`, `chance2` = ±N(±d1), ±N(±d2); `density` = e^(−qT)·φ(d1)."""

    years: FloatArray
    root: FloatArray
    sigma: FloatArray
    deviation: FloatArray
    carry: FloatArray
    d1: FloatArray
    d2: FloatArray
    density: FloatArray
    growth: FloatArray
    discount: FloatArray
    chance1: FloatArray
    chance2: FloatArray


def _terms(contracts: Contracts, volatility: FloatArray) -> _Terms:
    years = positive(contracts.years)
    sigma = np.where(years > 0.0, positive(volatility), np.nan)
    root = np.sqrt(years)
    deviation = sigma * root
    d1, d2 = distances(contracts, sigma)
    pair = np.stack((d1, d2))
    bell = np.exp(-0.5 * (pair * pair))
    chances = _chances(contracts.call, pair, bell)
    discount = contracts.discount()
    growth = discount * contracts.forward / contracts.underlying
    return _Terms(
        years=years,
        root=root,
        sigma=sigma,
        deviation=deviation,
        carry=limited_carry(contracts),
        d1=d1,
        d2=d2,
        density=bell[0] * growth / SQRT_TWO_PI,
        growth=growth,
        discount=discount,
        chance1=chances[0],
        chance2=chances[1],
    )


def _chances(call: BoolArray, pair: FloatArray, bell: FloatArray) -> FloatArray:
    """N(d) of calls and −N(−d) of puts, with relative precision in the tails."""
    tail = scaled_complementary_error(np.abs(pair) * SQRT_HALF)
    tail *= bell
    tail *= 0.5
    return np.where((pair < 0.0) == call, tail, 1.0 - tail) * np.where(call, 1.0, -1.0)


def _fill(values: FloatArray, contracts: Contracts, volatility: FloatArray) -> None:
    terms = _terms(contracts, volatility)
    _first_order(values, contracts, terms)
    _second_order(values, contracts, terms)
    if contracts.by_forward.any():
        worth = price(contracts, terms.sigma)
        values[_RHO] = np.where(contracts.by_forward, -_POINT * contracts.years * worth, values[_RHO])


def _first_order(values: FloatArray, contracts: Contracts, terms: _Terms) -> None:
    base, present_strike = contracts.underlying, contracts.strike * terms.discount
    exercise = present_strike * terms.chance2
    sensitivity = base * terms.density
    np.multiply(terms.growth, terms.chance1, out=values[_DELTA])
    np.divide(terms.density, base * terms.deviation, out=values[_GAMMA])
    np.multiply(sensitivity * _POINT, terms.root, out=values[_VEGA])
    np.multiply(exercise * _POINT, terms.years, out=values[_RHO])
    erosion = sensitivity * terms.sigma / (-2.0 * terms.root)
    erosion += (contracts.rate - terms.carry) * base * values[_DELTA]
    erosion -= contracts.rate * exercise
    np.divide(erosion, _DAYS, out=values[_THETA])


def _second_order(values: FloatArray, contracts: Contracts, terms: _Terms) -> None:
    dividend = contracts.rate - terms.carry
    per_point = _POINT / terms.sigma
    product = terms.d1 * terms.d2
    gamma = values[_GAMMA]
    drift = (2.0 * terms.carry * terms.years - terms.d2 * terms.deviation) / terms.deviation
    np.multiply(terms.density * terms.d2, -per_point, out=values[_VANNA])
    np.multiply(values[_VEGA] * product, per_point, out=values[_VOMMA])
    passing = dividend * values[_DELTA] - terms.density * drift / (2.0 * terms.years)
    np.divide(passing, _DAYS, out=values[_CHARM])
    np.multiply(gamma / -contracts.underlying, terms.d1 / terms.deviation + 1.0, out=values[_SPEED])
    np.multiply(gamma * (product - 1.0), per_point, out=values[_ZOMMA])
    fading = gamma / (2.0 * terms.years) * (2.0 * dividend * terms.years + 1.0 + terms.d1 * drift)
    np.divide(fading, _DAYS, out=values[_COLOUR])

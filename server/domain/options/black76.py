"""Black's model of 1976: a European option on the forward of its expiry, priced for whole arrays at once.

Everything rests on the normalised price b(x, s) of the option that is out of the money, with x = −|ln(F/K)| and
s = σ√T:  price = discount · (intrinsic + √(F·K) · b). It keeps its relative precision down to 1e-290, where
differences of F·N(d1) and K·N(d2) have none left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from server.domain.options.arrays import BoolArray, FloatArray, floats
from server.domain.options.normal import SQRT_HALF, SQRT_TWO_PI, scaled_complementary_error


@dataclass(frozen=True, kw_only=True)
class Contracts:
    """European options and the market that they are valued in. Arrays of one length.

    `call` is true for calls, false for puts. `strike` and `forward` are in rupees (or index points), above 0.
    `underlying` is the price that Greeks are with respect to: the spot, or the forward itself where `by_forward` says
    so, for a spot may happen to equal the forward. `rate` is a fraction a year, continuously compounded. `years` is
    the time to expiry. Where a number is NaN or not above 0 (the rate may be anything), every result is NaN.
    """

    call: BoolArray
    strike: FloatArray
    underlying: FloatArray
    forward: FloatArray
    rate: FloatArray
    years: FloatArray
    by_forward: BoolArray

    @classmethod
    def of(
        cls,
        *,
        call: ArrayLike,
        strike: ArrayLike,
        forward: ArrayLike,
        rate: ArrayLike,
        years: ArrayLike,
        underlying: ArrayLike | None = None,
        by_forward: ArrayLike = False,
    ) -> Contracts:
        """Contracts of arrays and of scalars that hold for all; Greeks are with respect to the forward by default.

        Where `by_forward` holds, `underlying` is not looked at.
        """
        reference = np.asarray(True if underlying is None else by_forward, np.bool_)
        base = forward if underlying is None else np.where(reference, floats(forward), floats(underlying))
        flags, references, *rest = np.broadcast_arrays(
            np.atleast_1d(np.asarray(call, np.bool_)),
            reference,
            floats(strike),
            floats(base),
            floats(forward),
            floats(rate),
            floats(years),
        )
        strikes, bases, forwards, rates, times = (floats(column) for column in rest)
        return cls(
            call=flags,
            strike=strikes,
            underlying=bases,
            forward=forwards,
            rate=rates,
            years=times,
            by_forward=references,
        )

    def __len__(self) -> int:
        return len(self.strike)

    def part(self, rows: slice | BoolArray) -> Contracts:
        """Some of the contracts, in the same order."""
        return Contracts(
            call=self.call[rows],
            strike=self.strike[rows],
            underlying=self.underlying[rows],
            forward=self.forward[rows],
            rate=self.rate[rows],
            years=self.years[rows],
            by_forward=self.by_forward[rows],
        )

    def discount(self) -> FloatArray:
        """Value today of one rupee at expiry."""
        return np.exp(-self.rate * self.years)

    def intrinsic(self) -> FloatArray:
        """Discounted intrinsic value of the forward: the least that a price can be without arbitrage."""
        distance = self.forward - self.strike
        return np.maximum(np.where(self.call, distance, -distance), 0.0) * self.discount()


def price(contracts: Contracts, volatility: ArrayLike) -> FloatArray:
    """Prices at a volatility (fraction a year, at or above 0). NaN where an input is absent or time is over."""
    sigma = floats(volatility)
    with np.errstate(all="ignore"):
        deviation = sigma * np.sqrt(positive(contracts.years))
        scale = np.sqrt(positive(contracts.forward) * positive(contracts.strike))
        moneyness = -np.abs(np.log(contracts.forward / contracts.strike))
        value = normalised_price(moneyness, deviation)
        value = np.where(deviation > 0.0, value, np.where(deviation == 0.0, 0.0, np.nan))
        return contracts.intrinsic() + contracts.discount() * scale * value


def distances(contracts: Contracts, volatility: FloatArray) -> tuple[FloatArray, FloatArray]:
    """d1 and d2: how many standard deviations the forward is above the strike, with and without the drift s/2."""
    deviation = volatility * np.sqrt(contracts.years)
    d1 = np.log(contracts.forward / contracts.strike) / deviation + 0.5 * deviation
    return d1, d1 - deviation


def positive(values: FloatArray) -> FloatArray:
    """The values that are above 0, NaN elsewhere."""
    return np.where(values > 0.0, values, np.nan)


class Kernel(NamedTuple):
    """What the normalised price at (x, s) is made of; see `normalised_kernel`."""

    ratio: FloatArray
    weight: FloatArray
    near: FloatArray
    far: FloatArray
    direct: BoolArray

    def value(self, ceiling: FloatArray) -> FloatArray:
        """b(x, s) below its limit e^(x/2)."""
        return np.where(self.direct, self.weight * (self.near - self.far), ceiling - self.complement(ceiling))

    def complement(self, ceiling: FloatArray) -> FloatArray:
        """e^(x/2) − b(x, s), with relative precision where b approaches its limit."""
        left = self.weight * (self.near + self.far)
        return np.where(self.direct, ceiling - self.weight * (self.near - self.far), left)

    def slope(self) -> FloatArray:
        """∂b/∂s."""
        return self.weight * (2.0 / SQRT_TWO_PI)


def normalised_kernel(moneyness: FloatArray, deviation: FloatArray) -> Kernel:
    """The parts of b(x, s) = e^(x/2)·N(x/s + s/2) − e^(−x/2)·N(x/s − s/2) for x ≤ 0 and s > 0.

    Both terms share the factor exp(−(x²/s² + s²/4)/2), so that their difference is taken between scaled error
    functions, which lose nothing in the wings (`direct`); where x/s + s/2 > 0 it is taken from the limit e^(x/2).
    """
    ratio = moneyness / deviation
    half = deviation * 0.5
    arguments = np.stack((ratio + half, half - ratio))
    arguments *= SQRT_HALF
    direct = arguments[0] <= 0.0
    pair = scaled_complementary_error(np.abs(arguments, out=arguments))
    half *= half
    half += ratio * ratio
    half *= -0.5
    weight = np.exp(half, out=half)
    weight *= 0.5
    return Kernel(ratio, weight, pair[0], pair[1], direct)


def normalised_price(moneyness: FloatArray, deviation: FloatArray) -> FloatArray:
    """b(x, s) for x ≤ 0 and s > 0: price over discount·√(F·K) of the option that is out of the money."""
    return normalised_kernel(moneyness, deviation).value(np.exp(moneyness * 0.5))

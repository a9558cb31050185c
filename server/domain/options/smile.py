"""The volatility smile of one expiry: the options that are out of the money, read by strike, by delta, or smoothed."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from server.domain.options.arrays import ABSENT, FloatArray, floats
from server.domain.options.black76 import Contracts, price
from server.domain.options.chain import Chain
from server.domain.options.moneyness import nearest_index
from server.domain.options.normal import cumulative

BANDWIDTH: Final = 0.5
"""How far smoothing looks, in standard deviations of the forward at the money."""

_FEWEST: Final = 4
_NORMAL: Final = NormalDist()


@dataclass(frozen=True)
class Smile:
    """Volatilities by strike, ascending, known ones only. `years` is above 0."""

    forward: float
    years: float
    strikes: FloatArray
    volatility: FloatArray

    @classmethod
    def of(cls, chain: Chain, forward: float, years: float) -> Smile:
        """Puts below the forward, calls from it upward; the other side of the strike where that one is not known."""
        calls, puts = chain.calls.volatility, chain.puts.volatility
        above = chain.strikes >= forward
        preferred, other = np.where(above, calls, puts), np.where(above, puts, calls)
        chosen = np.where(np.isfinite(preferred), preferred, other)
        known = np.isfinite(chosen) & (chosen > 0.0)
        return cls(forward, years, chain.strikes[known], chosen[known])

    def __len__(self) -> int:
        return len(self.strikes)

    @property
    def log_moneyness(self) -> FloatArray:
        """ln(K/F) of the strikes."""
        return np.log(self.strikes / self.forward)

    @property
    def total_variance(self) -> FloatArray:
        """σ²·T of the strikes."""
        return self.volatility * self.volatility * self.years

    def at_log_moneyness(self, values: ArrayLike) -> FloatArray:
        """Volatility at ln(K/F): total variance is linear between strikes. NaN beyond the outermost strikes."""
        wanted = np.atleast_1d(floats(values))
        if not len(self):
            return np.full(wanted.shape, ABSENT)
        variance = np.interp(wanted, self.log_moneyness, self.total_variance, left=ABSENT, right=ABSENT)
        return np.sqrt(variance / self.years)

    def at_strike(self, strikes: ArrayLike) -> FloatArray:
        """Volatility at strikes, listed or not. NaN beyond the outermost strikes."""
        return self.at_log_moneyness(np.log(floats(strikes) / self.forward))

    def at_delta(self, deltas: ArrayLike) -> FloatArray:
        """Volatility where an option has this forward delta: in (0, 1) of calls, in (−1, 0) of puts.

        A put's delta of −0.25 is at the strike of the call's 0.75. NaN beyond the outermost strikes.
        """
        wanted = np.atleast_1d(floats(deltas))
        wanted = np.where(wanted < 0.0, wanted + 1.0, wanted)
        if not len(self):
            return np.full(wanted.shape, ABSENT)
        deviation = self.volatility * np.sqrt(self.years)
        own = cumulative(-self.log_moneyness / deviation + 0.5 * deviation)
        falling = np.minimum.accumulate(own)[::-1]
        variance = np.interp(wanted, falling, self.total_variance[::-1], left=ABSENT, right=ABSENT)
        return np.sqrt(variance / self.years)

    def strikes_at_delta(self, deltas: ArrayLike) -> FloatArray:
        """Strikes, listed or not, at which an option has this forward delta; NaN beyond the outermost strikes."""
        wanted = np.atleast_1d(floats(deltas))
        deviation = self.at_delta(wanted) * np.sqrt(self.years)
        of_calls = np.where(wanted < 0.0, wanted + 1.0, wanted)
        inside = np.isfinite(deviation) & (of_calls > 0.0) & (of_calls < 1.0)
        quantile = [_NORMAL.inv_cdf(delta) if known else ABSENT for delta, known in zip(of_calls, inside, strict=True)]
        return floats(self.forward * np.exp(0.5 * deviation * deviation - np.array(quantile) * deviation))

    def smoothed(self) -> FloatArray:
        """Volatilities at the strikes from their neighbourhood: a parabola through it, near and dear strikes first.

        Weights fall with the distance in standard deviations and grow with vega. Below 4 strikes nothing is smoothed.
        """
        if len(self) < _FEWEST:
            return self.volatility
        position = self.log_moneyness / (self.volatility[nearest_index(self.strikes, self.forward)] * self.years**0.5)
        away = position[None, :] - position[:, None]
        weight = np.exp(-0.5 * (away / BANDWIDTH) ** 2) * np.exp(-0.5 * np.minimum(position**2, 16.0))[None, :]
        weight /= weight.sum(axis=1, keepdims=True)
        powers = np.stack([np.ones_like(away), away, away * away], axis=-1)
        normal = np.einsum("ij,ijk,ijl->ikl", weight, powers, powers) + np.eye(3) * 1e-9
        moments = np.einsum("ij,ijk,j->ik", weight, powers, self.volatility)
        fitted = np.linalg.solve(normal, moments[..., None])[:, 0, 0]
        return np.where(fitted > 0.0, fitted, self.volatility)

    def call_prices(self) -> FloatArray:
        """Undiscounted prices of calls at the strikes, by their own volatilities."""
        contracts = Contracts.of(call=True, strike=self.strikes, forward=self.forward, rate=0.0, years=self.years)
        return price(contracts, self.volatility)

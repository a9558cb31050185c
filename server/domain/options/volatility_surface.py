"""The volatility surface of an underlying: one smile for each expiry, on a common grid, with its arbitrage checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np

from server.domain.options.arrays import FloatArray
from server.domain.options.smile import Smile

TOLERANCE: Final = 1e-9
"""Share of the forward by which a price may miss a condition: rounding, not arbitrage."""


@dataclass(frozen=True)
class SmileArbitrage:
    """Strikes at which the prices behind a smile can be arbitraged.

    `vertical`: the call at the next strike is dearer, or cheaper by more than the distance of the strikes.
    `butterfly`: the call costs more than the line between its two neighbours. Both are statements about prices that
    need not be of one instant: they say how far a smile may be trusted.
    """

    vertical: tuple[float, ...]
    butterfly: tuple[float, ...]


@dataclass(frozen=True)
class VolatilitySurface:
    """Smiles by expiry, ascending."""

    expiries: tuple[date, ...]
    smiles: tuple[Smile, ...]

    @classmethod
    def of(cls, smiles: Sequence[tuple[date, Smile]]) -> VolatilitySurface:
        """A surface of the smiles that have a strike, in any order."""
        ordered = sorted(((expiry, smile) for expiry, smile in smiles if len(smile)), key=lambda pair: pair[0])
        return cls(tuple(expiry for expiry, _ in ordered), tuple(smile for _, smile in ordered))

    def smile_arbitrage(self, price_step: float = 0.0) -> tuple[SmileArbitrage, ...]:
        """The checks within each expiry."""
        return tuple(smile_arbitrage(smile, price_step) for smile in self.smiles)

    def calendar_arbitrage(self) -> tuple[tuple[float, ...], ...]:
        """For each expiry but the first: strikes of the expiry before it whose total variance is above this one's.

        Total variance at equal ln(K/F) must not fall with time, or a calendar spread costs less than nothing.
        """
        return tuple(_calendar(near, far) for near, far in zip(self.smiles[:-1], self.smiles[1:], strict=True))


def smile_arbitrage(smile: Smile, price_step: float = 0.0) -> SmileArbitrage:
    """Vertical and butterfly checks on a smile's own strikes.

    `price_step` is the tick in rupees: a condition that prices rounded to it can miss is not called missed.
    """
    if len(smile) < 2:
        return SmileArbitrage((), ())
    calls, steps = smile.call_prices(), np.diff(smile.strikes)
    slack = TOLERANCE * smile.forward + price_step
    change = np.diff(calls)
    vertical = (change > slack) | (change < -steps - slack)
    left, right = steps[:-1], steps[1:]
    excess = calls[1:-1] - (calls[:-2] * right + calls[2:] * left) / (left + right)
    return SmileArbitrage(_listed(smile.strikes[:-1][vertical]), _listed(smile.strikes[1:-1][excess > slack]))


def _calendar(near: Smile, far: Smile) -> tuple[float, ...]:
    later = far.at_log_moneyness(near.log_moneyness) ** 2 * far.years
    return _listed(near.strikes[later < near.total_variance * (1.0 - TOLERANCE)])


def _listed(strikes: FloatArray) -> tuple[float, ...]:
    return tuple(float(strike) for strike in strikes)

"""The instruments of a synthetic day as columns, so that a step is priced at once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, time
from typing import Final

import numpy as np
from numpy.typing import NDArray

from server.domain.calendar import EXCHANGE_ZONE, NANOSECONDS, Session, to_nanoseconds
from server.domain.instruments import InstrumentKind
from server.market.feeds.synthetic import black76
from server.market.feeds.synthetic.world import PROFILES, Listed

PRICE_STEPS_PER_RUPEE: Final = 20
"""Prices move in steps of 0.05 rupees."""

_EXPIRY_TIME: Final = time(15, 30)
_YEAR_NS: Final = 365 * 86_400 * NANOSECONDS
_SHORTEST_YEARS: Final = 60 / (365 * 86_400)
_FUTURE_WEIGHT: Final = 3.0
_SPOT_WEIGHT: Final = 2.0
_NEAREST_OPTION_WEIGHT: Final = 2.0
"""At the money, of the nearest expiry; the second has half of it, the third a third."""
_FAR_WEIGHT: Final = 0.02
_WEIGHT_RANGE: Final = 8.0

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Columns:
    """One element an instrument. `lot` is 1 for a stock; `weight` says how often it trades; `daily_lots` how much."""

    def __init__(self, seed: int, session: Session, listed: Sequence[Listed]) -> None:
        kinds = [item.contract.kind for item in listed]
        self.profile = np.array([item.profile for item in listed], dtype=np.int64)
        self.is_index = np.array([kind is InstrumentKind.INDEX for kind in kinds])
        self.is_future = np.array([kind is InstrumentKind.FUTURE for kind in kinds])
        self.sign = np.array([_sign(kind) for kind in kinds], dtype=np.float64)
        self.strike = np.array([float(item.contract.strike or 1) for item in listed])
        self.expiry = np.array([_expiry_ns(item, session) for item in listed], dtype=np.int64)
        self.lot = np.array([item.contract.lot_size for item in listed], dtype=np.int64)
        self.volatility = np.array([PROFILES[item.profile].volatility for item in listed])
        self.weight = self._weights(listed)
        generator = np.random.default_rng([seed, 4, session.date.toordinal()])
        self.daily_lots = self.weight * generator.uniform(2_000, 20_000, len(listed)) / (1 + self.is_option)
        self.interest = self.weight * generator.uniform(1_000, 30_000, len(listed)) + 10
        self.phase = generator.uniform(0, 2 * np.pi, len(listed))

    @property
    def is_option(self) -> NDArray[np.bool_]:
        """Calls and puts."""
        mask: NDArray[np.bool_] = self.sign != 0
        return mask

    @property
    def is_derivative(self) -> NDArray[np.bool_]:
        """Futures and options: they have open interest."""
        mask: NDArray[np.bool_] = self.is_option | self.is_future
        return mask

    def price_steps(self, chosen: Ints, spots: Floats, event_time: int) -> Floats:
        """Model prices of the chosen instruments in steps of 0.05 rupees, not rounded. `spots` are by profile."""
        spot = spots[self.profile[chosen]]
        years = np.maximum((self.expiry[chosen] - event_time) / _YEAR_NS, _SHORTEST_YEARS)
        forwards = black76.forward(spot, years)
        prices = np.where(self.is_future[chosen], forwards, spot)
        option = self.is_option[chosen]
        picked = chosen[option]
        strikes, sign = self.strike[picked], self.sign[picked]
        smile = black76.smile(forwards[option], strikes, years[option], self.volatility[picked])
        prices[option] = black76.option_price(forwards[option], strikes, years[option], smile, sign)
        return prices * PRICE_STEPS_PER_RUPEE

    def _weights(self, listed: Sequence[Listed]) -> Floats:
        near = np.exp(-np.array([item.steps for item in listed]) / _WEIGHT_RANGE) + _FAR_WEIGHT
        option = _NEAREST_OPTION_WEIGHT * near / (1 + self._later_expiries())
        return np.where(self.is_future, _FUTURE_WEIGHT, np.where(self.is_option, option, _SPOT_WEIGHT))

    def _later_expiries(self) -> Ints:
        """Of each option, how many expiries of its underlying's options come before its own."""
        later = np.zeros(len(self.profile), dtype=np.int64)
        for profile in np.unique(self.profile):
            own = np.flatnonzero(self.is_option & (self.profile == profile))
            later[own] = np.unique(self.expiry[own], return_inverse=True)[1]
        return later


def _sign(kind: InstrumentKind) -> float:
    return {InstrumentKind.CALL: 1.0, InstrumentKind.PUT: -1.0}.get(kind, 0.0)


def _expiry_ns(item: Listed, session: Session) -> int:
    day = item.contract.expiry or session.date
    return to_nanoseconds(datetime.combine(day, _EXPIRY_TIME, EXCHANGE_ZONE))

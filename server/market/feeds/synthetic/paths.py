"""Synthetic prices of underlyings: a pure function of the seed, the day and the second."""

from __future__ import annotations

from datetime import date
from typing import Final

import numpy as np
from numpy.typing import NDArray

from server.market.feeds.synthetic.world import PROFILES

_ANCHOR: Final = date(2020, 1, 1)
_REVERSION: Final = 0.98
_YEAR_DAYS: Final = 252
_MARKET_SHARE: Final = 0.6

Floats = NDArray[np.float64]


def opening_levels(seed: int, day: date) -> Floats:
    """Opening price of each underlying on a day: a slow walk around its level, by calendar days since 2020."""
    days = max(0, (day - _ANCHOR).days)
    shocks = np.random.default_rng([seed, 0]).standard_normal((days, len(PROFILES)))
    market = np.random.default_rng([seed, 1]).standard_normal((days, 1))
    shocks = np.sqrt(1 - _MARKET_SHARE) * shocks + np.sqrt(_MARKET_SHARE) * market
    weights = _REVERSION ** np.arange(days - 1, -1, -1)
    levels: Floats = _levels() * np.exp(_daily_volatility() * (weights @ shocks))
    return levels


def day_paths(seed: int, day: date, seconds: int) -> Floats:
    """Price of each underlying at each second of a session, both ends included: shape (underlyings, seconds + 1).

    Each begins at the day's opening level and ends at the next calendar day's.
    """
    first = np.log(opening_levels(seed, day))[:, None]
    last = np.log(opening_levels(seed, date.fromordinal(day.toordinal() + 1)))[:, None]
    generator = np.random.default_rng([seed, 2, day.toordinal()])
    own = generator.standard_normal((len(PROFILES), seconds))
    market = generator.standard_normal((1, seconds))
    steps = np.sqrt(1 - _MARKET_SHARE) * own + np.sqrt(_MARKET_SHARE) * market
    walk = np.pad(np.cumsum(steps, axis=1), ((0, 0), (1, 0))) * _daily_volatility()[:, None] / np.sqrt(seconds)
    passed = np.linspace(0.0, 1.0, seconds + 1)
    bridge = walk - passed * walk[:, -1:]
    paths: Floats = np.exp(first + passed * (last - first) + bridge)
    return paths


def _levels() -> Floats:
    return np.array([profile.level for profile in PROFILES])


def _daily_volatility() -> Floats:
    daily: Floats = np.array([profile.volatility for profile in PROFILES]) / np.sqrt(_YEAR_DAYS)
    return daily

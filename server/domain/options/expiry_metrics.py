"""The figures of one expiry: totals, ratios, max pain, volatility at the money, skew and expected move."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from server.domain.options.arrays import FloatArray, optional, total
from server.domain.options.chain import Chain
from server.domain.options.max_pain import max_pain
from server.domain.options.moneyness import nearest_index
from server.domain.options.premium import both_sides
from server.domain.options.put_call_ratio import put_call_ratio
from server.domain.options.smile import Smile

SKEW_DELTA: Final = 0.25
"""Forward delta of the two options that skew compares."""


@dataclass(frozen=True, kw_only=True)
class ExpiryMetrics:
    """Figures over all strikes of an expiry; None is absent.

    Open interest and volume in the unit of the chain. `atm_volatility` (fraction a year) is the mean of call and put
    at `atm_strike`, the listed strike nearest to the forward. `skew` is the volatility of the 25-delta put less that
    of the 25-delta call, above 0 when protection is dear. `straddle` is the price of call and put at the strike at the
    money. `expected_move` is one standard deviation of the forward until expiry, F·σ·√T, in rupees either way.
    """

    call_open_interest: float | None
    put_open_interest: float | None
    call_volume: float | None
    put_volume: float | None
    pcr_oi: float | None
    pcr_volume: float | None
    max_pain: float | None
    atm_strike: float | None
    atm_volatility: float | None
    skew: float | None
    straddle: float | None
    expected_move: float | None


def expiry_metrics(chain: Chain, forward: float | None, years: float) -> ExpiryMetrics:
    """Metrics of a chain. `years` is the time to expiry; at 0 volatilities are absent, open interest is not."""
    calls, puts = chain.calls, chain.puts
    atm = nearest_index(chain.strikes, forward) if forward is not None and len(chain.strikes) else None
    volatility = _at(both_sides(calls.volatility, puts.volatility), atm) if years > 0.0 else None
    return ExpiryMetrics(
        call_open_interest=total(calls.open_interest),
        put_open_interest=total(puts.open_interest),
        call_volume=total(calls.volume),
        put_volume=total(puts.volume),
        pcr_oi=put_call_ratio(puts.open_interest, calls.open_interest),
        pcr_volume=put_call_ratio(puts.volume, calls.volume),
        max_pain=max_pain(chain.strikes, calls.open_interest, puts.open_interest),
        atm_strike=_at(chain.strikes, atm),
        atm_volatility=volatility,
        skew=skew(Smile.of(chain, forward, years)) if forward is not None and years > 0.0 else None,
        straddle=_at(calls.price + puts.price, atm),
        expected_move=expected_move(forward, volatility, years),
    )


def expected_move(forward: float | None, volatility: float | None, years: float) -> float | None:
    """One standard deviation of the forward until expiry, F·σ·√T, in rupees."""
    return None if forward is None or volatility is None else forward * volatility * math.sqrt(years)


def skew(smile: Smile) -> float | None:
    """Volatility of the 25-delta put less that of the 25-delta call; None where the strikes do not reach so far."""
    put, call = smile.at_delta(np.array([-SKEW_DELTA, SKEW_DELTA]))
    return optional(put - call)


def _at(values: FloatArray, index: int | None) -> float | None:
    return None if index is None else optional(values[index])

"""`expiry_metrics` of many expiries at once, in columns."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from server.domain.options.arrays import ABSENT, BoolArray, FloatArray, IntArray, optional
from server.domain.options.chain import Chain
from server.domain.options.expiry_metrics import SKEW_DELTA, ExpiryMetrics, expected_move
from server.domain.options.moneyness import nearest_index
from server.domain.options.normal import cumulative
from server.domain.options.premium import both_sides

_DELTAS = np.array([1.0 - SKEW_DELTA, SKEW_DELTA])
"""Call deltas at which skew reads the put and the call."""


def market_metrics(
    chains: Chain, counts: Sequence[int], forwards: Sequence[float | None], years: Sequence[float]
) -> list[ExpiryMetrics]:
    """Metrics of each expiry. `chains` holds the strikes of all of them, one expiry after the other.

    `counts` are the strikes of each, at least one. Open interest and volume are whole numbers.
    """
    if not counts:
        return []
    calls, puts = chains.calls, chains.puts
    ends = np.cumsum(counts)
    starts = ends - np.asarray(counts)
    bounds = list(zip(starts.tolist(), ends.tolist(), strict=True))
    totals = [
        _totals(values, starts) for values in (calls.open_interest, puts.open_interest, calls.volume, puts.volume)
    ]
    middle = both_sides(calls.volatility, puts.volatility)
    at_money = [_nearest(chains, bound, forward) for bound, forward in zip(bounds, forwards, strict=True)]
    pains = _max_pains(chains, starts, ends)
    skews = _skews(chains, counts, forwards, years)
    return [
        _metrics(chains, middle, own, (forward, left), (atm, pain, skew))
        for own, forward, left, atm, pain, skew in zip(
            zip(*totals, strict=True), forwards, years, at_money, pains, skews, strict=True
        )
    ]


def _metrics(
    chains: Chain,
    middle: FloatArray,
    totals: tuple[float | None, ...],
    basis: tuple[float | None, float],
    found: tuple[int | None, float | None, float | None],
) -> ExpiryMetrics:
    (forward, years), (atm, pain, skew) = basis, found
    call_interest, put_interest, call_volume, put_volume = totals
    volatility = optional(middle[atm]) if atm is not None and years > 0.0 else None
    return ExpiryMetrics(
        call_open_interest=call_interest,
        put_open_interest=put_interest,
        call_volume=call_volume,
        put_volume=put_volume,
        pcr_oi=_ratio(put_interest, call_interest),
        pcr_volume=_ratio(put_volume, call_volume),
        max_pain=pain,
        atm_strike=None if atm is None else float(chains.strikes[atm]),
        atm_volatility=volatility,
        skew=skew,
        straddle=None if atm is None else optional(chains.calls.price[atm] + chains.puts.price[atm]),
        expected_move=expected_move(forward, volatility, years),
    )


def _totals(values: FloatArray, starts: IntArray) -> list[float | None]:
    known = np.isfinite(values)
    sums = np.add.reduceat(np.where(known, values, 0.0), starts).tolist()
    some = np.logical_or.reduceat(known, starts).tolist()
    return [total if any_known else None for total, any_known in zip(sums, some, strict=True)]


def _ratio(upper: float | None, lower: float | None) -> float | None:
    return None if upper is None or not lower else upper / lower


def _nearest(chains: Chain, bound: tuple[int, int], forward: float | None) -> int | None:
    start, end = bound
    return None if forward is None else start + nearest_index(chains.strikes[start:end], forward)


def _max_pains(chains: Chain, starts: IntArray, ends: IntArray) -> list[float | None]:
    """As `max_pain`: the first strike above which the payout rises."""
    calls, puts = np.nan_to_num(chains.calls.open_interest), np.nan_to_num(chains.puts.open_interest)
    counts = ends - starts
    sums = np.cumsum(calls) + np.cumsum(puts)
    before = np.repeat(sums[starts] - calls[starts] - puts[starts], counts)
    all_puts = np.repeat(np.add.reduceat(puts, starts), counts)
    rising: BoolArray = sums - before - all_puts >= 0.0
    first = np.minimum.reduceat(np.where(rising, np.arange(len(sums)), len(sums) - 1), starts)
    some = np.logical_or.reduceat((calls > 0.0) | (puts > 0.0), starts).tolist()
    return [strike if any_open else None for strike, any_open in zip(chains.strikes[first].tolist(), some, strict=True)]


def _skews(
    chains: Chain, counts: Sequence[int], forwards: Sequence[float | None], years: Sequence[float]
) -> list[float | None]:
    """As `skew` of each smile: volatilities out of the money, total variance linear in delta."""
    forward = np.repeat([ABSENT if value is None else value for value in forwards], counts)
    left = np.repeat(np.where(np.asarray(years) > 0.0, years, np.nan), counts)
    above = chains.strikes >= forward
    calls, puts = chains.calls.volatility, chains.puts.volatility
    preferred, other = np.where(above, calls, puts), np.where(above, puts, calls)
    chosen = np.where(np.isfinite(preferred), preferred, other)
    known = np.flatnonzero((chosen > 0.0) & np.isfinite(chosen) & np.isfinite(forward) & np.isfinite(left))
    volatility, time = chosen[known], left[known]
    deviation = volatility * np.sqrt(time)
    own = cumulative(-np.log(chains.strikes[known] / forward[known]) / deviation + 0.5 * deviation)
    variance = volatility * volatility * time
    edges = np.searchsorted(known, np.cumsum([0, *counts])).tolist()
    return [
        _skew(own[first:last], variance[first:last], span)
        for (first, last), span in zip(pairwise(edges), years, strict=True)
    ]


def _skew(deltas: FloatArray, variance: FloatArray, years: float) -> float | None:
    if not len(deltas):
        return None
    falling = np.minimum.accumulate(deltas)[::-1]
    put, call = np.sqrt(np.interp(_DELTAS, falling, variance[::-1], left=ABSENT, right=ABSENT) / years)
    return optional(put - call)

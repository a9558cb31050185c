"""Figures of options by their distance from the money, over time: whichever options stand there at each time.

Arrays over buckets of time and strikes have the shape (buckets, strikes); NaN is absent.
"""

from __future__ import annotations

from enum import Enum, auto

import numpy as np
from numpy.typing import NDArray

from server.domain.options.arrays import ABSENT, FloatArray, IntArray, floats
from server.domain.options.black76 import Contracts, price
from server.domain.options.chain import Chain, ChainSide
from server.domain.options.moneyness import nearest_index
from server.domain.options.premium import both_sides
from server.domain.options.put_call_ratio import put_call_ratios
from server.domain.options.smile import Smile


class Combination(Enum):
    """How a call and a put that stand equally far from the money make one figure.

    `MEAN` is of those that are known; the others are absent as soon as one side is.
    """

    MEAN = auto()
    SUM = auto()
    SUM_OF_SIZES = auto()
    PUT_BY_CALL = auto()


def money_places(strikes: FloatArray, references: FloatArray) -> IntArray:
    """Place in the ladder (ascending, not empty) of the strike at the money for each reference price; -1 for NaN."""
    known = np.isfinite(references)
    places = [nearest_index(strikes, float(reference)) for reference in references[known]]
    result = np.full(len(references), -1, np.int64)
    result[known] = places
    return result


def by_level(values: FloatArray, places: IntArray, max_level: int, *, call: bool) -> FloatArray:
    """Values of one side by steps out of the money, from -`max_level` (in the money) to `max_level`.

    `places` as `money_places` gives them, one a bucket. The shape is (buckets, 2 · max_level + 1).
    """
    levels = np.arange(-max_level, max_level + 1)
    wanted = places[:, None] + (levels if call else -levels)[None, :]
    inside = (places[:, None] >= 0) & (wanted >= 0) & (wanted < values.shape[1])
    rows = np.arange(len(values))[:, None]
    return np.where(inside, values[rows, np.where(inside, wanted, 0)], ABSENT)


def combined(calls: FloatArray, puts: FloatArray, how: Combination) -> FloatArray:
    """One figure of both sides, element by element."""
    if how is Combination.MEAN:
        return both_sides(calls, puts)
    if how is Combination.SUM:
        return calls + puts
    if how is Combination.SUM_OF_SIZES:
        return np.abs(calls) + np.abs(puts)
    return put_call_ratios(puts, calls)


def carried(values: FloatArray, starts: FloatArray, days: NDArray[np.int64]) -> FloatArray:
    """Levels, such as open interest, that stay what they were until they change, within a trading day.

    `starts` is what each strike had when the first bucket began, `days` the day of each bucket, ascending.
    """
    result = values.copy()
    before, day = starts, days[0] if len(days) else 0
    for number, row in enumerate(result):
        if days[number] != day:
            before, day = np.full_like(starts, ABSENT), days[number]
        np.copyto(row, before, where=np.isnan(row))
        before = row
    return result


def model_prices(
    strikes: FloatArray, calls: FloatArray, puts: FloatArray, forward: float, rate: float, years: float
) -> tuple[FloatArray, FloatArray]:
    """Prices of all calls and all puts at the smoothed smile that their volatilities make; NaN beyond its strikes.

    `calls` and `puts` are volatilities by strike. With time over, or without a volatility, everything is NaN.
    """
    if not years > 0.0 or not forward > 0.0:
        return np.full(len(strikes), ABSENT), np.full(len(strikes), ABSENT)
    smile = Smile.of(Chain(strikes=strikes, calls=_side(calls), puts=_side(puts)), forward, years)
    smoothed = Smile(smile.forward, smile.years, smile.strikes, smile.smoothed()).at_strike(strikes)
    sides = (
        price(Contracts.of(call=call, strike=strikes, forward=forward, rate=rate, years=years), smoothed)
        for call in (True, False)
    )
    return next(sides), next(sides)


def _side(volatility: FloatArray) -> ChainSide:
    unknown = floats(np.full(len(volatility), ABSENT))
    return ChainSide(price=unknown, open_interest=unknown, volume=unknown, volatility=volatility, delta=unknown)

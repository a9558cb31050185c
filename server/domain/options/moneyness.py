"""Where a strike stands in the ladder of listed strikes, seen from the strike at the money."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from server.domain.options.arrays import FloatArray, IntArray, floats


def nearest_index(strikes: FloatArray, reference: float) -> int:
    """Index of the strike nearest to a price, the lower of two equally near. Strikes ascending, at least one."""
    above = int(np.searchsorted(strikes, reference))
    if above == 0:
        return 0
    if above == len(strikes):
        return above - 1
    return above if strikes[above] - reference < reference - strikes[above - 1] else above - 1


def atm_strike(strikes: ArrayLike, reference: float) -> float | None:
    """The listed strike at the money; None without strikes or without a reference price."""
    ladder = np.unique(floats(strikes))
    if not len(ladder) or not np.isfinite(reference):
        return None
    return float(ladder[nearest_index(ladder, reference)])


def ladder_levels(strikes: FloatArray, reference: float) -> IntArray:
    """Steps of each strike from the strike at the money, upward positive. Strikes ascending, at least one."""
    return np.arange(len(strikes), dtype=np.int64) - nearest_index(strikes, reference)


def moneyness_label(level: int, cap: int | None = None) -> str:
    """`ATM`, `OTM3`, `ITM2` of steps out of the money: those upward for a call, downward for a put.

    Levels beyond `cap` are called by the cap.
    """
    if level == 0:
        return "ATM"
    distance = abs(level) if cap is None else min(abs(level), cap)
    return f"{'OTM' if level > 0 else 'ITM'}{distance}"


def window(strikes: FloatArray, reference: float, steps: int) -> slice:
    """The rows of the strike at the money and `steps` strikes on both sides of it."""
    centre = nearest_index(strikes, reference)
    return slice(max(0, centre - steps), centre + steps + 1)


def strike_step(strikes: ArrayLike) -> float | None:
    """The usual distance of neighbouring strikes, the smallest of the most frequent; None below two strikes."""
    ladder = np.unique(floats(strikes))
    if len(ladder) < 2:
        return None
    steps, counts = np.unique(np.round(np.diff(ladder), 4), return_counts=True)
    return float(steps[np.argmax(counts)])

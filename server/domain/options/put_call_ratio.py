"""Put-call ratios over all strikes of an expiry."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from server.domain.options.arrays import FloatArray, floats, total


def put_call_ratio(puts: ArrayLike, calls: ArrayLike) -> float | None:
    """Sum of the put side over sum of the call side: open interest or volume, in one unit.

    None when a side is not known at all or the call side is 0.
    """
    upper, lower = total(puts), total(calls)
    return None if upper is None or not lower else upper / lower


def put_call_ratios(puts: ArrayLike, calls: ArrayLike) -> FloatArray:
    """The ratio strike by strike; NaN where a side is absent or the call side is 0."""
    upper, lower = floats(puts), floats(calls)
    with np.errstate(all="ignore"):
        return np.where(lower > 0.0, upper / lower, np.nan)

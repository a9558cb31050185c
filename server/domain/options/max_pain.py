"""Max pain: the expiry price at which the holders of all options together are paid least."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from server.domain.options.arrays import floats


def max_pain(strikes: ArrayLike, call_open_interest: ArrayLike, put_open_interest: ArrayLike) -> float | None:
    """The listed strike X that minimises Σ max(0, X−K)·call OI + Σ max(0, K−X)·put OI; the lowest of several.

    Strikes ascending; absent open interest counts as none. None when there is no open interest. The payout is convex
    in X and its slope is a difference of open interests, so that whole numbers decide exactly, whatever the strikes.
    """
    ladder = floats(strikes)
    calls, puts = np.nan_to_num(floats(call_open_interest)), np.nan_to_num(floats(put_open_interest))
    if not len(ladder) or not (calls.any() or puts.any()):
        return None
    put_sums = np.cumsum(puts)
    slope_above = np.cumsum(calls) + put_sums - put_sums[-1]
    return float(ladder[int(np.argmax(slope_above >= 0.0))])

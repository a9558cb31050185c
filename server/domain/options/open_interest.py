"""Changes of open interest against a baseline that is known; without one a change is absent, never "all new"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import ArrayLike

from server.domain.calendar import MarketCalendar
from server.domain.options.arrays import ABSENT, FloatArray, IntArray, floats


@dataclass(frozen=True)
class OpenInterestChange:
    """`absolute` in the unit of the open interest, `percent` of the baseline; NaN is absent."""

    absolute: FloatArray
    percent: FloatArray


def open_interest_change(current: ArrayLike, baseline: ArrayLike) -> OpenInterestChange:
    """Change from a baseline to now, contract by contract. The percentage of a baseline of 0 is absent."""
    now, before = np.broadcast_arrays(np.atleast_1d(floats(current)), floats(baseline))
    absolute = now - before
    with np.errstate(all="ignore"):
        return OpenInterestChange(absolute, np.where(before > 0.0, absolute / before * 100.0, np.nan))


def previous_close(closes: Mapping[date, float], calendar: MarketCalendar, trading_day: date) -> float:
    """Open interest at the close of the trading day before, NaN when that very day was not recorded."""
    return closes.get(calendar.previous_trading_day(trading_day), ABSENT)


def window_baseline(bucket_times: IntArray, values: FloatArray, instant_ns: int, window_ns: int) -> float:
    """The known value of the last bucket at or before `instant_ns − window_ns`; NaN when there is none.

    Bucket times ascending, nanoseconds since 1970 UTC.
    """
    held = values[: int(np.searchsorted(bucket_times, instant_ns - window_ns, side="right"))]
    known = held[np.isfinite(held)]
    return float(known[-1]) if len(known) else ABSENT

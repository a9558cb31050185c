"""Minutes of a trading day that have no bar, or one that may lack ticks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from server.domain.calendar import Session
from server.domain.timeframes import MINUTE_NS

Minutes = NDArray[np.int64]
"""When minutes begin, nanoseconds since 1970 UTC, ascending."""

Stretch = tuple[int, int]
"""A stretch of time [start, end), nanoseconds since 1970 UTC."""


def session_minutes(sessions: Iterable[Session]) -> Minutes:
    """All minutes of the sessions."""
    parts = [np.arange(session.open_ns, session.close_ns, MINUTE_NS, dtype=np.int64) for session in sessions]
    return np.concatenate([np.empty(0, dtype=np.int64), *parts])


def missing_minutes(day: Minutes, known: Sequence[int], outages: Iterable[Stretch], within: Stretch) -> Minutes:
    """The minutes of a day, inside `within` as a whole, that have no known bar or that an outage touches."""
    start, end = within
    missing = ~np.isin(day, np.array(known, dtype=np.int64))
    for began, ended in outages:
        missing |= (day < ended) & (day + MINUTE_NS > began)
    chosen: Minutes = day[missing & (day >= start) & (day + MINUTE_NS <= end)]
    return chosen

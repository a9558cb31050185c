"""Changes of open interest that recordings report beside their quotes, until their time has come to be sent."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from server.market.records import ABSENT, OPEN_INTEREST_REPORT

Reports = NDArray[np.void]
Int64s = NDArray[np.int64]


class ReportedChanges:
    """What the recordings of one run have reported and what was not taken yet; contracts by their book numbers."""

    def __init__(self) -> None:
        self._waiting: list[Reports] = []

    def add(self, times: Int64s, numbers: NDArray[np.int32], changes: Int64s) -> None:
        """Changes of contracts at their times, in units; absent ones are left out."""
        reports = np.zeros(len(times), OPEN_INTEREST_REPORT)
        reports["event_time"], reports["instrument"], reports["change"] = times, numbers, changes
        known = reports[changes != ABSENT]
        if len(known):
            self._waiting.append(known)

    def until(self, time: int) -> Reports:
        """Removes what was reported up to a time and gives it, ascending by time; rows of `OPEN_INTEREST_REPORT`."""
        if not self._waiting:
            return no_reports()
        reports = np.concatenate(self._waiting)
        due = reports["event_time"] <= time
        self._waiting = [reports[~due]] if not due.all() else []
        taken: Reports = reports[due]
        return taken[np.argsort(taken["event_time"], kind="stable")]


def no_reports() -> Reports:
    """No rows."""
    return np.empty(0, OPEN_INTEREST_REPORT)

"""The two latest minute bars of every instrument: what the database may not have yet when a subscription begins."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from server.market.hub.folding import BarRow
from server.market.records import ABSENT, BAR

Rows = NDArray[np.void]


class Board:
    """Keeps the latest minutes as columns indexed by instrument number."""

    def __init__(self) -> None:
        self._current = _empty(1024)
        self._previous = _empty(1024)
        self._runs = np.full(1024, "", dtype=np.object_)

    def apply(self, run: str, bars: Rows) -> None:
        """Takes in changed minutes of a run. A run about earlier days replaces what later days left."""
        bars = bars[np.argsort(bars["open_time"], kind="stable")]
        while len(bars):
            _, first = np.unique(bars["instrument"], return_index=True)
            self._apply_unique(run, bars[first])
            bars = np.delete(bars, first)

    def latest(self, instrument: int) -> tuple[str, list[BarRow]]:
        """The run of the latest minutes, and those minutes in ascending order: two, one, or none."""
        if instrument >= len(self._current):
            return "", []
        rows = (self._previous[instrument], self._current[instrument])
        return str(self._runs[instrument]), [BarRow(*row.tolist()) for row in rows if row["open_time"] != ABSENT]

    def _apply_unique(self, run: str, bars: Rows) -> None:
        numbers = bars["instrument"]
        self._grow(int(numbers.max()) + 1)
        known = self._current[numbers]["open_time"]
        restarted = (self._runs[numbers] != run) & (bars["open_time"] < known)
        later = (bars["open_time"] > known) & ~restarted
        self._previous[numbers[later]] = self._current[numbers[later]]
        self._previous[numbers[restarted]] = _empty(int(restarted.sum()))
        current = later | restarted | (bars["open_time"] == known)
        self._current[numbers[current]] = bars[current]
        self._runs[numbers] = run
        older = ~current & (self._previous[numbers]["open_time"] == bars["open_time"])
        self._previous[numbers[older]] = bars[older]

    def _grow(self, needed: int) -> None:
        if needed > len(self._current):
            extra = max(needed - len(self._current), len(self._current))
            self._current = np.concatenate((self._current, _empty(extra)))
            self._previous = np.concatenate((self._previous, _empty(extra)))
            self._runs = np.concatenate((self._runs, np.full(extra, "", dtype=np.object_)))


def _empty(size: int) -> Rows:
    rows = np.zeros(size, BAR)
    rows["open_time"] = ABSENT
    return rows

"""The newest bar of each instrument, in columns: where nearly all ticks go."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from server.domain.bars import BAR_STATE, CLOSED, FIRST, merge, running_maximum
from server.domain.prices import ABSENT
from server.domain.timeframes import MINUTE_NS
from server.market.runs import NO_RUN

Rows = NDArray[np.void]
Mask = NDArray[np.bool_]
Numbers = NDArray[np.int64]

TAIL = np.dtype([("run", "<i4"), ("unstored", "<i4"), ("bar", BAR_STATE)])
"""An instrument's newest bar in a checkpoint.

`run` is the index of the run that touched it last; `unstored` is 1 when the database may have an older version or none.
"""


@dataclass(frozen=True)
class Displaced:
    """Bars that newer ones took the place of.

    `closing` marks those that this closed, `unstored` those of which the database may have an older version, or none.
    """

    bars: Rows
    closing: Mask
    unstored: Mask


class Tails:
    """Newest bars, indexed by instrument number. `day` is `ABSENT` where there is none."""

    def __init__(self) -> None:
        self.rows: Rows = _empty(1024)
        self._run = np.full(1024, NO_RUN, dtype=np.int64)
        self._changed = np.zeros(1024, dtype=np.bool_)
        self._unstored = np.zeros(1024, dtype=np.bool_)

    def reserve(self, instruments: NDArray[np.int32]) -> None:
        """Makes room for instrument numbers."""
        if len(instruments) and int(instruments.max()) >= len(self.rows):
            self._grow(int(instruments.max()) + 1)

    def accepts(self, bars: Rows) -> Mask:
        """Which bars are of their instrument's newest minute, or of a later one of the same day."""
        known = self.rows[bars["instrument"]]
        mask: Mask = (known["day"] == bars["day"]) & (bars["open_time"] >= known["open_time"])
        return mask

    def add(self, bars: Rows, run: int) -> Displaced:
        """Takes in bars of ticks, at most one of each instrument.

        Each is accepted, or the first of a day that is newer than the instrument's newest and has no bars.
        """
        known = self.rows[bars["instrument"]]
        same_day = known["day"] == bars["day"]
        same = same_day & (known["open_time"] == bars["open_time"])
        new = bars.copy()
        new["before"] = np.where(same_day, running_maximum(known), ABSENT)
        new["flags"] = np.where(same_day, 0, FIRST)
        new[same] = merge(_selected(known, same), _selected(bars, same))
        displaced = self._displaced(known, ~same)
        self._put(new, run)
        return displaced

    def replace(self, bar: Rows, run: int) -> Displaced:
        """Puts the newest bar of a whole day that was merged elsewhere, one row: the newest minute, or a later one."""
        known = self.rows[bar["instrument"]]
        displaced = self._displaced(known, known["open_time"] != bar["open_time"])
        self._put(bar, run)
        return displaced

    def correct(self, bar: Rows) -> None:
        """Puts a newer version of an instrument's newest bar, or a later bar; its run stays. One row."""
        self._put(bar, int(self._run[bar["instrument"][0]]))

    def close(self, runs: list[int], market_time: int | None) -> Rows:
        """Closes the bars of those runs that market time has passed, or all of them. -> the bars that it closed."""
        rows = self.rows
        due = (rows["day"] != ABSENT) & ((rows["flags"] & CLOSED) == 0) & np.isin(self._run, runs)
        if market_time is not None:
            due &= rows["open_time"] + MINUTE_NS <= market_time
        places = np.flatnonzero(due)
        if len(places):
            rows["flags"][places] |= CLOSED
            self._changed[places] = self._unstored[places] = True
        return rows[places]

    def unstored(self, *, closed_only: bool) -> Rows:
        """Bars that changed since the database was given them, or the closed ones of those."""
        return self.rows[self._due(closed_only)]

    def stored(self, *, closed_only: bool) -> None:
        """The database is given them."""
        self._unstored[self._due(closed_only)] = False

    def _due(self, closed_only: bool) -> Mask:
        return self._unstored & ((self.rows["flags"] & CLOSED) != 0) if closed_only else self._unstored

    def snapshot(self, *, full: bool) -> bytes:
        """Rows of `TAIL`: all, or what changed since `forget_changes`."""
        places = np.flatnonzero(self.rows["day"] != ABSENT if full else self._changed)
        tails = np.empty(len(places), TAIL)
        tails["run"], tails["bar"] = self._run[places], self.rows[places]
        tails["unstored"] = self._unstored[places]
        return tails.tobytes()

    def forget_changes(self) -> None:
        """What changed until now is kept elsewhere."""
        self._changed[:] = False

    def restore(self, payload: bytes) -> None:
        """Takes over rows of `TAIL`."""
        tails = np.frombuffer(payload, TAIL)
        numbers = tails["bar"]["instrument"]
        self.reserve(numbers)
        self.rows[numbers], self._run[numbers] = tails["bar"], tails["run"]
        self._unstored[numbers] = tails["unstored"] != 0

    def _displaced(self, known: Rows, left: Mask) -> Displaced:
        """Bars that are left, which are closed: their instrument's market went on."""
        left = left & (known["day"] != ABSENT)
        bars = _selected(known, left)
        closing = (bars["flags"] & CLOSED) == 0
        bars["flags"] |= CLOSED
        return Displaced(bars, closing, closing | self._unstored[bars["instrument"]])

    def _put(self, bars: Rows, run: int) -> None:
        numbers = bars["instrument"]
        self.rows[numbers] = bars
        self._run[numbers] = run
        self._changed[numbers] = self._unstored[numbers] = True

    def _grow(self, needed: int) -> None:
        extra = max(needed, 2 * len(self.rows)) - len(self.rows)
        self.rows = np.concatenate((self.rows, _empty(extra)))
        self._run = np.pad(self._run, (0, extra), constant_values=NO_RUN)
        self._changed, self._unstored = np.pad(self._changed, (0, extra)), np.pad(self._unstored, (0, extra))


def _selected(rows: Rows, where: Mask) -> Rows:
    return rows[where]


def _empty(size: int) -> Rows:
    rows = np.zeros(size, BAR_STATE)
    rows["day"] = ABSENT
    return rows

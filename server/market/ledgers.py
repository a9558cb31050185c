"""Whole days of bars of single instruments: where late ticks go, and days that the database already has bars of."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from server.domain.bars import BAR_STATE, CLOSED, merge_days
from server.domain.timeframes import MINUTE_NS

Rows = NDArray[np.void]

_DAY_BITS = 20


def pair_keys(bars: Rows) -> NDArray[np.int64]:
    """One number for each bar's instrument and day."""
    keys: NDArray[np.int64] = (bars["instrument"].astype(np.int64) << _DAY_BITS) + bars["day"]
    return keys


def pair_of(key: int) -> tuple[int, int]:
    """Instrument and day of a key."""
    return key >> _DAY_BITS, key & ((1 << _DAY_BITS) - 1)


class DayLedgers:
    """Days by key (`pair_keys`), the ones used last. `waiting` names the run that will close the open bars of a day."""

    def __init__(self, limit: int = 512) -> None:
        self._days: OrderedDict[int, Rows] = OrderedDict()
        self._limit = limit
        self.waiting: dict[int, int] = {}

    def __contains__(self, key: int) -> bool:
        return key in self._days

    def load(self, key: int, bars: Rows) -> None:
        """Begins a day with the bars that are known of it; those of one minute are merged."""
        day = np.empty(0, BAR_STATE)
        for version in _versions(bars):
            day = merge_days(day, version)
        self._days[key] = day

    def fold(self, bars: Rows) -> None:
        """Takes in bars that were made elsewhere, where their day is held."""
        if not self._days:
            return
        for place, key in enumerate(pair_keys(bars).tolist()):
            if key in self._days:
                self._days[key] = merge_days(self._days[key], bars[place : place + 1])

    def merge(self, key: int, bars: Rows, market_time: int) -> tuple[Rows, Rows]:
        """Merges bars of ticks, ascending, into their day. -> the bars that are different now, and the whole day."""
        before = self._days[key]
        after = merge_days(before, bars)
        passed = after["open_time"] + MINUTE_NS <= market_time
        after["flags"] |= np.where(passed, CLOSED, 0).astype(np.int32)
        self._days[key] = after
        self._days.move_to_end(key)
        return _different(before, after), after

    def close(self, runs: Iterable[int], market_time: int | None, tails: Rows) -> Rows:
        """Closes waiting bars of those runs that market time has passed, or all of them. -> the bars that it closed.

        `tails` are the newest bars by instrument number. Those close by themselves: a day may have an older version.
        """
        closed = [np.empty(0, BAR_STATE)]
        wanted = set(runs)
        for key in [key for key, run in self.waiting.items() if run in wanted]:
            day = self._days[key]
            tail = tails[pair_of(key)[0]]
            waiting = ((day["flags"] & CLOSED) == 0) & (day["open_time"] != tail["open_time"])
            due = waiting.copy()
            if market_time is not None:
                due &= day["open_time"] + MINUTE_NS <= market_time
            day["flags"][due] |= CLOSED
            closed.append(day[due])
            if not (waiting & ~due).any():
                del self.waiting[key]
        return np.concatenate(closed)

    def trim(self) -> None:
        """Forgets the days that were not used for longest; the database has them."""
        for key in list(self._days):
            if len(self._days) <= self._limit:
                return
            if key not in self.waiting:
                del self._days[key]


def _versions(bars: Rows) -> list[Rows]:
    """Splits bars into groups that hold each minute at most once, ascending."""
    ordered = bars[np.argsort(bars["open_time"], kind="stable")]
    groups = []
    while len(ordered):
        first = np.insert(ordered["open_time"][1:] != ordered["open_time"][:-1], 0, True)
        groups.append(ordered[first])
        ordered = ordered[~first]
    return groups


def _different(before: Rows, after: Rows) -> Rows:
    if not len(before):
        return after
    place = np.minimum(np.searchsorted(before["open_time"], after["open_time"]), len(before) - 1)
    different: Rows = after[before[place] != after]
    return different

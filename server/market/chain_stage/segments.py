"""Cuts an entry into stretches of market time, so that what comes of it hardly depends on how entries were cut."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from server.market.chain_stage.chain_table import CELL_NS
from server.market.entries import Entry

Rows = NDArray[np.void]
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Segment:
    """Records of one cell of market time, and the market time at its end."""

    ticks: Rows
    depths: Rows
    reports: Rows
    market_time: int


def segments_of(entry: Entry, begins_at: int) -> Iterator[Segment]:
    """The segments of a TICKS entry, ascending; one at least. `begins_at` is the run's market time before it."""
    times = _market_times(entry.ticks, begins_at)
    ends = np.flatnonzero(np.diff(times // CELL_NS)) + 1
    until = times[ends - 1]
    beside = (
        np.searchsorted(_market_times(rows, begins_at), until, "right").tolist()
        for rows in (entry.depths, entry.open_interest_reports)
    )
    start, depth, report = 0, 0, 0
    for end, depth_end, report_end, at in zip(ends.tolist(), *beside, until.tolist(), strict=True):
        yield Segment(
            entry.ticks[start:end], entry.depths[depth:depth_end], entry.open_interest_reports[report:report_end], at
        )
        start, depth, report = end, depth_end, report_end
    at = _end(entry, times, begins_at)
    yield Segment(entry.ticks[start:], entry.depths[depth:], entry.open_interest_reports[report:], at)


def whole(entry: Entry, begins_at: int) -> Segment:
    """A TICKS entry as one segment, for times at which nothing can come of the market time in between.

    It has no ticks that would be late if the entry were taken in segment by segment.
    """
    times = _market_times(entry.ticks, begins_at)
    ticks = entry.ticks[~_late(entry.ticks, times // CELL_NS)]
    return Segment(ticks, entry.depths, entry.open_interest_reports, _end(entry, times, begins_at))


def _late(ticks: Rows, cells: Numbers) -> NDArray[np.bool_]:
    """Which ticks are not newer than one of their instrument in an earlier cell. `cells` ascend."""
    count = len(ticks)
    by_time = np.lexsort((ticks["row"], ticks["event_time"]))
    ascending = ticks[["event_time", "row"]][by_time]
    age = np.empty(count, np.int64)
    age[by_time] = np.cumsum(np.insert(ascending[1:] != ascending[:-1], 0, False)) if count else 0
    # By instrument, in order. Each instrument's ages lie above those of the one before, so that one maximum runs on.
    order = np.argsort(ticks["instrument"], kind="stable")
    ids, cell = ticks["instrument"][order], cells[order]
    another = ids[1:] != ids[:-1]
    age = age[order] + count * np.cumsum(np.insert(another, 0, False))[:count]
    begins = np.insert(another | (cell[1:] != cell[:-1]), 0, False)[:count]
    begin = np.maximum.accumulate(np.where(begins, np.arange(count), 0))
    before = np.where(begin > 0, np.maximum.accumulate(age)[begin - 1], -1)
    late = np.empty(count, np.bool_)
    late[order] = age <= before
    return late


def _end(entry: Entry, times: Numbers, begins_at: int) -> int:
    return max(entry.market_time, int(times[-1]) if len(times) else 0, begins_at)


def _market_times(rows: Rows, begins_at: int) -> Numbers:
    """The run's market time at each record."""
    times: Numbers = np.maximum.accumulate(np.maximum(rows["event_time"], begins_at))
    return times

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
Mask = NDArray[np.bool_]


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


def _late(ticks: Rows, cells: Numbers) -> Mask:
    """Which ticks are not newer than one of their instrument in an earlier cell. `cells` ascend."""
    by_time = np.lexsort((ticks["row"], ticks["event_time"]))
    rank = np.empty(len(ticks), np.int64)
    rank[by_time] = np.cumsum(_changes(ticks["event_time"][by_time], ticks["row"][by_time]))
    order = np.argsort(ticks["instrument"], kind="stable")
    ids, rank = ticks["instrument"][order], rank[order]
    # Ranks of each instrument lie above those of the one before, so that a single running maximum serves all.
    rank += len(ticks) * np.cumsum(_changes(ids))
    cell_begins = np.maximum.accumulate(np.where(_changes(ids, cells[order]), np.arange(len(ids)), 0))
    newest_before = np.where(cell_begins > 0, np.maximum.accumulate(rank)[cell_begins - 1], -1)
    late = np.empty(len(ticks), np.bool_)
    late[order] = rank <= newest_before
    return late


def _changes(*columns: NDArray[np.signedinteger]) -> Mask:
    """Where any column differs from the row before."""
    changes = np.zeros(len(columns[0]), np.bool_)
    for column in columns:
        changes[1:] |= column[1:] != column[:-1]
    return changes


def _end(entry: Entry, times: Numbers, begins_at: int) -> int:
    return max(entry.market_time, int(times[-1]) if len(times) else 0, begins_at)


def _market_times(rows: Rows, begins_at: int) -> Numbers:
    """The run's market time at each record."""
    times: Numbers = np.maximum.accumulate(np.maximum(rows["event_time"], begins_at))
    return times

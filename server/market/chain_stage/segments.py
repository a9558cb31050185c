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
    depths = _market_times(entry.depths, begins_at)
    reports = _market_times(entry.open_interest_reports, begins_at)
    ends = np.flatnonzero(np.diff(times // CELL_NS)) + 1
    start, depth, report = 0, 0, 0
    for end in ends.tolist():
        until = int(times[end - 1])
        depth_end, report_end = (int(np.searchsorted(column, until, "right")) for column in (depths, reports))
        yield Segment(
            entry.ticks[start:end], entry.depths[depth:depth_end], entry.open_interest_reports[report:report_end], until
        )
        start, depth, report = end, depth_end, report_end
    at = max(entry.market_time, int(times[-1]) if len(times) else 0, begins_at)
    yield Segment(entry.ticks[start:], entry.depths[depth:], entry.open_interest_reports[report:], at)


def _market_times(rows: Rows, begins_at: int) -> Numbers:
    """The run's market time at each record."""
    times: Numbers = np.maximum.accumulate(np.maximum(rows["event_time"], begins_at))
    return times

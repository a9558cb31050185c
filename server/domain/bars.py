"""Minute bars from ticks: grouping, merging and volume, over whole columns.

A bar remembers the keys (event time, row) of the ticks that made its open and its close, so that merging two parts of
one bar is commutative and idempotent: late, repeated and re-ordered ticks give the same bar. Prices are scaled
integers, times nanoseconds since 1970 UTC, `ABSENT` stands for what is not known.

The volume of a minute is the increase of the running maximum of the day's cumulative volume. The maximum before the
day's first volume is 0 when that tick comes within the session's first minute; otherwise the tick itself is the
baseline, and the bar is partial.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from server.domain.prices import ABSENT
from server.domain.timeframes import MINUTE_NS

Rows = NDArray[np.void]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]

NEVER: Final = 2**63 - 1
"""Later than every time: the key of a tick that does not exist."""

CLOSED: Final = 1
"""Flag of a state: market time has passed the bar's end."""
FIRST: Final = 2
"""Flag of a state: no earlier bar of the instrument's day is known."""

BAR_STATE: Final = np.dtype(
    [
        ("instrument", "<i4"),
        ("flags", "<i4"),
        ("day", "<i8"),
        ("day_open", "<i8"),
        ("open_time", "<i8"),
        ("first_time", "<i8"),
        ("first_row", "<i8"),
        ("open", "<i8"),
        ("high", "<i8"),
        ("low", "<i8"),
        ("close", "<i8"),
        ("last_time", "<i8"),
        ("last_row", "<i8"),
        ("open_interest", "<i8"),
        ("maximum", "<i8"),
        ("before", "<i8"),
        ("volume_time", "<i8"),
        ("volume_row", "<i8"),
        ("volume_first", "<i8"),
    ]
)
"""A minute bar and all that is needed to merge more ticks into it.

`day` is the exchange day counted from 1970 and `day_open` the open of its first session. `maximum` is the largest
cumulative volume of the minute, `before` the largest of the day's earlier minutes. `volume_time`, `volume_row` are
the key of the minute's first tick with a volume (`NEVER` without one) and `volume_first` is its cumulative volume.
"""


def group_ticks(ticks: Rows, session_open: Integers, day: Integers, day_open: Integers) -> Rows:
    """Bars of the ticks alone, ascending by (instrument, minute); `before` is absent in all of them.

    `ticks` have the columns `instrument`, `event_time`, `row`, `last_price`, `volume` and `open_interest`. The other
    arguments say for each tick the open of its session, its day and the open of its day's first session. All ticks
    lie inside sessions and have a price.
    """
    if not len(ticks):
        return np.empty(0, BAR_STATE)
    order = np.lexsort((ticks["last_price"], ticks["row"], ticks["event_time"], ticks["instrument"]))
    ordered, opening = ticks[order], session_open[order]
    instrument, time = ordered["instrument"], ordered["event_time"]
    minute = opening + (time - opening) // MINUTE_NS * MINUTE_NS
    first = np.flatnonzero(_changes(instrument) | _changes(minute))
    last = np.append(first[1:], len(order)) - 1
    bars = np.empty(len(first), BAR_STATE)
    bars["flags"], bars["before"] = 0, ABSENT
    bars["instrument"], bars["open_time"] = instrument[first], minute[first]
    bars["day"], bars["day_open"] = day[order][first], day_open[order][first]
    _fill_prices(bars, ordered, first, last)
    _fill_volume(bars, ordered, first)
    return bars


def _fill_prices(bars: Rows, ticks: Rows, first: Integers, last: Integers) -> None:
    price = ticks["last_price"]
    bars["first_time"], bars["first_row"], bars["open"] = ticks["event_time"][first], ticks["row"][first], price[first]
    bars["last_time"], bars["last_row"], bars["close"] = ticks["event_time"][last], ticks["row"][last], price[last]
    bars["high"] = np.maximum.reduceat(price, first)
    bars["low"] = np.minimum.reduceat(price, first)
    bars["open_interest"] = ticks["open_interest"][last]


def _fill_volume(bars: Rows, ticks: Rows, first: Integers) -> None:
    volume = ticks["volume"]
    bars["maximum"] = np.maximum.reduceat(volume, first)
    places = np.where(volume != ABSENT, np.arange(len(volume)), len(volume))
    place = np.minimum.reduceat(places, first)
    known = bars["maximum"] != ABSENT
    place = np.where(known, place, 0)
    bars["volume_time"] = np.where(known, ticks["event_time"][place], NEVER)
    bars["volume_row"] = np.where(known, ticks["row"][place], NEVER)
    bars["volume_first"] = np.where(known, volume[place], ABSENT)


def merge(one: Rows, other: Rows) -> Rows:
    """Bars that hold the ticks of both; row by row the same instrument and minute. `before` and flags are of `one`."""
    merged = one.copy()
    earlier = _less(other, one, ("first_time", "first_row", "open"))
    _take(merged, other, earlier, ("first_time", "first_row", "open"))
    later = _less(one, other, ("last_time", "last_row", "close"))
    _take(merged, other, later, ("last_time", "last_row", "close", "open_interest"))
    sooner = _less(other, one, ("volume_time", "volume_row", "volume_first"))
    _take(merged, other, sooner, ("volume_time", "volume_row", "volume_first"))
    merged["high"] = np.maximum(one["high"], other["high"])
    merged["low"] = np.minimum(one["low"], other["low"])
    merged["maximum"] = np.maximum(one["maximum"], other["maximum"])
    return merged


def merge_days(one: Rows, other: Rows) -> Rows:
    """All bars of both, ascending, those of one minute merged, `before` renewed.

    Both hold bars of one instrument's day, each minute at most once, ascending. A bar is closed when it is closed in
    either.
    """
    if not len(one) or not len(other):
        return renew_before(one if len(one) else other)
    place = np.minimum(np.searchsorted(one["open_time"], other["open_time"]), len(one) - 1)
    known = one["open_time"][place] == other["open_time"]
    merged = one.copy()
    merged[place[known]] = _merged_flags(one[place[known]], other[known])
    joined = np.concatenate((merged, other[~known]))
    return renew_before(joined[np.argsort(joined["open_time"], kind="stable")])


def renew_before(day: Rows) -> Rows:
    """The bars of an instrument's whole day, ascending by minute, with `before` and the `FIRST` flag computed anew."""
    renewed = day.copy()
    if len(day):
        running = np.maximum.accumulate(day["maximum"])
        renewed["before"] = np.concatenate(([ABSENT], running[:-1]))
        renewed["flags"] &= ~FIRST
        renewed["flags"][0] |= FIRST
    return renewed


def running_maximum(bars: Rows) -> Integers:
    """Largest cumulative volume of the day up to the end of each bar; absent without any volume."""
    highest: Integers = np.maximum(bars["before"], bars["maximum"])
    return highest


def baseline(bars: Rows) -> Integers:
    """The cumulative volume that each bar's own volume counts from; absent for a bar without volume."""
    from_open = bars["volume_time"] < bars["day_open"] + MINUTE_NS
    started = np.where(from_open, 0, bars["volume_first"])
    known = np.where(bars["before"] != ABSENT, bars["before"], started)
    counted: Integers = np.where(bars["maximum"] != ABSENT, known, ABSENT)
    return counted


def volume(bars: Rows) -> Integers:
    """Units traded in each minute, never negative; absent where no tick had a volume."""
    counted = np.maximum(bars["maximum"] - np.where(bars["maximum"] != ABSENT, baseline(bars), ABSENT), 0)
    traded: Integers = np.where(bars["maximum"] != ABSENT, counted, ABSENT)
    return traded


def partial(bars: Rows) -> Mask:
    """Bars within which the feed began.

    The day's first tick, or its first tick with a volume, came after the session's first minute.
    """
    late = bars["day_open"] + MINUTE_NS
    began = ((bars["flags"] & FIRST) != 0) & (bars["first_time"] >= late)
    counted = (bars["before"] == ABSENT) & (bars["maximum"] != ABSENT) & (bars["volume_time"] >= late)
    incomplete: Mask = began | counted
    return incomplete


def _merged_flags(one: Rows, other: Rows) -> Rows:
    merged = merge(one, other)
    merged["flags"] = one["flags"] | other["flags"]
    return merged


def _less(one: Rows, other: Rows, columns: tuple[str, str, str]) -> Mask:
    time, row, value = columns
    same_time = one[time] == other[time]
    same_key = same_time & (one[row] == other[row])
    less: Mask = (
        (one[time] < other[time]) | (same_time & (one[row] < other[row])) | (same_key & (one[value] < other[value]))
    )
    return less


def _take(target: Rows, source: Rows, where: Mask, columns: tuple[str, ...]) -> None:
    for column in columns:
        target[column] = np.where(where, source[column], target[column])


def _changes(values: NDArray[np.signedinteger]) -> Mask:
    changes = np.ones(len(values), dtype=np.bool_)
    np.not_equal(values[1:], values[:-1], out=changes[1:])
    return changes

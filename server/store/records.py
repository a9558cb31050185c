"""NumPy records in which the worker hands rows to the store and gets them back.

Prices and amounts are ten-thousandths of a rupee, times nanoseconds since 1970 UTC; `ABSENT` is not known.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
import numpy.typing as npt

from server.domain.prices import ABSENT, SCALE

Records = npt.NDArray[np.void]
"""A one-dimensional array of one of the dtypes below."""

PARTIAL: Final = 1
"""Flag of a bar that does not cover its whole time: its volume counts from its first tick."""
CLOSED: Final = 2
"""Flag of a bar whose end market time has passed."""

STORED_BAR: Final = np.dtype(
    [
        ("instrument", "<i4"),
        ("flags", "<i4"),
        ("open_time", "<i8"),
        ("open", "<i8"),
        ("high", "<i8"),
        ("low", "<i8"),
        ("close", "<i8"),
        ("open_interest", "<i8"),
        ("first_time", "<i8"),
        ("first_row", "<i8"),
        ("last_time", "<i8"),
        ("last_row", "<i8"),
        ("cumulative_max", "<i8"),
        ("cumulative_before", "<i8"),
    ]
)
"""A 1-minute bar with what merging needs. (first_time, first_row) and (last_time, last_row) are the keys of the ticks
that made open and close. `cumulative_max` is the day's highest cumulative volume at the bar's end,
`cumulative_before` the same before the bar (of a partial bar: its first tick's); both `ABSENT` for an index. The
bar's volume is their difference, at least 0."""

LARGER_BAR: Final = np.dtype(
    [
        ("instrument", "<i4"),
        ("reserved", "<i4"),
        ("open_time", "<i8"),
        ("open", "<i8"),
        ("high", "<i8"),
        ("low", "<i8"),
        ("close", "<i8"),
        ("volume", "<i8"),
        ("open_interest", "<i8"),
    ]
)
"""A bar of a larger timeframe as a source gives it."""

IN_CONTRACTS: Final = " (contracts)"
"""End of the source of a recorded bar whose volume and open interest are in contracts: the lot size was not known."""

CANDLE: Final = np.dtype(
    [
        ("strategy", "<i8"),
        ("open_time", "<i8"),
        ("open", "<i8"),
        ("high", "<i8"),
        ("low", "<i8"),
        ("close", "<i8"),
        ("leg_count", "<i8"),
        ("first_time", "<i8"),
        ("last_time", "<i8"),
    ]
)
"""One minute of a strategy (by its number): amounts in scaled rupees; market times of its first and last sample."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def to_datetime(nanoseconds: int) -> datetime:
    """The instant, cut to the microsecond, UTC."""
    return _EPOCH + timedelta(microseconds=nanoseconds // 1000)


def to_datetimes(column: npt.NDArray[np.int64]) -> list[datetime]:
    """A column of instants, cut to the microsecond, UTC."""
    return [to_datetime(value) for value in column.tolist()]


def to_nullable(column: npt.NDArray[np.int64]) -> list[int | None]:
    """A column with None for `ABSENT`."""
    return [None if value == ABSENT else value for value in column.tolist()]


def to_doubles(column: npt.NDArray[np.int64]) -> list[float]:
    """A column of scaled prices as the doubles that their decimal texts give."""
    return [value / SCALE for value in column.tolist()]


def from_nullable(value: int | None) -> int:
    """`ABSENT` for None."""
    return ABSENT if value is None else value


def from_double(value: float) -> int:
    """The scaled price that a stored double stands for. Exact below 10^9 rupees."""
    return round(value * SCALE)

"""Recorded bars as columns, and as ticks."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from server.domain.calendar import NANOSECONDS
from server.market.feeds.replay.ticks import blank_ticks
from server.market.records import ABSENT
from server.market.sessions import day_numbers

BAR_ROW: Final = np.dtype(
    [
        ("instrument", "<i4"),
        ("reserved", "<i4"),
        ("line", "<i8"),
        ("open_time", "<i8"),
        ("open", "<i8"),
        ("high", "<i8"),
        ("low", "<i8"),
        ("close", "<i8"),
        ("volume", "<i8"),
        ("open_interest", "<i8"),
    ]
)
"""A recorded bar; `instrument` is a contract's number, prices are scaled, `volume` is the bar's own."""

Bars = NDArray[np.void]

_PRICES: Final = ("open", "high", "low", "close")
_STEP_NS: Final = 15 * NANOSECONDS


def check_bars(bars: Bars) -> Bars:
    """The bars. Raises ValueError when a price lies outside of [low, high]."""
    outside = (bars["low"] > np.minimum(bars["open"], bars["close"])) | (
        bars["high"] < np.maximum(bars["open"], bars["close"])
    )
    if outside.any():
        raise ValueError("open and close lie between low and high in a bar")
    return bars


def by_time(bars: Bars) -> Bars:
    """Bars of several instruments by time. What an instrument has late stays behind its own predecessor."""
    keys = bars["open_time"].copy()
    for instrument in np.unique(bars["instrument"]):
        own = bars["instrument"] == instrument
        keys[own] = np.maximum.accumulate(keys[own])
    return bars[np.argsort(keys, kind="stable")]


class BarTicks:
    """Turns 1-minute bars into ticks: open, high, low and close at +0, +15, +30 and +45 seconds.

    The volume comes with the last of the four. Ticks carry the day's cumulative volume, which is the sum of the bars'
    so far; a bar that repeats its predecessor adds nothing. `row` is four times the line in the file, plus 0 to 3.
    """

    def __init__(self) -> None:
        self._days: dict[int, tuple[int, int, int]] = {}

    def __call__(self, bars: Bars) -> NDArray[np.void]:
        """Four ticks for each bar, by bar."""
        ticks = blank_ticks(4 * len(bars)).reshape(len(bars), 4)
        before, after = self._cumulative(bars)
        for step, price in enumerate(_PRICES):
            ticks["event_time"][:, step] = bars["open_time"] + step * _STEP_NS
            ticks["last_price"][:, step] = bars[price]
            ticks["row"][:, step] = 4 * bars["line"] + step
            ticks["instrument"][:, step] = bars["instrument"]
            ticks["volume"][:, step] = before if step < len(_PRICES) - 1 else after
        ticks["open_interest"][:, -1] = bars["open_interest"]
        return ticks.reshape(-1)

    def _cumulative(self, bars: Bars) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The day's volume before and after each bar, absent where the bar has none."""
        days = day_numbers(bars["open_time"])
        before, after = [], []
        rows = zip(
            bars["instrument"].tolist(), days.tolist(), bars["open_time"].tolist(), bars["volume"].tolist(), strict=True
        )
        for instrument, day, time, volume in rows:
            known_day, known_time, total = self._days.get(instrument, (day, ABSENT, 0))
            if known_day != day:
                total = 0
            added = 0 if volume == ABSENT or (known_day, known_time) == (day, time) else volume
            before.append(ABSENT if volume == ABSENT else total)
            after.append(ABSENT if volume == ABSENT else total + added)
            self._days[instrument] = (day, time, total + added)
        return np.array(before, dtype=np.int64), np.array(after, dtype=np.int64)

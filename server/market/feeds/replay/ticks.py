"""Ticks out of a tick recording: `timestamp, ltp, volume`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from server.market.feeds.replay.source import Rows
from server.market.feeds.replay.texts import Column, TimeColumn, optional_quantity_of, price_of
from server.market.records import ABSENT, TICK


def blank_ticks(count: int) -> NDArray[np.void]:
    """Records of `TICK` in which nothing is known."""
    ticks = np.zeros(count, dtype=TICK)
    for name in TICK.names or ():
        if name not in {"instrument", "reserved"}:
            ticks[name] = ABSENT
    return ticks


class TickRows:
    """Turns rows of one instrument's tick recording into ticks.

    `volume` is the day's cumulative volume in units. An index has none: recordings write 0 for it.
    """

    def __init__(self, instrument: int, time: str, price: str, volume: str | None, *, is_index: bool) -> None:
        self._instrument = instrument
        self._names = (time, price, None if is_index else volume)
        self._times = TimeColumn()
        self._prices = Column(price_of)
        self._volumes = Column(optional_quantity_of)

    def __call__(self, rows: Rows) -> NDArray[np.void]:
        """One tick a row, `row` being the line in the file. Raises ValueError for a malformed one."""
        time, price, volume = self._names
        ticks = blank_ticks(len(rows))
        ticks["instrument"] = self._instrument
        ticks["row"] = rows.lines
        ticks["event_time"] = self._times(rows.columns[time])
        ticks["last_price"] = self._prices(rows.columns[price])
        if volume is not None:
            ticks["volume"] = self._volumes(rows.columns[volume])
        return ticks

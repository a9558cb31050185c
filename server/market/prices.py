"""The last price of each instrument, as the M2M stage needs it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from server.domain.prices import ABSENT
from server.market.runs import NO_RUN, Run, Runs

Rows = NDArray[np.void]
Mask = NDArray[np.bool_]
Numbers = NDArray[np.int64]

PRICE = np.dtype([("instrument", "<i4"), ("run", "<i4"), ("time", "<i8"), ("row", "<i8"), ("price", "<i8")])
"""The newest tick's price of an instrument, its key (event time, row), and the index of the run that it is of."""


class Prices:
    """Last prices, indexed by instrument number; `ABSENT` where there is none.

    When ticks of several runs concern one instrument, the run that started last and still lives has it.
    """

    def __init__(self, runs: Runs) -> None:
        self.rows: Rows = _empty(1024)
        self._runs = runs
        self._changed: set[int] = set()

    def newer(self, run: Run, ticks: Rows) -> Mask:
        """Which ticks change a price: newer than all before of their instrument, or the run's first of it."""
        if not len(ticks):
            return np.empty(0, dtype=np.bool_)
        self.reserve(int(ticks["instrument"].max()) + 1)
        known = self.rows[ticks["instrument"]]
        time = ticks["event_time"]
        later = (time > known["time"]) | ((time == known["time"]) & (ticks["row"] > known["row"]))
        other = known["run"] != run.index
        displaced = known["run"] > run.index
        if displaced.any():
            displaced &= self._runs.live(known["run"])
        accepted: Mask = (later | other) & ~displaced & (ticks["last_price"] != ABSENT)
        return accepted

    def put(self, run: Run, ticks: Rows) -> None:
        """Takes prices over from newer ticks, ascending by (event time, row)."""
        rows = np.empty(len(ticks), PRICE)
        rows["instrument"], rows["run"] = ticks["instrument"], run.index
        rows["time"], rows["row"], rows["price"] = ticks["event_time"], ticks["row"], ticks["last_price"]
        self.rows[rows["instrument"]] = rows
        self._changed.update(np.unique(rows["instrument"]).tolist())

    def fresh_until(self, run: Run, instruments: Numbers, bound: int) -> Numbers:
        """Last market time of the run at which each instrument's price counts; `ABSENT` when it does not count.

        A price of another run counts when that run lives and the price is not from the future of this run.
        """
        known = self.rows[instruments]
        own = known["run"] == run.index
        if not own.all():
            near = known["time"] <= run.market_time + bound
            own |= near & self._runs.live(known["run"])
        until: Numbers = np.where(own & (known["price"] != ABSENT), known["time"] + bound, ABSENT)
        return until

    def snapshot(self, *, full: bool) -> bytes:
        """Rows of `PRICE`: all, or what changed since `forget_changes`."""
        changed = np.fromiter(sorted(self._changed), np.int64, len(self._changed))
        rows: Rows = self.rows[self.rows["price"] != ABSENT] if full else self.rows[changed]
        return rows.tobytes()

    def forget_changes(self) -> None:
        """What changed until now is kept elsewhere."""
        self._changed.clear()

    def restore(self, payload: bytes) -> None:
        """Takes over rows of `PRICE`."""
        rows = np.frombuffer(payload, PRICE)
        if len(rows):
            self.reserve(int(rows["instrument"].max()) + 1)
            self.rows[rows["instrument"]] = rows

    def reserve(self, size: int) -> None:
        """Makes room for instrument numbers below `size`."""
        if size > len(self.rows):
            self.rows = np.concatenate((self.rows, _empty(max(size, 2 * len(self.rows)) - len(self.rows))))


def _empty(size: int) -> Rows:
    rows = np.empty(size, PRICE)
    rows["instrument"] = rows["run"] = NO_RUN
    rows["time"] = rows["row"] = rows["price"] = ABSENT
    return rows

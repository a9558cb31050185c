"""The book: what is known about each instrument now. Worker and hub keep the same one from the same log.

Use: `book.start_run` and `book.end_run` for the run markers of the log, `book.apply` for its ticks, `book.records`
(indexed by instrument number; `event_time` is `ABSENT` where nothing is known) and `book.depths` (the same) to read.
`book.snapshot()` makes the sections of a checkpoint and `book.restore(sections)` applies them, the base first and
then each delta.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from server.market.records import ABSENT, DEPTH, TICK
from server.market.runs import NO_RUN, Run, Runs
from server.market.sessions import SessionTable

Mask = NDArray[np.bool_]
Rows = NDArray[np.void]
Numbers = NDArray[np.int64]

BOOK = np.dtype(
    [
        ("instrument", "<i4"),
        ("run", "<i4"),
        *[(name, "<i8") for name in TICK.names or () if name not in {"instrument", "reserved"}],
        ("day", "<i8"),
        ("open_time", "<i8"),
        ("open_row", "<i8"),
        ("day_open", "<i8"),
        ("day_high", "<i8"),
        ("day_low", "<i8"),
        ("session_price", "<i8"),
        ("previous_close", "<i8"),
    ]
)
"""The newest tick of an instrument (columns of `TICK`), the run that it is of, and figures of its exchange day.

`day_open`, `day_high` and `day_low` are over the day's ticks inside sessions; `open_time` and `open_row` are the key
of the first of them, `session_price` is the price of the last. `previous_close` is the last price of the trading day
before. Each is `ABSENT` when not known.
"""

_TICK_COLUMNS = tuple(name for name in TICK.names or () if name not in {"instrument", "reserved"})
_MANY = 2**63 - 1


class Book:
    """Latest ticks, day figures and depths, as arrays indexed by instrument number.

    When ticks of several runs concern one instrument, the run that started last and still lives has it.
    """

    def __init__(self, sessions: SessionTable) -> None:
        self.runs = Runs()
        self.records: Rows = _empty(1024)
        self.depths: Rows = _no_depths(1024)
        self._sessions = sessions
        self._touched: set[int] = set()
        self._touched_depths: set[int] = set()

    def start_run(self, run: str, source: str) -> None:
        """A feed run begins. Its first tick of an instrument counts as new whatever its time."""
        self.runs.start(run, source)

    def end_run(self, run: str) -> None:
        """A feed run is over: another run may take its instruments over."""
        self.runs.end(run)

    def apply(self, run: str, source: str, market_time: int, ticks: Rows, depths: Rows | None = None) -> Mask:
        """Takes in ticks of one log entry; all their instruments must be registered in the session table.

        -> mask of the ticks that moved the book: newer, by (event_time, row), than everything of their instrument
        before. A late tick changes the day's open, high and low only. Ticks of a run that a later live run has
        displaced change nothing.
        """
        current = self.runs.advance(run, source, market_time)
        moved = np.zeros(len(ticks), dtype=np.bool_)
        if len(ticks):
            order = np.lexsort((ticks["row"], ticks["event_time"], ticks["instrument"]))
            moved[order] = self._apply_sorted(current, ticks[order])
        if depths is not None and len(depths):
            self._apply_depths(current, depths)
        return moved

    def snapshot(self, *, full: bool) -> dict[str, bytes]:
        """Checkpoint sections: everything, or what changed since the last call of `forget_changes`."""
        if full:
            rows = self.records[self.records["event_time"] != ABSENT]
            depths = self.depths[self.depths["event_time"] != ABSENT]
        else:
            rows = self.records[_numbers(self._touched)]
            depths = self.depths[_numbers(self._touched_depths)]
        return {"book": rows.tobytes(), "depth": depths.tobytes(), "runs": self.runs.dump()}

    def forget_changes(self) -> None:
        """What changed until now is kept elsewhere."""
        self._touched.clear()
        self._touched_depths.clear()

    def restore(self, sections: Mapping[str, bytes]) -> None:
        """Takes over the sections of a checkpoint."""
        self.runs.load(sections["runs"])
        rows = np.frombuffer(sections["book"], BOOK)
        if len(rows):
            self._grow(int(rows["instrument"].max()) + 1)
            self.records[rows["instrument"]] = rows
        depths = np.frombuffer(sections["depth"], DEPTH)
        if len(depths):
            self._grow(int(depths["instrument"].max()) + 1)
            self.depths[depths["instrument"]] = depths

    def _apply_sorted(self, run: Run, ticks: Rows) -> Mask:
        self._grow(int(ticks["instrument"][-1]) + 1)
        allowed = self._allowed(run, ticks["instrument"])
        moved = np.zeros(len(ticks), dtype=np.bool_)
        located = self._sessions.locate(ticks["instrument"], ticks["event_time"])
        for day in sorted(set(located.day.tolist())):
            chosen = allowed & (located.day == day)
            if chosen.all():
                return self._apply_day(run, day, ticks, located.inside)
            if chosen.any():
                moved[chosen] = self._apply_day(run, day, ticks[chosen], located.inside[chosen])
        return moved

    def _apply_day(self, run: Run, day: int, ticks: Rows, inside: Mask) -> Mask:
        numbers = ticks["instrument"]
        taken_over = self.records["run"][numbers] != run.index
        newer = taken_over | _after(ticks, self.records["event_time"][numbers], self.records["row"][numbers])
        last = np.flatnonzero(np.append(numbers[1:] != numbers[:-1], True) & newer)
        turned = self.records["day"][numbers] != day
        turned &= newer
        if turned.any():
            self._turn_day(np.unique(numbers[turned]), day)
        same_day = self.records["day"][numbers] == day
        counted = inside & same_day & (ticks["last_price"] != ABSENT)
        self._fold_day(ticks if counted.all() else ticks[counted])
        self._move(run, ticks[last])
        self._close_prices(numbers, ticks["last_price"], counted & newer)
        moved: Mask = newer
        return moved

    def _allowed(self, run: Run, numbers: NDArray[np.int32]) -> Mask:
        owners = self.records["run"][numbers]
        displaced = owners > run.index
        if not displaced.any():
            return ~displaced
        allowed: Mask = ~(displaced & self.runs.live(owners))
        return allowed

    def _turn_day(self, numbers: NDArray[np.int32], day: int) -> None:
        rows = self.records[numbers]
        follows = rows["day"] == self._sessions.previous_days(numbers, day)
        rows["previous_close"] = np.where(follows, rows["session_price"], ABSENT)
        for column in ("day_open", "day_high", "day_low", "session_price"):
            rows[column] = ABSENT
        rows["open_time"], rows["open_row"], rows["day"] = _MANY, _MANY, day
        self.records[numbers] = rows

    def _fold_day(self, ticks: Rows) -> None:
        if not len(ticks):
            return
        numbers = ticks["instrument"]
        first = np.flatnonzero(np.insert(numbers[1:] != numbers[:-1], 0, True))
        rows = self.records[numbers[first]]
        price = ticks["last_price"]
        rows["day_high"] = np.maximum(rows["day_high"], np.maximum.reduceat(price, first))
        low = np.minimum.reduceat(price, first)
        rows["day_low"] = np.where(rows["day_low"] == ABSENT, low, np.minimum(rows["day_low"], low))
        earlier = _before(ticks[first], rows["open_time"], rows["open_row"])
        rows["day_open"] = np.where(earlier, price[first], rows["day_open"])
        rows["open_row"] = np.where(earlier, ticks["row"][first], rows["open_row"])
        rows["open_time"] = np.where(earlier, ticks["event_time"][first], rows["open_time"])
        self.records[numbers[first]] = rows
        self._touched.update(numbers[first].tolist())

    def _move(self, run: Run, ticks: Rows) -> None:
        numbers = ticks["instrument"]
        rows = self.records[numbers]
        before = rows["last_price"].copy()
        for column in _TICK_COLUMNS:
            rows[column] = ticks[column]
        rows["last_price"] = np.where(ticks["last_price"] == ABSENT, before, ticks["last_price"])
        rows["instrument"], rows["run"] = numbers, run.index
        self.records[numbers] = rows
        self._touched.update(numbers.tolist())

    def _close_prices(self, numbers: NDArray[np.int32], price: Numbers, counted: Mask) -> None:
        # Of several values for one place numpy keeps the last, and the ticks of an instrument are ascending.
        self.records["session_price"][numbers[counted]] = price[counted]

    def _apply_depths(self, run: Run, depths: Rows) -> None:
        self._grow(int(depths["instrument"].max()) + 1)
        numbers = depths["instrument"]
        time, row = self.depths["event_time"][numbers], self.depths["row"][numbers]
        newer = (_after(depths, time, row) | (time > run.market_time)) & self._allowed(run, numbers)
        chosen = depths if newer.all() else depths[newer]
        self.depths[chosen["instrument"]] = chosen
        self._touched_depths.update(chosen["instrument"].tolist())

    def _grow(self, needed: int) -> None:
        if needed > len(self.records):
            extra = max(needed - len(self.records), len(self.records))
            self.records = np.concatenate((self.records, _empty(extra)))
            self.depths = np.concatenate((self.depths, _no_depths(extra)))


def _no_depths(size: int) -> Rows:
    rows = np.zeros(size, DEPTH)
    rows["event_time"] = rows["row"] = ABSENT
    return rows


def _numbers(numbers: set[int]) -> Numbers:
    return np.fromiter(sorted(numbers), np.int64, len(numbers))


def _empty(size: int) -> Rows:
    rows = np.empty(size, BOOK)
    for column in BOOK.names or ():
        rows[column] = NO_RUN if column in {"instrument", "run"} else ABSENT
    rows["open_time"] = rows["open_row"] = _MANY
    return rows


def _after(ticks: Rows, time: Numbers, row: Numbers) -> Mask:
    later: Mask = (ticks["event_time"] > time) | ((ticks["event_time"] == time) & (ticks["row"] > row))
    return later


def _before(ticks: Rows, time: Numbers, row: Numbers) -> Mask:
    mask: Mask = (ticks["event_time"] < time) | ((ticks["event_time"] == time) & (ticks["row"] < row))
    return mask

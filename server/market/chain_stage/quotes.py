"""What is known of each instrument of the chains now: its newest tick, and the open interest of the day before."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from server.domain.prices import ABSENT
from server.market.runs import NO_RUN, Run, Runs
from server.market.sessions import day_numbers

Rows = NDArray[np.void]
Mask = NDArray[np.bool_]
Numbers = NDArray[np.int64]
Ids = NDArray[np.int32]

QUOTE = np.dtype(
    [
        ("instrument", "<i4"),
        ("run", "<i4"),
        *(
            (name, "<i8")
            for name in (
                "event_time",
                "row",
                "day",
                "price_time",
                "last_price",
                "volume",
                "open_interest",
                "session_open_interest",
                "previous_open_interest",
                "exchange_oi_change",
                "bid_price",
                "bid_quantity",
                "ask_price",
                "ask_quantity",
            )
        ),
    ]
)
"""The newest tick of an instrument, the index of the run that it is of, and the exchange day that it fell on.

Price, open interest and volume are the day's newest known ones: a tick that does not tell them leaves them, and the
price stays that of `price_time`. The day's cumulative volume never falls. `session_open_interest` is the newest one
that was told within a session: the day's close, which the exchange may revise afterwards. `previous_open_interest` is
the close of the trading day before the chain's day, and `exchange_oi_change` the feed's own figure of the day.
`ABSENT` is not known.
"""

_SOURCES = MappingProxyType({"price_time": "event_time", "session_open_interest": "open_interest"})
_BOOK = ("bid_price", "bid_quantity", "ask_price", "ask_quantity")


class Quotes:
    """Newest ticks, indexed by instrument number.

    When ticks of several runs concern one instrument, the run that started last and still lives has it. A tick that is
    older than the newest one of its instrument changes nothing.
    """

    def __init__(self, runs: Runs) -> None:
        self.rows: Rows = _empty(1024)
        self._changed = np.zeros(1024, dtype=np.bool_)
        self._runs = runs

    def reserve(self, size: int) -> None:
        """Makes room for instrument numbers below `size`."""
        if size > len(self.rows):
            extra = max(size, 2 * len(self.rows)) - len(self.rows)
            self.rows = np.concatenate((self.rows, _empty(extra)))
            self._changed = np.pad(self._changed, (0, extra))

    def apply(self, run: Run, ticks: Rows, in_session: Mask) -> Ids:
        """Takes in ticks of a run; which of them are of a session is told. -> whose quotes changed, ascending."""
        if not len(ticks):
            return np.empty(0, np.int32)
        self.reserve(int(ticks["instrument"].max()) + 1)
        newer = self._newer(run, ticks)
        chosen, inside = ticks[newer], in_session[newer]
        order = np.lexsort((chosen["row"], chosen["event_time"], chosen["instrument"]))
        chosen, inside = chosen[order], inside[order]
        ids: Ids = chosen["instrument"]
        if len(ids):
            first = np.flatnonzero(np.insert(ids[1:] != ids[:-1], 0, True))
            ids = ids[first]
            self._put(run, ids, _Groups(chosen, inside, first))
        return ids

    def report(self, run: Run, reports: Rows) -> Ids:
        """Takes in a feed's own changes of open interest, rows of `OPEN_INTEREST_REPORT`. -> their instruments."""
        known = reports[reports["instrument"] < len(self.rows)]
        own = known[self.rows["run"][known["instrument"]] == run.index]
        ids: Ids = own["instrument"]
        self.rows["exchange_oi_change"][ids] = own["change"]
        self._changed[ids] = True
        return ids

    def begin_day(self, ids: Ids, previous_days: Numbers, stored: Numbers) -> None:
        """A trading day begins for these instruments: the close of the trading day before becomes the baseline.

        `stored` is what the database knows of it, `ABSENT` for nothing. Of a day that was recorded after its close
        only, what was told then stands for it.
        """
        known = self.rows[ids]
        close = np.where(
            known["session_open_interest"] == ABSENT, known["open_interest"], known["session_open_interest"]
        )
        own = (known["day"] == previous_days) & (close != ABSENT)
        self.rows["previous_open_interest"][ids] = np.where(own, close, stored)
        self.rows["instrument"][ids] = ids
        self._changed[ids] = True

    def usable(self, run: Run, ids: Ids, bound: int) -> Mask:
        """Whose quotes count for the run at its market time: its own, and those of live runs not from its future."""
        known = self.rows["run"][ids]
        own: Mask = known == run.index
        if not own.all():
            near = self.rows["event_time"][ids] <= run.market_time + bound
            own = own | (near & self._runs.live(known))
        return own

    def snapshot(self, *, full: bool) -> bytes:
        """Rows of `QUOTE`: all, or what changed since `forget_changes`."""
        known = self.rows["instrument"] != NO_RUN
        return bytes(self.rows[known if full else known & self._changed].tobytes())

    def forget_changes(self) -> None:
        """What changed until now is kept elsewhere."""
        self._changed[:] = False

    def restore(self, payload: bytes) -> None:
        """Takes over rows of `QUOTE`."""
        rows = np.frombuffer(payload, QUOTE)
        if len(rows):
            self.reserve(int(rows["instrument"].max()) + 1)
            self.rows[rows["instrument"]] = rows

    def _newer(self, run: Run, ticks: Rows) -> Mask:
        known = self.rows[ticks["instrument"]]
        time = ticks["event_time"]
        later = (time > known["event_time"]) | ((time == known["event_time"]) & (ticks["row"] > known["row"]))
        accepted: Mask = later | (known["run"] != run.index)
        displaced = known["run"] > run.index
        if displaced.any():
            accepted &= ~(displaced & self._runs.live(known["run"]))
        return accepted

    def _put(self, run: Run, ids: Ids, groups: _Groups) -> None:
        before, rows = self.rows[ids], np.empty(len(ids), QUOTE)
        same = (before["run"] == run.index) & (before["day"] == groups.day)
        rows["instrument"], rows["run"], rows["day"] = ids, run.index, groups.day
        rows["previous_open_interest"] = before["previous_open_interest"]
        for name in ("event_time", "row", *_BOOK):
            rows[name] = groups.newest[name]
        priced, counted = groups.last_known("last_price"), groups.last_known("open_interest")
        closed = groups.last_known("open_interest", in_session=True)
        for name, place in (
            ("price_time", priced),
            ("last_price", priced),
            ("open_interest", counted),
            ("session_open_interest", closed),
        ):
            rows[name] = _kept(groups.at(place, _SOURCES.get(name, name)), before[name], same)
        rows["volume"] = np.maximum(groups.highest("volume"), np.where(same, before["volume"], ABSENT))
        rows["exchange_oi_change"] = np.where(same, before["exchange_oi_change"], ABSENT)
        self.rows[ids] = rows
        self._changed[ids] = True


class _Groups:
    """Ticks by instrument, each group ascending by time; those of its newest tick's day count."""

    def __init__(self, ticks: Rows, in_session: Mask, first: Numbers) -> None:
        self._ticks = ticks
        self._in_session = in_session
        self._first = first
        self._last = np.append(first[1:], len(ticks)) - 1
        days = day_numbers(ticks["event_time"])
        self.newest: Rows = ticks[self._last]
        self.day: Numbers = days[self._last]
        self._counts: Mask = days == np.repeat(self.day, np.diff(np.append(first, len(ticks))))

    def last_known(self, name: str, *, in_session: bool = False) -> Numbers:
        """Where each group tells a column last, at any time or within a session; -1 where it does not."""
        known = self._counts & (self._ticks[name] != ABSENT)
        if in_session:
            known &= self._in_session
        place: Numbers = np.maximum.reduceat(np.where(known, np.arange(len(known)), -1), self._first)
        return place

    def at(self, place: Numbers, name: str) -> Numbers:
        """A column at places of `last_known`; `ABSENT` where there is none."""
        found: Numbers = np.where(place >= 0, self._ticks[name][place], ABSENT)
        return found

    def highest(self, name: str) -> Numbers:
        found: Numbers = np.maximum.reduceat(np.where(self._counts, self._ticks[name], ABSENT), self._first)
        return found


def _kept(values: Numbers, before: Numbers, same: Mask) -> Numbers:
    kept: Numbers = np.where((values == ABSENT) & same, before, values)
    return kept


def _empty(size: int) -> Rows:
    rows = np.empty(size, QUOTE)
    for name in QUOTE.names or ():
        rows[name] = NO_RUN if name in {"instrument", "run"} else ABSENT
    return rows

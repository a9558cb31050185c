"""What is gathered of each option over a minute, and the minute's rows at its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from server.domain.options.expiry_metrics import ExpiryMetrics
from server.domain.options.market_metrics import market_metrics
from server.domain.prices import ABSENT
from server.market.chain_stage.contracts import NONE
from server.market.chain_stage.order_books import OrderBooks
from server.market.chain_stage.valuing import Valued
from server.market.chains import LiveChain, MinuteChain, chain_of
from server.market.records import CHAIN_ROW, MINUTE_CONTRACT, MINUTE_ROW

Rows = NDArray[np.void]
Ids = NDArray[np.int32]
Mask = NDArray[np.bool_]
Numbers = NDArray[np.int64]

_LASTS = tuple(name for name in MINUTE_CONTRACT.names or () if name.endswith("_last"))
_SUMS = tuple(name for name in MINUTE_CONTRACT.names or () if name.endswith("_sum"))
_COUNTS = tuple(name for name in MINUTE_CONTRACT.names or () if name.endswith("_count"))

GATHERED = np.dtype(
    [
        ("instrument", "<i4"),
        ("reserved", "<i4"),
        ("counts", "<i4", (len(_COUNTS),)),
        ("sums", "<f8", (len(_SUMS),)),
        ("lasts", "<f8", (len(_LASTS),)),
        ("volume_day", "<i8"),
        ("volume", "<i8"),
    ]
)
"""Of one option in the minute that is open: valid samples, their sums, and the last valid ones. `volume` is the day's
cumulative volume at the end of the minute before, of the exchange day `volume_day`."""


@dataclass(frozen=True)
class Closing:
    """A minute of a chain that is over: its last valuation, how many there were, its open time and exchange day.

    `opens_day`: it is the first minute of the day's first session, from which on volume counts from 0.
    """

    live: LiveChain
    samples: int
    open_time: int
    day: int
    opens_day: bool


class Minutes:
    """Open minutes of all options, indexed by instrument number."""

    def __init__(self, books: OrderBooks) -> None:
        self._books = books
        self._known = np.zeros(1024, dtype=np.bool_)
        self._changed = np.zeros(1024, dtype=np.bool_)
        self._counts = np.zeros((len(_COUNTS), 1024), np.int32)
        self._sums = np.zeros((len(_SUMS), 1024))
        self._lasts = np.full((len(_LASTS), 1024), np.nan)
        self._volume_day = np.full(1024, ABSENT, np.int64)
        self._volume = np.full(1024, ABSENT, np.int64)

    def add(self, valued: Valued, inside: Mask) -> None:
        """Adds one sample of every contract of the chains that were valued `inside` a session."""
        counted = np.repeat(inside, [len(live.rows) for live in valued.chains])
        for side in valued.sides:
            chosen = np.flatnonzero(counted & (side.ids != NONE))
            ids, figures = side.ids[chosen], side.figures[:, chosen]
            self._reserve(int(ids.max()) + 1 if len(ids) else 0)
            valid = np.isfinite(figures)
            for place in range(len(_SUMS)):
                self._sums[place, ids] += np.where(valid[place], figures[place], 0.0)
                self._counts[place, ids] += valid[place]
            for place in range(len(_LASTS)):
                known = valid[place]
                self._lasts[place, ids[known]] = figures[place, known]
            self._known[ids] = self._changed[ids] = True

    def close(self, closing: Sequence[Closing]) -> list[MinuteChain]:
        """The rows of minutes that are over; what was gathered in them is forgotten."""
        if not closing:
            return []
        counts = [len(item.live.rows) for item in closing]
        live = np.frombuffer(b"".join(item.live.rows.tobytes() for item in closing), CHAIN_ROW)
        opened = np.repeat([item.open_time for item in closing], counts)
        rows = np.empty(len(live), MINUTE_ROW)
        rows["strike"] = live["strike"]
        times = _Times(
            opened,
            np.repeat([item.day for item in closing], counts),
            np.repeat([item.opens_day for item in closing], counts),
        )
        samples = np.repeat([item.samples for item in closing], counts)
        active = np.zeros(len(live), dtype=np.bool_)
        for side in ("call", "put"):
            rows[side], happened = self._side(live[side], times, samples)
            active |= happened
        parts = _parts(counts, rows, active)
        return [_minute(*item) for item in zip(closing, parts, _metrics(closing, live, counts), strict=True)]

    def snapshot(self, *, full: bool) -> bytes:
        """Rows of `GATHERED`: all, or what changed since `forget_changes`."""
        ids = np.flatnonzero(self._known if full else self._known & self._changed)
        rows = np.zeros(len(ids), GATHERED)
        rows["instrument"] = ids
        rows["counts"], rows["sums"], rows["lasts"] = (
            column[:, ids].T for column in (self._counts, self._sums, self._lasts)
        )
        rows["volume_day"], rows["volume"] = self._volume_day[ids], self._volume[ids]
        return rows.tobytes()

    def forget_changes(self) -> None:
        """What changed until now is kept elsewhere."""
        self._changed[:] = False

    def forget(self, ids: Ids) -> None:
        """These options are over, or another run begins with them: nothing is gathered of them."""
        self._reserve(int(ids.max()) + 1 if len(ids) else 0)
        self._begin(ids)
        self._volume_day[ids] = self._volume[ids] = ABSENT

    def restore(self, payload: bytes) -> None:
        """Takes over rows of `GATHERED`."""
        rows = np.frombuffer(payload, GATHERED)
        ids = rows["instrument"]
        self._reserve(int(ids.max()) + 1 if len(ids) else 0)
        self._counts[:, ids], self._sums[:, ids], self._lasts[:, ids] = (
            rows[name].T for name in ("counts", "sums", "lasts")
        )
        self._volume_day[ids], self._volume[ids], self._known[ids] = rows["volume_day"], rows["volume"], True

    def _side(self, live: Rows, times: _Times, samples: Numbers) -> tuple[Rows, Mask]:
        """-> rows of `MINUTE_CONTRACT`, and which contracts were valued or ticked."""
        ids = live["instrument"]
        listed = ids > 0
        self._reserve(int(ids.max()) + 1 if len(ids) else 0)
        rows = np.zeros(len(live), MINUTE_CONTRACT)
        rows["instrument"], rows["samples"] = ids, np.where(listed, samples, 0)
        rows["close"], rows["open_interest"] = live["last_price"], live["open_interest"]
        rows["volume"] = self._traded(live, times)
        for names, column in ((_SUMS, self._sums), (_COUNTS, self._counts), (_LASTS, self._lasts)):
            for place, name in enumerate(names):
                rows[name] = column[place, ids]
        rows["book"] = self._books.summaries(ids, times.opened)
        self._begin(ids[listed])
        known = listed & (live["volume"] != ABSENT)
        self._volume_day[ids[known]], self._volume[ids[known]] = times.day[known], live["volume"][known]
        return rows, listed & ((rows[_COUNTS[0]] > 0) | (live["event_time"] >= times.opened))

    def _traded(self, live: Rows, times: _Times) -> Numbers:
        """Units of the minute: the increase of the day's volume; absent where it is not known what it was before."""
        ids, volume = live["instrument"], live["volume"]
        first = np.where(times.opens_day, 0, ABSENT)
        before = np.where(self._volume_day[ids] == times.day, self._volume[ids], first)
        known = (volume != ABSENT) & (before != ABSENT)
        traded: Numbers = np.where(known, np.maximum(np.where(known, volume - before, 0), 0), ABSENT)
        return traded

    def _begin(self, ids: Ids) -> None:
        """Another minute begins with nothing gathered."""
        self._counts[:, ids], self._sums[:, ids], self._lasts[:, ids] = 0, 0.0, np.nan
        self._known[ids] = self._changed[ids] = True

    def _reserve(self, size: int) -> None:
        extra = size - len(self._known)
        if extra <= 0:
            return
        extra = max(extra, len(self._known))
        self._known, self._changed = np.pad(self._known, (0, extra)), np.pad(self._changed, (0, extra))
        self._counts = np.pad(self._counts, ((0, 0), (0, extra)))
        self._sums = np.pad(self._sums, ((0, 0), (0, extra)))
        self._lasts = np.pad(self._lasts, ((0, 0), (0, extra)), constant_values=np.nan)
        self._volume_day, self._volume = (
            np.pad(column, (0, extra), constant_values=ABSENT) for column in (self._volume_day, self._volume)
        )


@dataclass(frozen=True)
class _Times:
    """By strike: when its minute began, on which exchange day, and whether the day began with it."""

    opened: Numbers
    day: Numbers
    opens_day: Mask


def _parts(counts: Sequence[int], rows: Rows, active: Mask) -> list[Rows]:
    """The active rows of each chain."""
    ends = np.cumsum(counts).tolist()
    bounds = [(end - count, end) for count, end in zip(counts, ends, strict=True)]
    return [rows[start:end][active[start:end]] for start, end in bounds]


def _metrics(closing: Sequence[Closing], rows: Rows, counts: Sequence[int]) -> list[ExpiryMetrics]:
    lives = [item.live for item in closing]
    forwards = [None if live.forward is None else live.forward.price for live in lives]
    return market_metrics(chain_of(rows), counts, forwards, [live.years for live in lives])


def _minute(closing: Closing, rows: Rows, metrics: ExpiryMetrics) -> MinuteChain:
    live = closing.live
    return MinuteChain(
        underlying=live.underlying,
        expiry=live.expiry,
        open_time=closing.open_time,
        spot=live.spot,
        forward=live.forward,
        rate=live.rate,
        dividend_yield=live.dividend_yield,
        years=live.years,
        rows=rows,
        metrics=metrics,
    )

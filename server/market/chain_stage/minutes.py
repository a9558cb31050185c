"""What is gathered of each option over a minute, and the minute's rows at its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from server.domain.prices import ABSENT
from server.market.chain_stage.contracts import NONE
from server.market.chain_stage.order_books import OrderBooks
from server.market.chain_stage.valuing import Valued
from server.market.chains import LiveChain, MinuteChain
from server.market.records import MINUTE_CONTRACT, MINUTE_ROW
from server.market.runs import NO_RUN

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
        self._rows: Rows = _empty(1024)
        self._changed = np.zeros(1024, dtype=np.bool_)

    def add(self, valued: Valued, inside: Mask) -> None:
        """Adds one sample of every contract of the chains that were valued `inside` a session."""
        counted = np.repeat(inside, [len(live.rows) for live in valued.chains])
        for side in valued.sides:
            chosen = counted & (side.ids != NONE)
            ids, figures = side.ids[chosen], side.figures[chosen]
            self._reserve(int(ids.max()) + 1 if len(ids) else 0)
            rows = self._rows[ids]
            first = figures[:, : len(_SUMS)]
            valid = np.isfinite(first)
            rows["instrument"] = ids
            rows["sums"] += np.where(valid, first, 0.0)
            rows["counts"] += valid
            rows["lasts"] = np.where(np.isfinite(figures), figures, rows["lasts"])
            self._rows[ids] = rows
            self._changed[ids] = True

    def close(self, closing: Sequence[Closing]) -> list[MinuteChain]:
        """The rows of minutes that are over; what was gathered in them is forgotten."""
        if not closing:
            return []
        counts = [len(item.live.rows) for item in closing]
        live = np.concatenate([item.live.rows for item in closing])
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
        return [_minute(item, part[chosen]) for item, part, chosen in _parts(closing, counts, rows, active)]

    def snapshot(self, *, full: bool) -> bytes:
        """Rows of `GATHERED`: all, or what changed since `forget_changes`."""
        known = self._rows["instrument"] != NO_RUN
        return bytes(self._rows[known if full else known & self._changed].tobytes())

    def forget_changes(self) -> None:
        """What changed until now is kept elsewhere."""
        self._changed[:] = False

    def forget(self, ids: Ids) -> None:
        """These options are over, or another run begins with them: nothing is gathered of them."""
        self._reserve(int(ids.max()) + 1 if len(ids) else 0)
        self._rows[ids] = _empty(len(ids))
        self._rows["instrument"][ids] = ids
        self._changed[ids] = True

    def restore(self, payload: bytes) -> None:
        """Takes over rows of `GATHERED`."""
        rows = np.frombuffer(payload, GATHERED)
        if len(rows):
            self._reserve(int(rows["instrument"].max()) + 1)
            self._rows[rows["instrument"]] = rows

    def _side(self, live: Rows, times: _Times, samples: Numbers) -> tuple[Rows, Mask]:
        """-> rows of `MINUTE_CONTRACT`, and which contracts were valued or ticked."""
        listed = live["instrument"] > 0
        ids = live["instrument"]
        self._reserve(int(ids.max()) + 1 if len(ids) else 0)
        gathered = self._rows[ids]
        rows = np.zeros(len(live), MINUTE_CONTRACT)
        rows["instrument"], rows["samples"] = ids, np.where(listed, samples, 0)
        rows["close"], rows["open_interest"] = live["last_price"], live["open_interest"]
        rows["volume"] = _traded(live["volume"], gathered, times)
        for place, (sums, counts) in enumerate(zip(_SUMS, _COUNTS, strict=True)):
            rows[sums] = np.where(listed, gathered["sums"][:, place], 0.0)
            rows[counts] = np.where(listed, gathered["counts"][:, place], 0)
        for place, name in enumerate(_LASTS):
            rows[name] = np.where(listed, gathered["lasts"][:, place], np.nan)
        rows["book"] = self._books.summaries(ids, times.opened)
        self._begin(live[listed], times.day[listed])
        return rows, listed & ((rows[_COUNTS[0]] > 0) | (live["event_time"] >= times.opened))

    def _begin(self, live: Rows, day: Numbers) -> None:
        """The next minute begins with nothing gathered, and with the volume so far."""
        ids = live["instrument"]
        rows = self._rows[ids]
        rows["instrument"], rows["counts"], rows["sums"], rows["lasts"] = ids, 0, 0.0, np.nan
        known = live["volume"] != ABSENT
        rows["volume_day"] = np.where(known, day, rows["volume_day"])
        rows["volume"] = np.where(known, live["volume"], rows["volume"])
        self._rows[ids] = rows
        self._changed[ids] = True

    def _reserve(self, size: int) -> None:
        extra = size - len(self._rows)
        if extra > 0:
            extra = max(extra, len(self._rows))
            self._rows = np.concatenate((self._rows, _empty(extra)))
            self._changed = np.pad(self._changed, (0, extra))


@dataclass(frozen=True)
class _Times:
    """By strike: when its minute began, on which exchange day, and whether the day began with it."""

    opened: Numbers
    day: Numbers
    opens_day: Mask


def _traded(volume: Numbers, gathered: Rows, times: _Times) -> Numbers:
    """Units of the minute: the increase of the day's volume; absent where it is not known what it was before."""
    before = np.where(gathered["volume_day"] == times.day, gathered["volume"], np.where(times.opens_day, 0, ABSENT))
    known = (volume != ABSENT) & (before != ABSENT)
    traded: Numbers = np.where(known, np.maximum(np.where(known, volume - before, 0), 0), ABSENT)
    return traded


def _parts(
    closing: Sequence[Closing], counts: Sequence[int], rows: Rows, active: Mask
) -> list[tuple[Closing, Rows, Mask]]:
    ends = np.cumsum(counts).tolist()
    return [
        (item, rows[end - count : end], active[end - count : end])
        for item, count, end in zip(closing, counts, ends, strict=True)
    ]


def _minute(closing: Closing, rows: Rows) -> MinuteChain:
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
        metrics=live.metrics,
    )


def _empty(size: int) -> Rows:
    rows = np.zeros(size, GATHERED)
    rows["instrument"] = NO_RUN
    rows["lasts"] = np.nan
    rows["volume_day"] = rows["volume"] = ABSENT
    return rows

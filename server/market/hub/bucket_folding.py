"""Minutes of chains folded into longer buckets, as minutes of bars are folded into longer bars."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date

import numpy as np
from numpy.typing import NDArray

from server.domain.calendar import MarketCalendar
from server.domain.timeframes import MINUTE_NS, Timeframe
from server.market.chains import MinuteChain
from server.market.hub.folding import bucket_bounds
from server.market.records import ABSENT, BOOK_SUMMARY, MINUTE_CONTRACT, MINUTE_ROW

Rows = NDArray[np.void]
Key = tuple[str, date]
"""Canonical underlying and expiry."""

_NAMES = MINUTE_CONTRACT.names or ()
_ADDED = tuple(name for name in _NAMES if name == "samples" or name.endswith(("_sum", "_count")))
_NEWEST = ("close", "open_interest")
_LASTS = tuple(name for name in _NAMES if name.endswith("_last"))


def empty_rows(strikes: NDArray[np.int64]) -> Rows:
    """Rows of `MINUTE_ROW` in which nothing is known. Strikes in ten-thousandths of a rupee."""
    rows = np.zeros(len(strikes), MINUTE_ROW)
    rows["strike"] = strikes
    for side in ("call", "put"):
        contracts = rows[side]
        contracts["close"] = contracts["volume"] = contracts["open_interest"] = ABSENT
        for name in _LASTS:
            contracts[name] = np.nan
        for name in BOOK_SUMMARY.names or ():
            contracts["book"][name] = np.nan
    return rows


def joined(before: Rows, after: Rows) -> Rows:
    """What two stretches of time have together: sums and counts are added, of the rest the later known value stays."""
    rows = empty_rows(np.union1d(before["strike"], after["strike"]))
    rows[np.searchsorted(rows["strike"], before["strike"])] = before
    places = np.searchsorted(rows["strike"], after["strike"])
    for side in ("call", "put"):
        rows[side][places] = _joined_side(rows[side][places], after[side])
    return rows


def _joined_side(old: Rows, new: Rows) -> Rows:
    out = old.copy()
    out["instrument"] = np.where(new["instrument"] > 0, new["instrument"], old["instrument"])
    for name in _ADDED:
        out[name] = old[name] + new[name]
    for name in _NEWEST:
        out[name] = np.where(new[name] == ABSENT, old[name], new[name])
    both = (old["volume"] != ABSENT) & (new["volume"] != ABSENT)
    out["volume"] = np.where(both, old["volume"] + new["volume"], np.maximum(old["volume"], new["volume"]))
    for name in _LASTS:
        out[name] = np.where(np.isnan(new[name]), old[name], new[name])
    known = ~np.isnan(new["book"]["spread"])
    out["book"] = np.where(known, new["book"], old["book"])
    return out


@dataclass(frozen=True, eq=False)
class Bucket:
    """A bucket that is over: its figures (`open_time` is its own), and the minutes in which the chain was valued."""

    chain: MinuteChain
    minutes: int

    @property
    def key(self) -> Key:
        """The chain that it is of."""
        return self.chain.underlying, self.chain.expiry


@dataclass
class _Open:
    """A bucket from `start` to `end`, which is over from `over` on.

    `before` is what was stored of it, of so many minutes, before it was followed.
    """

    start: int
    end: int
    over: int
    run: str = ""
    minutes: dict[int, MinuteChain] = field(default_factory=dict)
    before: Rows | None = None
    earlier: int = 0
    told: bool = False

    @property
    def is_untold(self) -> bool:
        """It has something that was not told yet."""
        return bool(self.minutes) and not self.told

    def is_due(self, run: str, market_time: int, *, ended: bool) -> bool:
        """It is over by its run's market time, and was not told; where the run has `ended`, its end is enough."""
        return self.run == run and self.is_untold and (self.end if ended else self.over) <= market_time

    def add(self, minute: MinuteChain) -> None:
        """Takes in a minute. Of two versions the one with more samples stays, as in the database."""
        known = self.minutes.get(minute.open_time)
        if known is None or _samples(minute) > _samples(known):
            self.minutes[minute.open_time] = minute
            self.told = False

    def closed(self) -> Bucket:
        """The bucket as it is now."""
        self.told = True
        parts = [self.minutes[time] for time in sorted(self.minutes)]
        rows = parts[0].rows if self.before is None else joined(self.before, parts[0].rows)
        for part in parts[1:]:
            rows = joined(rows, part.rows)
        return Bucket(replace(parts[-1], open_time=self.start, rows=rows), len(parts) + self.earlier)


class BucketFolder:
    """Folds the minutes of chains into buckets of one timeframe. `calendar_of` knows an instrument's market."""

    def __init__(self, timeframe: Timeframe, calendar_of: Callable[[int], MarketCalendar]) -> None:
        self._timeframe = timeframe
        self._calendar_of = calendar_of
        self._open: dict[Key, _Open] = {}

    def start_of(self, instrument: int, time: int) -> int | None:
        """When the bucket begins that holds a time of an instrument's session; None outside of sessions."""
        calendar = self._calendar_of(instrument)
        if calendar.session_at(time) is None:
            return None
        return bucket_bounds(self._timeframe, time, calendar)[0]

    def begin(self, key: Key, start: int, rows: Rows, minutes: int) -> None:
        """Of the bucket from `start` so much is stored, of so many minutes."""
        self._open[key] = _Open(start, start, start, before=rows, earlier=minutes)

    def apply(self, run: str, market_time: int, minutes: Iterable[MinuteChain]) -> list[Bucket]:
        """Takes in the minutes of one entry. -> the buckets that it closes, those of earlier times first.

        A bucket is over when market time has come to its end (beyond it where the session closes then), when a later
        one of its chain begins, or when its run ends within a minute.
        """
        closed: list[Bucket] = []
        ended = False
        for minute in minutes:
            if not len(minute.rows) or self.start_of(_instrument(minute.rows), minute.open_time) is None:
                continue
            bucket = self._bucket(run, minute, closed)
            bucket.add(minute)
            if market_time < _over(self._calendar_of(_instrument(minute.rows)), minute.open_time + MINUTE_NS):
                ended = True
                closed += [bucket.closed()] if not bucket.told else []
        closed += (bucket.closed() for bucket in self._open.values() if bucket.is_due(run, market_time, ended=ended))
        return sorted(closed, key=lambda item: (item.chain.open_time, *item.key))

    def _bucket(self, run: str, minute: MinuteChain, closed: list[Bucket]) -> _Open:
        """The bucket of a minute; the one before it of its chain is over."""
        key = (minute.underlying, minute.expiry)
        calendar = self._calendar_of(_instrument(minute.rows))
        start, end = bucket_bounds(self._timeframe, minute.open_time, calendar)
        known = self._open.get(key)
        if known is None or known.start != start:
            if known is not None and known.start < start and known.is_untold:
                closed.append(known.closed())
            known = self._open[key] = _Open(start, end, end)
        known.end, known.over, known.run = end, _over(calendar, end), run
        return known


def _over(calendar: MarketCalendar, end: int) -> int:
    """From when on something that ends then is over: the closing instant of a session still belongs to it."""
    return end if calendar.session_at(end) is not None else end + 1


def _samples(minute: MinuteChain) -> int:
    return max(int(minute.rows[side]["samples"].max(initial=0)) for side in ("call", "put"))


def _instrument(rows: Rows) -> int:
    return int(max(rows["call"]["instrument"][0], rows["put"]["instrument"][0]))


def stored_rows(ladder: Rows, figures: Mapping[int, Mapping[str, float | int | None]]) -> Rows:
    """Rows of `MINUTE_ROW` out of what is stored, by instrument number. `ladder` has the strikes (`CHAIN_ROW`).

    `close` is rupees there; None is not known.
    """
    rows = empty_rows(ladder["strike"])
    for side in ("call", "put"):
        for place, instrument in enumerate(ladder[side]["instrument"].tolist()):
            found = figures.get(instrument)
            if found is not None:
                _fill(rows[side][place : place + 1], instrument, found)
    touched = (rows["call"]["instrument"] > 0) | (rows["put"]["instrument"] > 0)
    return rows[touched]


def _fill(contract: Rows, instrument: int, figures: Mapping[str, float | int | None]) -> None:
    contract["instrument"] = instrument
    for name in (*_ADDED, "volume", "open_interest", *_LASTS):
        if figures[name] is not None:
            contract[name] = figures[name]
    for name in BOOK_SUMMARY.names or ():
        if figures[name] is not None:
            contract["book"][name] = figures[name]
    close = figures["close"]
    if close is not None:
        contract["close"] = round(close * 10_000)

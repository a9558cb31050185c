"""Trading sessions as columns: which session each of many ticks belongs to."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from server.domain.calendar import DAY_NS, EXCHANGE_OFFSET_NS, MarketCalendar, calendar_of, exchange_date
from server.domain.instruments import Instrument, InstrumentKind
from server.domain.prices import ABSENT
from server.domain.timeframes import MINUTE_NS

_LOG = logging.getLogger(__name__)

Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]

_REMEMBERED_DAYS = 256
_UNKNOWN = -1
_WITHOUT_CALENDAR = -2


def day_numbers(times: Integers) -> Integers:
    """Exchange days of instants, counted from 1970."""
    days: Integers = (times + EXCHANGE_OFFSET_NS) // DAY_NS
    return days


def day_number(instant: int) -> int:
    """The one of `day_numbers` of one instant."""
    return (instant + EXCHANGE_OFFSET_NS) // DAY_NS


def day_start(day: int) -> int:
    """Exchange midnight at which a day of `day_numbers` begins, nanoseconds since 1970 UTC."""
    return day * DAY_NS - EXCHANGE_OFFSET_NS


@dataclass(frozen=True)
class Located:
    """For each tick: its exchange day, and the open and close of its session, `ABSENT` outside of all sessions.

    `day_open` is the open of the day's first session; cumulative volumes count from it.
    """

    day: Integers
    session_open: Integers
    session_close: Integers
    day_open: Integers

    @property
    def inside(self) -> Mask:
        """The tick lies in a session."""
        mask: Mask = self.session_open != ABSENT
        return mask


@dataclass(frozen=True)
class SessionMinutes:
    """For each instant: when the minute of a session that it counts for opened, and from when on that is over.

    `opened` is `ABSENT` outside of all sessions. The closing instant of a session belongs to its last minute.
    """

    opened: Integers
    over: Integers

    @property
    def inside(self) -> Mask:
        """The instant lies in a session, or is its close."""
        mask: Mask = self.opened != ABSENT
        return mask


class SessionTable:
    """Sessions by instrument number. Instruments are made known by `register`.

    An instrument of an exchange without a calendar is never in session.
    """

    def __init__(self, calendars: Mapping[str, MarketCalendar]) -> None:
        self._names = tuple(calendars)
        self._calendars = tuple(calendars.values())
        self._calendar = np.full(1024, _UNKNOWN, dtype=np.int64)
        self._has_volume = np.zeros(1024, dtype=np.bool_)
        self._known_days: OrderedDict[tuple[int, int], tuple[tuple[int, int], ...]] = OrderedDict()

    def register(self, instruments: Iterable[Instrument]) -> None:
        """Makes instruments known."""
        rows = list(instruments)
        if not rows:
            return
        self._grow(max(row.instrument_id for row in rows) + 1)
        for row in rows:
            self._calendar[row.instrument_id] = self._calendar_number(row.exchange)
            self._has_volume[row.instrument_id] = row.kind is not InstrumentKind.INDEX

    def unknown(self, instruments: NDArray[np.int32]) -> list[int]:
        """The numbers among them that were not registered."""
        inside = (instruments >= 0) & (instruments < len(self._calendar))
        known = self._calendar[instruments if inside.all() else np.where(inside, instruments, 0)] != _UNKNOWN
        known &= inside
        return [] if known.all() else np.unique(instruments[~known]).tolist()

    def has_volume(self, instruments: NDArray[np.int32]) -> Mask:
        """Which of the instruments trade: an index has no volume."""
        mask: Mask = self._has_volume[instruments]
        return mask

    def locate(self, instruments: NDArray[np.int32], times: Integers, *, close_belongs: bool = False) -> Located:
        """Finds the session of each tick. All instruments must be registered.

        `close_belongs`: the closing instant is part of the session, as it is of a contract's life; bars end before it.
        """
        days = day_numbers(times)
        calendars = self._calendar[instruments]
        opens, closes, firsts = (np.full(len(times), ABSENT, dtype=np.int64) for _ in range(3))
        for calendar, day in _distinct(calendars, days):
            here = (calendars == calendar) & (days == day)
            sessions = self.sessions(calendar, day)
            for opening, closing in sessions:
                inside = here & (times >= opening) & (times < closing + close_belongs)
                opens[inside], closes[inside], firsts[inside] = opening, closing, sessions[0][0]
        return Located(days, opens, closes, firsts)

    def minutes(self, instruments: NDArray[np.int32], times: Integers) -> SessionMinutes:
        """Finds the minute of each instant, as `locate` with `close_belongs` finds its session."""
        found = self.locate(instruments, times, close_belongs=True)
        opened = (times - (times == found.session_close)) // MINUTE_NS * MINUTE_NS
        over = opened + MINUTE_NS
        last = np.flatnonzero(found.inside & (over >= found.session_close))
        if len(last):
            closes = found.session_close[last]
            following = self.locate(instruments[last], closes).inside
            over[last] = closes + ~following
        return SessionMinutes(np.where(found.inside, opened, ABSENT), over)

    def inside(self, ticks: NDArray[np.void]) -> NDArray[np.bool_]:
        """Which ticks fall into a session of their instrument's market, its closing instant included.

        Those of unregistered instruments do not.
        """
        unknown = self.unknown(ticks["instrument"])
        if not unknown:
            return self.locate(ticks["instrument"], ticks["event_time"], close_belongs=True).inside
        known = ~np.isin(ticks["instrument"], unknown)
        found = np.zeros(len(ticks), np.bool_)
        found[known] = self.inside(ticks[known])
        return found

    def sessions(self, calendar: int, day: int) -> tuple[tuple[int, int], ...]:
        """Opens and closes of one calendar's day, nanoseconds, ascending."""
        if calendar == _WITHOUT_CALENDAR:
            return ()
        found = self._known_days.get((calendar, day))
        if found is None:
            rows = self._calendars[calendar].session_on(exchange_date(day_start(day)))
            found = self._known_days[(calendar, day)] = tuple((row.open_ns, row.close_ns) for row in rows)
            if len(self._known_days) > _REMEMBERED_DAYS:
                self._known_days.popitem(last=False)
        return found

    def previous_days(self, instruments: NDArray[np.int32], day: int) -> Integers:
        """For each instrument the trading day of its market before `day`."""
        date = exchange_date(day_start(day))
        calendars = self._calendar[instruments]
        previous = np.empty(len(instruments), dtype=np.int64)
        for calendar in np.unique(calendars).tolist():
            known = calendar != _WITHOUT_CALENDAR
            before = self._calendars[calendar].previous_trading_day(date) if known else date - timedelta(days=1)
            previous[calendars == calendar] = day - (date - before).days
        return previous

    def _calendar_number(self, exchange: str) -> int:
        try:
            return self._names.index(calendar_of(exchange))
        except ValueError:
            _LOG.warning("exchange %s has no calendar: its ticks make no bars", exchange)
            return _WITHOUT_CALENDAR

    def _grow(self, needed: int) -> None:
        if needed > len(self._calendar):
            extra = max(needed, 2 * len(self._calendar)) - len(self._calendar)
            self._calendar = np.pad(self._calendar, (0, extra), constant_values=_UNKNOWN)
            self._has_volume = np.pad(self._has_volume, (0, extra))


def _distinct(calendars: Integers, days: Integers) -> list[tuple[int, int]]:
    if len(days) == 0:
        return []
    if (calendars == calendars[0]).all() and (days == days[0]).all():
        return [(int(calendars[0]), int(days[0]))]
    pairs = np.unique(np.stack((calendars, days), axis=1), axis=0)
    return [(int(calendar), int(day)) for calendar, day in pairs]

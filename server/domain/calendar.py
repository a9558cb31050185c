"""When a market trades: weekly hours, dated holidays and special sessions, as one immutable value.

The rows come from the database's calendar tables. Hours in rows are exchange time (IST, UTC+05:30, no daylight saving);
everything handed out is UTC. A dated row replaces the weekly hours of its day: a holiday by nothing, special sessions
by themselves, and a holiday with a special session (Muhurat) trades in that session only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from types import MappingProxyType
from typing import Final, Literal

EXCHANGE_ZONE: Final = timezone(timedelta(hours=5, minutes=30), "IST")
"""Exchange time."""

NANOSECONDS: Final = 1_000_000_000
"""Nanoseconds of a second."""

DAY_NS: Final = 86_400 * NANOSECONDS
"""Nanoseconds of a day."""

EXCHANGE_OFFSET_NS: Final = 19_800 * NANOSECONDS
"""What exchange time is ahead of UTC, nanoseconds."""

_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
_SEARCH_DAYS: Final = 366
_NATIONAL_HOLIDAYS: Final = frozenset({(1, 26), (8, 15), (10, 2)})
_CALENDARS: Final = MappingProxyType(
    {"NSE": "NSE", "NFO": "NSE", "BSE": "NSE", "BFO": "NSE", "MCX": "MCX", "CDS": "CDS", "BCD": "CDS"}
)

SessionKind = Literal["normal", "special"]


def calendar_of(exchange: str) -> str:
    """Name of the calendar that an exchange segment follows: `NSE` for `NSE`, `NFO`, `BSE` and `BFO`.

    Raises ValueError for an exchange that has none.
    """
    try:
        return _CALENDARS[exchange]
    except KeyError:
        raise ValueError(f"no calendar for exchange {exchange!r}; known: {', '.join(sorted(_CALENDARS))}") from None


def to_nanoseconds(instant: datetime) -> int:
    """Nanoseconds since 1970 UTC of an aware datetime, exact to the microsecond."""
    elapsed = instant - datetime(1970, 1, 1, tzinfo=UTC)
    return (elapsed.days * 86_400 + elapsed.seconds) * NANOSECONDS + elapsed.microseconds * 1_000


def exchange_date(instant_ns: int) -> date:
    """The exchange's date at an instant."""
    return date.fromordinal(_EPOCH_ORDINAL + (instant_ns + EXCHANGE_OFFSET_NS) // DAY_NS)


@dataclass(frozen=True, order=True)
class Session:
    """One stretch of continuous trading, [open, close), UTC. A day has none, one, or several in ascending order."""

    date: date
    open: datetime
    close: datetime
    kind: SessionKind
    label: str

    @property
    def open_ns(self) -> int:
        """First instant of the session, nanoseconds since 1970 UTC."""
        return to_nanoseconds(self.open)

    @property
    def close_ns(self) -> int:
        """First instant after the session, nanoseconds since 1970 UTC."""
        return to_nanoseconds(self.close)


@dataclass(frozen=True)
class WeekdayHours:
    """A rule: the market trades [open, close) exchange time on one weekday (0 is Monday) from `first` to `last`.

    Both dates are included; `last` None: still in force.
    """

    weekday: int
    open: time
    close: time
    first: date
    last: date | None = None

    def covers(self, day: date) -> bool:
        """The rule holds on that day, dated rows aside."""
        return day.weekday() == self.weekday and self.first <= day and (self.last is None or day <= self.last)


@dataclass(frozen=True)
class DatedRow:
    """A dated exception, exchange time. A holiday has no hours; a special day has one row for each of its sessions."""

    date: date
    kind: Literal["holiday", "special"]
    open: time | None
    close: time | None
    label: str


class MarketCalendar:
    """The calendar of one market. Immutable.

    It covers the years of which it has holidays. Days of other years follow the weekly hours, but for the three
    holidays that every market keeps on the same date each year.
    """

    def __init__(self, name: str, weekdays: Iterable[WeekdayHours], dated: Iterable[DatedRow]) -> None:
        self.name = name
        rows = tuple(dated)
        self._weekdays = tuple(weekdays)
        self._dated = MappingProxyType(_sessions_by_date(rows))
        self._years = frozenset(row.date.year for row in rows if row.kind == "holiday")

    def covers(self, first: date, last: date) -> bool:
        """The holidays of all days from `first` to `last` are known."""
        return self._years.issuperset(range(first.year, last.year + 1))

    def session_on(self, day: date) -> tuple[Session, ...]:
        """The day's sessions in ascending order; empty when the market is closed."""
        dated = self._dated.get(day)
        if dated is not None:
            return dated
        if (day.month, day.day) in _NATIONAL_HOLIDAYS and day.year not in self._years:
            return ()
        return tuple(_session(day, rule.open, rule.close, "normal", "") for rule in self._weekdays if rule.covers(day))

    def session_at(self, instant_ns: int) -> Session | None:
        """The session that contains the instant, None outside of all."""
        for session in self.session_on(exchange_date(instant_ns)):
            if session.open_ns <= instant_ns < session.close_ns:
                return session
        return None

    def is_trading_day(self, day: date) -> bool:
        """The day has at least one session."""
        return bool(self.session_on(day))

    def next_trading_day(self, day: date) -> date:
        """The first trading day after `day`."""
        return self._first(day + timedelta(days=step) for step in range(1, _SEARCH_DAYS))

    def previous_trading_day(self, day: date) -> date:
        """The last trading day before `day`."""
        return self._first(day - timedelta(days=step) for step in range(1, _SEARCH_DAYS))

    def latest_trading_day(self, day: date) -> date:
        """`day` itself when it is a trading day, else the last one before it."""
        return day if self.is_trading_day(day) else self.previous_trading_day(day)

    def sessions_between(self, first: date, last: date) -> Iterator[Session]:
        """All sessions of the days from `first` to `last`, both included, ascending."""
        for step in range((last - first).days + 1):
            yield from self.session_on(first + timedelta(days=step))

    def _first(self, days: Iterator[date]) -> date:
        for day in days:
            if self.is_trading_day(day):
                return day
        raise LookupError(f"calendar {self.name} has no trading day within a year: are its rows loaded?")


def _session(day: date, opening: time, closing: time, kind: SessionKind, label: str) -> Session:
    start = datetime.combine(day, opening, EXCHANGE_ZONE).astimezone(UTC)
    end = datetime.combine(day, closing, EXCHANGE_ZONE).astimezone(UTC)
    return Session(day, start, end, kind, label)


def _sessions_by_date(rows: Iterable[DatedRow]) -> dict[date, tuple[Session, ...]]:
    sessions: dict[date, tuple[Session, ...]] = {}
    for row in rows:
        own = () if row.kind == "holiday" else (_special(row),)
        sessions[row.date] = tuple(sorted((*sessions.get(row.date, ()), *own)))
    return sessions


def _special(row: DatedRow) -> Session:
    if row.open is None or row.close is None or row.open >= row.close:
        raise ValueError(f"special session on {row.date} must open before it closes, has {row.open} to {row.close}")
    return _session(row.date, row.open, row.close, "special", row.label)

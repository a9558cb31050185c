"""Lengths of bars. Adding a timeframe is adding a line to `TIMEFRAMES`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from server.domain.calendar import DAY_NS, EXCHANGE_OFFSET_NS, EXCHANGE_ZONE, NANOSECONDS

MINUTE_NS = 60 * NANOSECONDS
"""Nanoseconds of a minute."""


class Unit(Enum):
    """What a timeframe counts: minutes from the session's open, or calendar periods of exchange time."""

    MINUTE = "minute"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True)
class Timeframe:
    """A length of bars.

    `name` is its spelling in the contract. `minutes` is its length for `Unit.MINUTE`; calendar periods have none,
    because a month has no fixed length.
    """

    name: str
    unit: Unit
    minutes: int | None = None

    @classmethod
    def parse(cls, text: str) -> Timeframe:
        """The timeframe of that exact name. Raises ValueError that lists the allowed names."""
        for timeframe in TIMEFRAMES:
            if timeframe.name == text:
                return timeframe
        raise ValueError(f"unknown timeframe {text!r}; one of {', '.join(item.name for item in TIMEFRAMES)}")

    @property
    def intraday(self) -> bool:
        """It is shorter than a session: its bars begin at the session's open and do not cross sessions."""
        return self.unit is Unit.MINUTE

    @property
    def length_ns(self) -> int | None:
        """Nanoseconds of a bar; absent for calendar periods."""
        return None if self.minutes is None else self.minutes * MINUTE_NS

    @property
    def length(self) -> timedelta | None:
        """Duration of a bar; absent for calendar periods."""
        return None if self.minutes is None else timedelta(minutes=self.minutes)

    def bucket_start(self, open_time_ns: int, session_open_ns: int) -> int:
        """Start of the bar that holds an instant of a session, nanoseconds since 1970 UTC.

        Minutes count from the session's open (09:15 IST on a normal day, so that hourly bars start at :15). A day,
        week or month begins at exchange midnight of the session's day, of its Monday, of the first of its month.
        """
        if self.length_ns is not None:
            return session_open_ns + (open_time_ns - session_open_ns) // self.length_ns * self.length_ns
        midnight = (session_open_ns + EXCHANGE_OFFSET_NS) // DAY_NS * DAY_NS - EXCHANGE_OFFSET_NS
        day = datetime.fromtimestamp(midnight // NANOSECONDS, EXCHANGE_ZONE)
        back = {Unit.DAY: 0, Unit.WEEK: day.weekday(), Unit.MONTH: day.day - 1}[self.unit]
        return midnight - back * DAY_NS


TIMEFRAMES = (
    Timeframe("1min", Unit.MINUTE, 1),
    Timeframe("3min", Unit.MINUTE, 3),
    Timeframe("5min", Unit.MINUTE, 5),
    Timeframe("15min", Unit.MINUTE, 15),
    Timeframe("30min", Unit.MINUTE, 30),
    Timeframe("45min", Unit.MINUTE, 45),
    Timeframe("1hour", Unit.MINUTE, 60),
    Timeframe("2hour", Unit.MINUTE, 120),
    Timeframe("3hour", Unit.MINUTE, 180),
    Timeframe("4hour", Unit.MINUTE, 240),
    Timeframe("1day", Unit.DAY),
    Timeframe("1week", Unit.WEEK),
    Timeframe("1month", Unit.MONTH),
)
"""Every timeframe, shortest first."""

ONE_MINUTE = TIMEFRAMES[0]
"""The length that ticks are turned into; the others are made from it."""

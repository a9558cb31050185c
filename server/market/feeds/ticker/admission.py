"""Which quotes become ticks: those of a plausible time, within a session, of an instrument that is followed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final

from server.domain.calendar import NANOSECONDS, MarketCalendar, calendar_of, exchange_date
from server.market.feeds.contracts import Contract

FUTURE_NS: Final = 5 * NANOSECONDS
"""How far a quote may be ahead of the clock."""

GRACE_NS: Final = 60 * NANOSECONDS
"""How long after a session's close quotes are taken: they make no bar, but the last price moves."""


class Refusal(StrEnum):
    """Why a message became no tick."""

    UNREADABLE = "unreadable"
    MOCK = "mock"
    NOT_FOLLOWED = "not_followed"
    FUTURE = "future"
    OUT_OF_SESSION = "out_of_session"


class Admission:
    """Judges quotes by the clock, by the calendars (by name), and by what is followed."""

    def __init__(
        self,
        calendars: Mapping[str, MarketCalendar],
        wall_ns: Callable[[], int],
        follows: Callable[[Contract], bool] = lambda _: True,
    ) -> None:
        self._calendars = calendars
        self._wall_ns = wall_ns
        self._follows = follows

    def refusal(self, contract: Contract, event_time: int) -> Refusal | None:
        """Why the quote is refused; None when it is not."""
        if not self._follows(contract):
            return Refusal.NOT_FOLLOWED
        if event_time > self._wall_ns() + FUTURE_NS:
            return Refusal.FUTURE
        if not self._in_session(contract.exchange, event_time):
            return Refusal.OUT_OF_SESSION
        return None

    def _in_session(self, exchange: str, event_time: int) -> bool:
        try:
            calendar = self._calendars[calendar_of(exchange)]
        except (ValueError, KeyError):
            # Markets without a calendar are never in session, for the worker neither.
            return False
        sessions = calendar.session_on(exchange_date(event_time))
        return any(session.open_ns <= event_time <= session.close_ns + GRACE_NS for session in sessions)

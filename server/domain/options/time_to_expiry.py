"""How long a contract still lives: ACT/365 to the second, until 15:30 exchange time of its expiry date."""

from __future__ import annotations

from datetime import date, datetime
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from server.domain.calendar import EXCHANGE_ZONE, NANOSECONDS, MarketCalendar, exchange_date, to_nanoseconds
from server.domain.expiries import EXPIRY_TIME
from server.domain.options.arrays import FloatArray

SECONDS_A_YEAR: Final = 365 * 86_400
DAYS_A_YEAR: Final = 365.0


def expiry_instant(expiry: date) -> int:
    """The last instant of a contract, 15:30 exchange time, as nanoseconds since 1970 UTC."""
    return to_nanoseconds(datetime.combine(expiry, EXPIRY_TIME, EXCHANGE_ZONE))


def years_to_expiry(instant_ns: int, expiry: date) -> float:
    """Years from an instant (nanoseconds since 1970 UTC) to expiry, 0 at and after it.

    A started second counts whole: a contract that is in force has more than 0 except at 15:30:00 itself.
    """
    seconds = expiry_instant(expiry) // NANOSECONDS - instant_ns // NANOSECONDS
    return max(seconds, 0) / SECONDS_A_YEAR


def instant_of_years(expiry: date, years: float) -> int:
    """When an expiry has so many years left: what `years_to_expiry` was counted from, to the second."""
    return expiry_instant(expiry) - round(years * SECONDS_A_YEAR) * NANOSECONDS


def years_between(instant_ns: int, expiry_ns: ArrayLike) -> FloatArray:
    """`years_to_expiry` for many expiry instants (nanoseconds since 1970 UTC) at once."""
    seconds = np.asarray(expiry_ns, np.int64) // NANOSECONDS - instant_ns // NANOSECONDS
    return np.maximum(seconds, 0) / float(SECONDS_A_YEAR)


def days_to_expiry(day: date, expiry: date) -> int:
    """Calendar days from a date to the expiry date; 0 on expiry day, below 0 after it."""
    return (expiry - day).days


def calendar_years(instant_ns: int, expiry: date) -> float:
    """How the exchange's website counts: whole calendar days to the expiry date over 365, on that date itself one.

    0 once the expiry is over, a second after 15:30:00.
    """
    if instant_ns // NANOSECONDS > expiry_instant(expiry) // NANOSECONDS:
        return 0.0
    return max(days_to_expiry(exchange_date(instant_ns), expiry), 1) / DAYS_A_YEAR


def trading_days_to_expiry(calendar: MarketCalendar, day: date, expiry: date) -> int:
    """Trading days after a date up to and including the expiry date; 0 on expiry day."""
    return len({session.date for session in calendar.sessions_between(day, expiry) if session.date > day})

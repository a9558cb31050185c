"""Expiry days by the exchange's dated rules: only for sources that name a month and no day, and for spelling.

Classes and labels of expiries come from the instrument master's dates, never from here.
"""

from __future__ import annotations

from calendar import monthrange
from datetime import date, timedelta
from types import MappingProxyType
from typing import Final

from server.domain.calendar import MarketCalendar

MONDAY, TUESDAY, WEDNESDAY, THURSDAY, FRIDAY = range(5)

_EARLIEST: Final = date(2000, 1, 1)
_NSE_CHANGE: Final = (date(2025, 9, 1), TUESDAY)
_STOCKS: Final = ((_EARLIEST, THURSDAY), _NSE_CHANGE)
_MONTHLY: Final = MappingProxyType(
    {
        "BANKNIFTY": (
            (_EARLIEST, THURSDAY),
            (date(2024, 3, 1), WEDNESDAY),
            (date(2025, 1, 1), THURSDAY),
            _NSE_CHANGE,
        ),
        "FINNIFTY": ((_EARLIEST, TUESDAY), (date(2025, 1, 1), THURSDAY), _NSE_CHANGE),
        "MIDCPNIFTY": (
            (_EARLIEST, TUESDAY),
            (date(2023, 6, 1), WEDNESDAY),
            (date(2023, 9, 1), MONDAY),
            (date(2025, 1, 1), THURSDAY),
            _NSE_CHANGE,
        ),
        "SENSEX": ((_EARLIEST, FRIDAY), (date(2025, 1, 1), TUESDAY), (date(2025, 9, 1), THURSDAY)),
        "BANKEX": (
            (_EARLIEST, FRIDAY),
            (date(2023, 10, 1), MONDAY),
            (date(2025, 1, 1), TUESDAY),
            (date(2025, 9, 1), THURSDAY),
        ),
    }
)
"""First month in force and weekday of the monthly expiry: the last such weekday, or the trading day before it."""


class ExpiryRules:
    """Monthly and weekly expiries of an underlying, moved to the trading day before when they fall on a holiday."""

    def __init__(self, calendar: MarketCalendar) -> None:
        self.calendar = calendar
        self._monthly: dict[tuple[str, date], bool] = {}

    def monthly(self, underlying: str, year: int, month: int) -> date:
        """The last expiry of a month by the rule in force then."""
        weekday = _weekday_in_force(underlying, date(year, month, 1))
        return self.calendar.latest_trading_day(_last_weekday(year, month, weekday))

    def near_month(self, underlying: str, day: date) -> date:
        """The first monthly expiry on or after a day."""
        expiry = self.monthly(underlying, day.year, day.month)
        if expiry >= day:
            return expiry
        following = date(day.year, day.month, 1) + timedelta(days=32)
        return self.monthly(underlying, following.year, following.month)

    def is_monthly(self, underlying: str, expiry: date) -> bool:
        """The expiry closes its month by any rule that this underlying has had, a later declared holiday aside.

        Any rule: far contracts are listed by the rule of their listing day and keep that date for years.
        """
        known = self._monthly.get((underlying, expiry))
        if known is None:
            weekdays = {weekday for _, weekday in _MONTHLY.get(underlying, _STOCKS)}
            lasts = [_last_weekday(expiry.year, expiry.month, weekday) for weekday in weekdays]
            known = any(expiry in {last, self.calendar.latest_trading_day(last)} for last in lasts)
            self._monthly[underlying, expiry] = known
        return known

    def weekly(self, underlying: str, day: date, count: int) -> list[date]:
        """The next `count` expiries, one a week, the first on or after `day`."""
        expiries: list[date] = []
        week = day - timedelta(days=day.weekday())
        while len(expiries) < count:
            weekday = _weekday_in_force(underlying, week.replace(day=1))
            expiry = self.calendar.latest_trading_day(week + timedelta(days=weekday))
            if expiry >= day:
                expiries.append(expiry)
            week += timedelta(days=7)
        return expiries


def _last_weekday(year: int, month: int, weekday: int) -> date:
    last = date(year, month, monthrange(year, month)[1])
    return last - timedelta(days=(last.weekday() - weekday) % 7)


def _weekday_in_force(underlying: str, month: date) -> int:
    rules = _MONTHLY.get(underlying, _STOCKS)
    return next(weekday for first, weekday in reversed(rules) if first <= month)

"""Time to expiry at its boundaries."""

from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import pytest

from server.domain.calendar import EXCHANGE_ZONE, DatedRow, MarketCalendar, WeekdayHours, to_nanoseconds
from server.domain.options.time_to_expiry import (
    calendar_years,
    days_to_expiry,
    expiry_instant,
    trading_days_to_expiry,
    years_between,
    years_to_expiry,
)

EXPIRY = date(2026, 4, 13)
CLOSE = datetime(2026, 4, 13, 10, 0, tzinfo=UTC)
SECOND = 1 / (365 * 86_400)


def at(instant: datetime) -> int:
    return to_nanoseconds(instant)


def test_a_contract_ends_at_half_past_three_exchange_time() -> None:
    assert expiry_instant(EXPIRY) == at(CLOSE)


@pytest.mark.parametrize(
    ("before", "years"),
    [
        (timedelta(days=365), 1.0),
        (timedelta(days=7), 7 / 365),
        (timedelta(hours=6, minutes=15), 22_500 * SECOND),
        (timedelta(seconds=1), SECOND),
        (timedelta(microseconds=1), SECOND),
        (timedelta(0), 0.0),
        (timedelta(microseconds=-1), 0.0),
        (timedelta(days=-30), 0.0),
    ],
)
def test_years_are_counted_to_the_second_and_end_at_zero(before: timedelta, years: float) -> None:
    assert years_to_expiry(at(CLOSE - before), EXPIRY) == pytest.approx(years, rel=1e-15, abs=0.0)


def test_a_year_has_365_days_over_a_leap_day_and_the_turn_of_the_year() -> None:
    first, last = datetime(2027, 12, 30, 10, 0, tzinfo=UTC), date(2028, 12, 29)

    assert years_to_expiry(at(first), last) == 1.0


def test_weekends_and_holidays_pass_like_other_days() -> None:
    friday = datetime(2026, 4, 10, 10, 0, tzinfo=UTC)

    assert years_to_expiry(at(friday), EXPIRY) == 3 / 365


def test_many_expiries_are_counted_like_one() -> None:
    expiries = [date(2026, 4, 10), EXPIRY, date(2026, 4, 21), date(2027, 6, 24)]
    now = at(datetime(2026, 4, 13, 4, 17, 33, 250_000, tzinfo=UTC))

    found = years_between(now, np.array([expiry_instant(expiry) for expiry in expiries]))

    assert found.tolist() == [years_to_expiry(now, expiry) for expiry in expiries]


def test_the_exchanges_site_counts_whole_calendar_days_and_at_least_one() -> None:
    def at(text: str) -> int:
        return to_nanoseconds(datetime.fromisoformat(text).replace(tzinfo=EXCHANGE_ZONE))

    assert calendar_years(at("2025-07-17T15:30:00"), date(2025, 7, 31)) == 14 / 365
    assert calendar_years(at("2025-07-30T09:15:00"), date(2025, 7, 31)) == 1 / 365
    assert calendar_years(at("2025-07-31T09:15:00"), date(2025, 7, 31)) == 1 / 365
    assert calendar_years(at("2025-07-31T15:30:00"), date(2025, 7, 31)) == 1 / 365
    assert calendar_years(at("2025-07-31T15:30:01"), date(2025, 7, 31)) == 0.0
    assert calendar_years(at("2025-08-01T09:15:00"), date(2025, 7, 31)) == 0.0


def test_days_are_calendar_days_and_negative_after_expiry() -> None:
    assert [days_to_expiry(date(2026, 4, day), EXPIRY) for day in (10, 13, 14)] == [3, 0, -1]


def test_trading_days_leave_out_weekends_and_holidays_and_count_special_sessions() -> None:
    opening, closing = time(9, 15), time(15, 30)
    weekdays = [WeekdayHours(weekday, opening, closing, date(2020, 1, 1)) for weekday in range(5)]
    dated = [
        DatedRow(date(2026, 4, 14), "holiday", None, None, "Ambedkar Jayanti"),
        DatedRow(date(2026, 4, 18), "special", opening, closing, "a Saturday"),
    ]
    calendar = MarketCalendar("NSE", weekdays, dated)

    assert trading_days_to_expiry(calendar, date(2026, 4, 13), date(2026, 4, 21)) == 6
    assert trading_days_to_expiry(calendar, date(2026, 4, 21), date(2026, 4, 21)) == 0

"""The calendar: weekly hours, and the dated rows that replace them."""

from datetime import UTC, date, datetime, time, timedelta

import pytest

from server.domain.calendar import (
    DatedRow,
    MarketCalendar,
    WeekdayHours,
    calendar_of,
    exchange_date,
    to_nanoseconds,
)

OPEN, CLOSE = time(9, 15), time(15, 30)
WEEKLY = [WeekdayHours(weekday, OPEN, CLOSE, date(2010, 1, 4)) for weekday in range(5)]
DATED = [
    DatedRow(date(2024, 1, 26), "holiday", None, None, "Republic Day"),
    DatedRow(date(2024, 11, 1), "holiday", None, None, "Diwali"),
    DatedRow(date(2024, 11, 1), "special", time(18, 0), time(19, 0), "Muhurat"),
    DatedRow(date(2024, 3, 2), "special", time(11, 30), time(12, 30), "second"),
    DatedRow(date(2024, 3, 2), "special", time(9, 15), time(10, 0), "first"),
]
CALENDAR = MarketCalendar("NSE", WEEKLY, DATED)


def instant(*fields: int) -> int:
    return to_nanoseconds(datetime(*fields, tzinfo=UTC))


def test_a_weekday_trades_from_0345_to_1000_utc() -> None:
    (session,) = CALENDAR.session_on(date(2024, 1, 25))

    assert (session.open, session.close) == (
        datetime(2024, 1, 25, 3, 45, tzinfo=UTC),
        datetime(2024, 1, 25, 10, 0, tzinfo=UTC),
    )
    assert (session.kind, session.label) == ("normal", "")


@pytest.mark.parametrize("day", [date(2024, 1, 26), date(2024, 1, 27), date(2024, 1, 28)], ids=["Fri", "Sat", "Sun"])
def test_holidays_and_weekends_have_no_session(day: date) -> None:
    assert CALENDAR.session_on(day) == ()
    assert not CALENDAR.is_trading_day(day)


def test_a_muhurat_holiday_trades_in_its_own_hours_only() -> None:
    (session,) = CALENDAR.session_on(date(2024, 11, 1))

    assert (session.kind, session.label) == ("special", "Muhurat")
    assert session.open == datetime(2024, 11, 1, 12, 30, tzinfo=UTC)
    assert CALENDAR.session_at(instant(2024, 11, 1, 4, 0)) is None


def test_several_sessions_of_a_day_are_in_order() -> None:
    assert [session.label for session in CALENDAR.session_on(date(2024, 3, 2))] == ["first", "second"]


@pytest.mark.parametrize(
    ("at", "label"),
    [
        (instant(2024, 3, 2, 3, 44, 59), None),
        (instant(2024, 3, 2, 3, 45), "first"),
        (instant(2024, 3, 2, 4, 30) - 1, "first"),
        (instant(2024, 3, 2, 4, 30), None),
        (instant(2024, 3, 2, 6, 0), "second"),
        (instant(2024, 3, 2, 7, 0), None),
    ],
)
def test_a_session_holds_its_opening_and_not_its_close(at: int, label: str | None) -> None:
    session = CALENDAR.session_at(at)

    assert (session.label if session else None) == label


def test_trading_days_skip_weekends_and_holidays() -> None:
    assert CALENDAR.next_trading_day(date(2024, 1, 25)) == date(2024, 1, 29)
    assert CALENDAR.previous_trading_day(date(2024, 1, 29)) == date(2024, 1, 25)
    assert CALENDAR.latest_trading_day(date(2024, 1, 28)) == date(2024, 1, 25)
    assert CALENDAR.latest_trading_day(date(2024, 1, 25)) == date(2024, 1, 25)


def test_sessions_between_include_both_ends() -> None:
    days = [session.date.day for session in CALENDAR.sessions_between(date(2024, 1, 25), date(2024, 1, 29))]

    assert days == [25, 29]


def test_a_rule_holds_between_its_dates() -> None:
    changed = MarketCalendar(
        "NFO",
        [
            WeekdayHours(0, OPEN, CLOSE, date(2010, 1, 4), date(2024, 1, 7)),
            WeekdayHours(0, OPEN, time(15, 40), date(2024, 1, 8)),
        ],
        [],
    )

    closes = [session.close.minute for session in changed.sessions_between(date(2024, 1, 1), date(2024, 1, 8))]

    assert closes == [0, 10]


@pytest.mark.parametrize(
    ("first", "last", "covered"),
    [
        (date(2024, 1, 1), date(2024, 12, 31), True),
        (date(2024, 12, 31), date(2025, 1, 1), False),
        (date(2023, 12, 29), date(2024, 1, 1), False),
        (date(2027, 1, 1), date(2027, 1, 1), False),
    ],
)
def test_years_with_holidays_are_covered(first: date, last: date, covered: bool) -> None:
    assert CALENDAR.covers(first, last) is covered


@pytest.mark.parametrize("day", [date(2027, 1, 26), date(2028, 8, 15), date(2029, 10, 2)])
def test_national_holidays_are_kept_in_years_that_are_not_covered(day: date) -> None:
    calendar = MarketCalendar("NSE", [WeekdayHours(weekday, OPEN, CLOSE, date(2010, 1, 4)) for weekday in range(5)], [])

    assert day.weekday() < 5
    assert not calendar.is_trading_day(day)
    assert calendar.latest_trading_day(day) == day - timedelta(days=1)


def test_a_special_session_that_does_not_open_before_its_close_is_refused() -> None:
    with pytest.raises(ValueError, match="2024-03-02"):
        MarketCalendar("NSE", [], [DatedRow(date(2024, 3, 2), "special", time(10), time(9), "")])


def test_a_calendar_without_rows_says_so() -> None:
    with pytest.raises(LookupError, match="NSE"):
        MarketCalendar("NSE", [], []).next_trading_day(date(2024, 1, 1))


def test_the_exchange_date_changes_at_1830_utc() -> None:
    assert exchange_date(instant(2024, 1, 1, 18, 29, 59)) == date(2024, 1, 1)
    assert exchange_date(instant(2024, 1, 1, 18, 30)) == date(2024, 1, 2)


def test_nanoseconds_are_exact_to_the_microsecond() -> None:
    assert to_nanoseconds(datetime(2024, 1, 1, 3, 45, 0, 1, tzinfo=UTC)) == 1_704_080_700_000_001_000


@pytest.mark.parametrize(("exchange", "name"), [("NSE", "NSE"), ("NFO", "NSE"), ("BFO", "NSE"), ("MCX", "MCX")])
def test_exchange_segments_share_calendars(exchange: str, name: str) -> None:
    assert calendar_of(exchange) == name


def test_an_exchange_without_calendar_is_an_error() -> None:
    with pytest.raises(ValueError, match="NYSE"):
        calendar_of("NYSE")

"""The predecessor's thirty cases for expiries and business days, counted from zero over all expiries."""

from datetime import date, datetime, time, timedelta

import pytest

from server.domain.calendar import EXCHANGE_ZONE, DatedRow, MarketCalendar, WeekdayHours, to_nanoseconds
from server.domain.expiries import (
    ExpiryClass,
    LabelledExpiry,
    ListedExpiry,
    is_quarterly,
    label_expiries,
    label_history,
    monthly_expiries,
    resolve_label,
)

_D = date.fromisoformat
LISTED = [_D("2024-11-07"), _D("2024-11-14"), _D("2024-11-28")]
WITH_DECEMBER = [*LISTED, _D("2024-12-26")]
HOURS = [WeekdayHours(weekday, time(9, 15), time(15, 30), date(2010, 1, 4)) for weekday in range(5)]


def noon(day: str) -> int:
    return to_nanoseconds(datetime.combine(_D(day), time(12), EXCHANGE_ZONE))


def labels(as_of: str, listed: list[date]) -> dict[str, tuple[str, ...]]:
    return {found.expiry.isoformat(): found.labels for found in label_expiries(listed, noon(as_of))}


def calendar(*holidays: str) -> MarketCalendar:
    return MarketCalendar("NSE", HOURS, [DatedRow(_D(day), "holiday", None, None, "") for day in holidays])


@pytest.mark.parametrize(
    ("day", "month", "expected", "quarterly"),
    [
        ("2024-11-07", ["2024-11-07", "2024-11-14", "2024-11-28"], ExpiryClass.WEEKLY, False),
        ("2024-11-14", ["2024-11-07", "2024-11-14", "2024-11-28"], ExpiryClass.WEEKLY, False),
        ("2024-11-28", ["2024-11-07", "2024-11-14", "2024-11-28"], ExpiryClass.MONTHLY, False),
        ("2024-10-31", ["2024-10-24", "2024-10-31"], ExpiryClass.MONTHLY, False),
        ("2024-12-26", ["2024-12-19", "2024-12-26"], ExpiryClass.MONTHLY, True),
        ("2024-03-28", ["2024-03-21", "2024-03-28"], ExpiryClass.MONTHLY, True),
    ],
)
def test_class_of_an_expiry(day: str, month: list[str], expected: ExpiryClass, quarterly: bool) -> None:
    monthly = monthly_expiries(map(_D, month))

    found = ExpiryClass.MONTHLY if _D(day) in monthly else ExpiryClass.WEEKLY
    assert (found, is_quarterly(_D(day), monthly)) == (expected, quarterly)


@pytest.mark.parametrize("day", ["2024-11-06", "2024-11-08"], ids=["Wednesday", "Friday"])
def test_a_day_between_expiries_is_none(day: str) -> None:
    assert day not in labels("2024-11-05", WITH_DECEMBER)


@pytest.mark.parametrize(
    ("day", "expected"),
    [("2024-11-07", ("NWeek+0",)), ("2024-11-14", ("NWeek+1",)), ("2024-11-28", ("NWeek+2", "NMonth+0"))],
)
def test_labels_as_of_the_fifth_of_november(day: str, expected: tuple[str, ...]) -> None:
    assert labels("2024-11-05", LISTED)[day] == expected


def test_the_next_months_expiry_is_one_month_away() -> None:
    assert labels("2024-11-05", WITH_DECEMBER)["2024-12-26"] == ("NWeek+3", "NMonth+1")


def test_days_to_expiry_are_calendar_days() -> None:
    assert label_expiries(LISTED, noon("2024-11-05"))[0].days == 2


def test_december_is_the_month_itself_once_november_is_over() -> None:
    (found,) = label_expiries(WITH_DECEMBER, noon("2024-12-01"))

    assert (found.labels, found.quarterly) == (("NWeek+0", "NMonth+0"), True)


@pytest.mark.parametrize(
    ("day", "holidays", "expected"),
    [
        ("2024-11-05", [], True),
        ("2024-11-09", [], False),
        ("2024-11-10", [], False),
        ("2024-11-05", ["2024-11-05"], False),
    ],
    ids=["Tuesday", "Saturday", "Sunday", "Tuesday that is a holiday"],
)
def test_business_days(day: str, holidays: list[str], expected: bool) -> None:
    assert calendar(*holidays).is_trading_day(_D(day)) is expected


@pytest.mark.parametrize(
    ("day", "holidays"), [("2024-11-08", []), ("2024-11-07", ["2024-11-08"])], ids=["from Friday", "over a holiday"]
)
def test_the_next_business_day_is_monday(day: str, holidays: list[str]) -> None:
    assert calendar(*holidays).next_trading_day(_D(day)) == _D("2024-11-11")


@pytest.mark.parametrize(
    ("last", "holidays", "count"),
    [("2024-11-08", [], 5), ("2024-11-11", [], 6), ("2024-11-08", ["2024-11-05"], 4)],
)
def test_business_days_of_a_range(last: str, holidays: list[str], count: int) -> None:
    sessions = calendar(*holidays).sessions_between(_D("2024-11-04"), _D(last))

    assert len({session.date for session in sessions}) == count


def test_the_same_question_has_the_same_answer() -> None:
    assert label_expiries(LISTED, noon("2024-11-05")) == label_expiries(tuple(LISTED), noon("2024-11-05"))


def test_labels_of_one_underlying_do_not_depend_on_anothers() -> None:
    before = labels("2024-11-05", LISTED)
    labels("2024-11-05", [_D("2024-11-06"), _D("2024-11-13")])

    assert labels("2024-11-05", LISTED) == before


def test_dates_map_to_labels_and_labels_back_to_dates() -> None:
    found = label_expiries(WITH_DECEMBER, noon("2024-11-05"))

    assert {item.expiry: item.week for item in found} == dict(zip(WITH_DECEMBER, range(4), strict=True))
    assert [resolve_label(label, found) for item in found for label in item.labels] == [
        item.expiry for item in found for _ in item.labels
    ]


def test_a_label_is_the_same_after_it_was_written_and_read() -> None:
    (first, *_) = label_expiries(LISTED, noon("2024-11-05"))
    written = (first.expiry.isoformat(), str(first.expiry_class), first.quarterly, first.days, first.week, first.month)

    day, kind, quarterly, days, week, month = written
    assert LabelledExpiry(_D(day), ExpiryClass(kind), quarterly, days, week, month) == first


def test_history_moves_an_expiry_from_two_weeks_away_to_one() -> None:
    days = [_D("2024-11-07") + timedelta(days=offset) for offset in (0, 1)]

    history = label_history([ListedExpiry(expiry) for expiry in LISTED], days)

    assert [dict(zip((item.expiry for item in found), (item.week for item in found), strict=True))[_D("2024-11-28")]
            for found in history.values()] == [2, 1]  # fmt: skip


def test_an_expired_date_has_no_label() -> None:
    assert "2024-11-07" not in labels("2024-11-08", LISTED)


def test_the_last_expiry_is_still_labelled_on_its_day() -> None:
    assert labels("2024-11-28", LISTED) == {"2024-11-28": ("NWeek+0", "NMonth+0")}

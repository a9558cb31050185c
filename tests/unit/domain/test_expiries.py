"""Classes and labels of expiries: the cases of the predecessor's labeller, counted from zero over all expiries."""

import csv
import gzip
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from server.domain.calendar import to_nanoseconds
from server.domain.expiries import (
    ExpiryClass,
    LabelledExpiry,
    ListedExpiry,
    earliest_expiry,
    is_quarterly,
    label_expiries,
    label_history,
    labels_as_of,
    monthly_expiries,
    resolve_label,
)

WINTER = [date(2024, 11, 7), date(2024, 11, 14), date(2024, 11, 28), date(2024, 12, 26)]


def at(day: str, hour: int = 12, minute: int = 0, second: int = 0) -> int:
    """Exchange time as an instant."""
    year, month, number = map(int, day.split("-"))
    return to_nanoseconds(
        datetime(year, month, number, hour, minute, second, tzinfo=UTC) - timedelta(hours=5, minutes=30)
    )


def labels(dates: list[date], instant: int) -> dict[str, tuple[str, ...]]:
    return {labelled.expiry.isoformat(): labelled.labels for labelled in label_expiries(dates, instant)}


def labelled(day: str, dates: list[date], as_of: str) -> LabelledExpiry:
    return next(found for found in label_expiries(dates, at(as_of)) if found.expiry == date.fromisoformat(day))


@pytest.mark.parametrize(
    ("day", "expected", "quarterly"),
    [
        ("2024-11-07", ExpiryClass.WEEKLY, False),
        ("2024-11-14", ExpiryClass.WEEKLY, False),
        ("2024-11-28", ExpiryClass.MONTHLY, False),
        ("2024-12-26", ExpiryClass.MONTHLY, True),
    ],
)
def test_the_last_expiry_of_a_month_is_monthly_and_that_of_a_quarter_quarterly(
    day: str, expected: ExpiryClass, quarterly: bool
) -> None:
    found = labelled(day, WINTER, "2024-11-05")

    assert (found.expiry_class, found.quarterly) == (expected, quarterly)


@pytest.mark.parametrize(("day", "quarterly"), [("2024-10-31", False), ("2024-03-28", True)])
def test_other_months(day: str, quarterly: bool) -> None:
    expiry = date.fromisoformat(day)
    monthly = monthly_expiries([expiry - timedelta(days=7), expiry])

    assert monthly == {expiry}
    assert is_quarterly(expiry, monthly) is quarterly


@pytest.mark.parametrize("day", ["2024-11-06", "2024-11-08"])
def test_a_date_that_is_not_listed_is_no_expiry_whatever_its_weekday(day: str) -> None:
    assert day not in labels(WINTER, at("2024-11-05"))


def test_labels_of_nifty_in_november_2024() -> None:
    assert labels(WINTER, at("2024-11-05")) == {
        "2024-11-07": ("NWeek+0",),
        "2024-11-14": ("NWeek+1",),
        "2024-11-28": ("NWeek+2", "NMonth+0"),
        "2024-12-26": ("NWeek+3", "NMonth+1"),
    }


def test_labels_of_december_2024() -> None:
    found = labelled("2024-12-26", WINTER, "2024-12-01")

    assert (found.labels, found.quarterly) == (("NWeek+0", "NMonth+0"), True)


@pytest.mark.parametrize(
    ("as_of", "expected"),
    [
        ("2024-11-05", ("NWeek+2", "NMonth+0")),
        ("2024-11-08", ("NWeek+1", "NMonth+0")),
        ("2024-11-15", ("NWeek+0", "NMonth+0")),
        ("2024-11-28", ("NWeek+0", "NMonth+0")),
    ],
)
def test_labels_move_on_as_expiries_pass(as_of: str, expected: tuple[str, ...]) -> None:
    assert labels(WINTER, at(as_of))["2024-11-28"] == expected


@pytest.mark.parametrize(("as_of", "days"), [("2024-11-05", 2), ("2024-11-06", 1), ("2024-11-07", 0)])
def test_days_are_calendar_days(as_of: str, days: int) -> None:
    assert labelled("2024-11-07", WINTER, as_of).days == days


def test_order_and_repetition_of_the_dates_do_not_matter() -> None:
    assert labels([*reversed(WINTER), *WINTER], at("2024-11-05")) == labels(WINTER, at("2024-11-05"))


def test_no_dates_have_no_labels() -> None:
    assert label_expiries([], at("2024-11-05")) == ()


@pytest.mark.parametrize(
    ("hour", "minute", "second", "nearest"),
    [(9, 15, 0, "2024-11-07"), (15, 30, 0, "2024-11-07"), (15, 30, 1, "2024-11-14"), (23, 59, 59, "2024-11-14")],
)
def test_an_expiry_is_in_force_until_half_past_three(hour: int, minute: int, second: int, nearest: str) -> None:
    found = label_expiries(WINTER, at("2024-11-07", hour, minute, second))

    assert (found[0].expiry.isoformat(), found[0].labels) == (nearest, ("NWeek+0",))


def test_a_nanosecond_after_half_past_three_it_is_over() -> None:
    assert earliest_expiry(at("2024-11-07", 15, 30) + 1) == date(2024, 11, 8)


@pytest.mark.parametrize(
    ("label", "expected"),
    [("NWeek+0", "2024-11-07"), ("NWeek+2", "2024-11-28"), ("NMonth+0", "2024-11-28"), ("NMonth+1", "2024-12-26")],
)
def test_a_label_is_resolved_to_the_expiry_that_carries_it(label: str, expected: str) -> None:
    assert resolve_label(label, label_expiries(WINTER, at("2024-11-05"))) == date.fromisoformat(expected)


def test_a_label_that_nothing_carries_is_none() -> None:
    assert resolve_label("NWeek+9", label_expiries(WINTER, at("2024-11-05"))) is None


@pytest.mark.parametrize("label", ["", "NWeek", "NWeek+", "NWeek-1", "NQuarter+0", "nweek+0", "NMonth+x", "NWeek+²"])
def test_a_text_that_is_no_label_is_refused(label: str) -> None:
    with pytest.raises(ValueError, match="a label is"):
        resolve_label(label, ())


def test_history_knows_only_what_was_listed_then() -> None:
    listed = [
        ListedExpiry(date(2024, 11, 7)),
        ListedExpiry(date(2024, 11, 14)),
        ListedExpiry(date(2024, 11, 21), listed_since=date(2024, 11, 8)),
        ListedExpiry(date(2024, 11, 28)),
    ]

    history = label_history(listed, [date(2024, 11, 7), date(2024, 11, 8)])

    names = {day: [found.labels[0] for found in known if found.expiry.day == 28] for day, known in history.items()}
    assert names == {date(2024, 11, 7): ["NWeek+2"], date(2024, 11, 8): ["NWeek+2"]}
    assert [len(known) for known in history.values()] == [3, 3]


def test_history_moves_a_label_from_two_weeks_to_one() -> None:
    history = label_history([ListedExpiry(expiry) for expiry in WINTER], [date(2024, 11, 6), date(2024, 11, 8)])

    assert [resolve_label("NWeek+1", known) for known in history.values()] == [date(2024, 11, 14), date(2024, 11, 28)]


def test_an_expiry_that_was_moved_away_no_longer_counts() -> None:
    listed = [
        ListedExpiry(date(2025, 9, 25), listed_until=date(2025, 8, 1)),
        ListedExpiry(date(2025, 9, 30), listed_since=date(2025, 8, 1)),
    ]

    before, after = labels_as_of(listed, at("2025-07-17")), labels_as_of(listed, at("2025-08-14"))

    assert [found.expiry for found in before] == [date(2025, 9, 25)]
    assert [found.expiry for found in after] == [date(2025, 9, 30)]


def observed(shared_data: Path) -> dict[tuple[str, str], list[date]]:
    path = shared_data / "calendar" / "expiry_dates_observed_NIFTY_BANKNIFTY.csv"
    lists: dict[tuple[str, str], list[date]] = defaultdict(list)
    with path.open(newline="") as lines:
        for row in csv.DictReader(lines):
            lists[row["as_of"], row["symbol"]].append(date.fromisoformat(row["expiry"]))
    return lists


def test_labels_over_the_move_from_thursday_to_tuesday(shared_data: Path) -> None:
    found = labels(observed(shared_data)["2025-08-14", "NIFTY"], at("2025-08-14"))

    assert list(found.items())[:8] == [
        ("2025-08-14", ("NWeek+0",)),
        ("2025-08-21", ("NWeek+1",)),
        ("2025-08-28", ("NWeek+2", "NMonth+0")),
        ("2025-09-02", ("NWeek+3",)),
        ("2025-09-09", ("NWeek+4",)),
        ("2025-09-30", ("NWeek+5", "NMonth+1")),
        ("2025-10-28", ("NWeek+6", "NMonth+2")),
        ("2025-12-30", ("NWeek+7", "NMonth+3")),
    ]


def test_every_observed_expiry_of_banknifty_after_its_weeklies_is_monthly(shared_data: Path) -> None:
    for as_of in ("2025-07-17", "2025-08-14"):
        found = label_expiries(observed(shared_data)[as_of, "BANKNIFTY"], at(as_of))

        assert {expiry.expiry_class for expiry in found} == {ExpiryClass.MONTHLY}
        assert [expiry.month for expiry in found] == list(range(len(found)))


def test_every_observed_list_is_labelled_completely_and_one_monthly_a_month(shared_data: Path) -> None:
    for (as_of, _), dates in observed(shared_data).items():
        day = as_of if len(as_of) == 10 else f"{as_of}-01"
        found = label_expiries(dates, at(day, 9, 15))

        months = [(expiry.expiry.year, expiry.expiry.month) for expiry in found if expiry.month is not None]
        assert [expiry.expiry for expiry in found] == sorted(dates)
        assert [expiry.week for expiry in found] == list(range(len(dates)))
        assert months == sorted({(expiry.year, expiry.month) for expiry in dates})


def test_a_weekly_expiry_before_a_holiday_is_one_like_others() -> None:
    april = [date(2026, 4, 7), date(2026, 4, 13), date(2026, 4, 21), date(2026, 4, 28)]

    assert labels(april, at("2026-04-13", 15, 30))["2026-04-13"] == ("NWeek+0",)
    assert labels(april, at("2026-04-13", 15, 31)) == {
        "2026-04-21": ("NWeek+0",),
        "2026-04-28": ("NWeek+1", "NMonth+0"),
    }


def test_all_underlyings_of_a_broker_dump_have_monthly_expiries(shared_data: Path) -> None:
    dates: dict[str, set[date]] = defaultdict(set)
    with gzip.open(shared_data / "kite" / "instruments_NFO_2026-08.csv.gz", "rt", newline="") as lines:
        for row in csv.DictReader(lines):
            dates[row["name"]].add(date.fromisoformat(row["expiry"]))

    nearest = {
        name: resolve_label("NMonth+0", label_expiries(expiries, at("2026-08-18"))) for name, expiries in dates.items()
    }

    assert len(nearest) > 200
    assert set(nearest.values()) == {date(2026, 8, 25)}
    assert labels(sorted(dates["NIFTY"]), at("2026-08-18"))["2026-08-25"] == ("NWeek+1", "NMonth+0")


APRIL = [date(2026, 4, 7), date(2026, 4, 13)]


def test_a_month_of_which_only_weekly_expiries_are_known_has_no_monthly_one() -> None:
    listed = [ListedExpiry(expiry, weekly=True) for expiry in APRIL]

    found = labels_as_of(listed, at("2026-04-06"))

    assert [(item.expiry_class, item.quarterly) for item in found] == [(ExpiryClass.WEEKLY, False)] * 2
    assert [item.labels for item in found] == [("NWeek+0",), ("NWeek+1",)]


def test_a_later_expiry_of_the_month_is_monthly_as_soon_as_it_is_known() -> None:
    listed = [*(ListedExpiry(expiry, weekly=True) for expiry in APRIL), ListedExpiry(date(2026, 4, 28))]

    found = labels_as_of(listed, at("2026-04-06"))

    assert [item.labels for item in found] == [("NWeek+0",), ("NWeek+1",), ("NWeek+2", "NMonth+0")]


def test_the_dates_count_where_another_expiry_of_the_month_is_called_by_it() -> None:
    listed = [ListedExpiry(date(2026, 4, 7)), ListedExpiry(date(2026, 4, 13), weekly=True)]

    found = labels_as_of(listed, at("2026-04-06"))

    assert [item.labels for item in found] == [("NWeek+0",), ("NWeek+1", "NMonth+0")]

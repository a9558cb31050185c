"""The seeded calendar against recorded lists of trading days and holidays."""

import csv
import importlib.util
from collections.abc import Iterator
from datetime import date, time, timedelta
from pathlib import Path
from types import ModuleType

import pytest

from server.domain.calendar import DatedRow, MarketCalendar, WeekdayHours

REVISION = Path(__file__).parents[3] / "migrations" / "versions" / "0005_calendar_facts.py"


@pytest.fixture(scope="module")
def facts() -> ModuleType:
    spec = importlib.util.spec_from_file_location("calendar_facts", REVISION)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def nse(facts: ModuleType) -> MarketCalendar:
    return seeded(facts, "NSE")


def seeded(facts: ModuleType, name: str) -> MarketCalendar:
    weekdays = [
        WeekdayHours(weekday, time.fromisoformat(opening), time.fromisoformat(closing), date.fromisoformat(first))
        for calendar, weekday, opening, closing, first, _ in facts.weekday_rows()
        if calendar == name
    ]
    dated = [
        DatedRow(
            date.fromisoformat(day),
            kind,
            time.fromisoformat(opening) if opening else None,
            time.fromisoformat(closing) if closing else None,
            label,
        )
        for calendar, day, kind, opening, closing, label, _ in facts.session_rows()
        if calendar == name
    ]
    return MarketCalendar(name, weekdays, dated)


def days(first: str, last: str) -> Iterator[date]:
    day, end = date.fromisoformat(first), date.fromisoformat(last)
    while day <= end:
        yield day
        day += timedelta(days=1)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_trading_days_of_2019_to_2023_are_the_observed_ones(nse: MarketCalendar, shared_data: Path) -> None:
    observed = {row["date"] for row in table(shared_data / "calendar" / "nse_sessions_2019-10_to_2023-12.csv")}

    trading = {str(day) for day in days("2019-10-01", "2023-12-31") if nse.is_trading_day(day)}

    assert trading == observed


def test_special_days_of_2019_to_2023_are_the_observed_ones(nse: MarketCalendar, shared_data: Path) -> None:
    rows = table(shared_data / "calendar" / "nse_sessions_2019-10_to_2023-12.csv")
    observed = {row["date"] for row in rows if row["kind"] == "special"}

    special = {
        str(session.date)
        for session in nse.sessions_between(date(2019, 10, 1), date(2023, 12, 31))
        if session.kind == "special"
    }

    # on 2021-02-24 a normal day was cut by the exchange's outage and extended
    assert special - {"2021-02-24"} == observed


def test_trading_days_of_2019_are_those_of_an_independent_list(nse: MarketCalendar, shared_data: Path) -> None:
    rows = table(shared_data / "calendar" / "trading_days_pkg_nse-trading-calendar_2010_to_2023.csv")
    listed = {row["date"] for row in rows if row["date"].startswith("2019")}

    assert {str(day) for day in days("2019-01-01", "2019-12-31") if nse.is_trading_day(day)} == listed


def test_weekdays_without_a_normal_session_from_2024_are_the_named_holidays(
    nse: MarketCalendar, shared_data: Path
) -> None:
    rows = table(shared_data / "calendar" / "holidays_2024_to_2026_named.csv")
    named = {row["date"] for row in rows if date.fromisoformat(row["date"]).weekday() < 5}

    closed = {
        str(day)
        for day in days("2024-01-01", "2026-12-31")
        if day.weekday() < 5 and not any(session.kind == "normal" for session in nse.session_on(day))
    }

    assert closed == named


@pytest.mark.parametrize(
    ("day", "hours"),
    [
        ("2019-10-27", ["18:15-19:15"]),
        ("2020-02-01", ["09:15-15:30"]),
        ("2020-11-14", ["18:15-19:15"]),
        ("2021-11-04", ["18:15-19:15"]),
        ("2022-10-24", ["18:15-19:15"]),
        ("2023-11-12", ["18:15-19:15"]),
        ("2024-01-20", ["09:15-15:30"]),
        ("2024-03-02", ["09:15-10:00", "11:30-12:30"]),
        ("2024-05-18", ["09:15-10:00", "11:45-12:40"]),
        ("2024-11-01", ["18:00-19:00"]),
        ("2025-02-01", ["09:15-15:30"]),
        ("2025-10-21", ["13:45-14:45"]),
        ("2026-02-01", ["09:15-15:30"]),
        ("2026-11-23", ["09:15-15:30"]),
        ("2026-11-24", []),
    ],
)
def test_hours_of_special_days(nse: MarketCalendar, day: str, hours: list[str]) -> None:
    ist = timedelta(hours=5, minutes=30)

    found = [
        f"{session.open + ist:%H:%M}-{session.close + ist:%H:%M}" for session in nse.session_on(date.fromisoformat(day))
    ]

    assert found == hours


def test_commodities_trade_in_the_evening_of_most_holidays(facts: ModuleType) -> None:
    (session,) = seeded(facts, "MCX").session_on(date(2026, 11, 24))

    assert (session.open.hour, session.open.minute) == (11, 30)


def test_every_fact_names_its_source(facts: ModuleType) -> None:
    assert all(row[-1] for row in [*facts.session_rows(), *facts.weekday_rows()])

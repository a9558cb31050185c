"""The day of an instrument dump, by the name of its file."""

from datetime import date

import pytest

from server.market.feeds.replay.runner import day_in


@pytest.mark.parametrize(
    "name",
    ["instruments_2024-05-28.csv", "20240528.csv.gz", "kite-2024-05-28T08:30.csv", "20249999_2024-05-28.csv"],
)
def test_a_day_in_the_name_is_found(name: str) -> None:
    assert day_in(name) == date(2024, 5, 28)


@pytest.mark.parametrize(
    "name", ["instruments.csv", "instruments_NFO_2026-08.csv.gz", "202405281.csv", "2024-13-01.csv"]
)
def test_a_name_without_a_day_has_none(name: str) -> None:
    assert day_in(name) is None

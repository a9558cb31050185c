"""Lengths of bars and where bars begin."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.timeframes import MINUTE_NS, TIMEFRAMES, Timeframe

NAMES = [
    "1min", "3min", "5min", "15min", "30min", "45min", "1hour", "2hour", "3hour", "4hour", "1day", "1week", "1month",
]  # fmt: skip


def ns(text: str) -> int:
    return int(datetime.fromisoformat(f"{text}+05:30").timestamp()) * 1_000_000_000


OPEN = ns("2025-12-03T09:15")


@pytest.mark.parametrize("name", NAMES)
def test_each_name_is_known(name):
    assert Timeframe.parse(name).name == name


def test_there_are_no_others():
    assert [timeframe.name for timeframe in TIMEFRAMES] == NAMES


@pytest.mark.parametrize("text", ["", "2min", "10", "60", "1D", "1Min", " 1min", "1hour ", "D"])
def test_an_unknown_name_is_an_error_that_lists_the_names(text):
    with pytest.raises(ValueError, match="1min, 3min, 5min"):
        Timeframe.parse(text)


@pytest.mark.parametrize(
    ("name", "at", "start"),
    [
        ("1min", "2025-12-03T09:15:59", "2025-12-03T09:15"),
        ("30min", "2025-12-03T10:14:59", "2025-12-03T09:45"),
        ("1hour", "2025-12-03T10:15", "2025-12-03T10:15"),
        ("1hour", "2025-12-03T15:29", "2025-12-03T15:15"),
        ("4hour", "2025-12-03T15:29", "2025-12-03T13:15"),
        ("1day", "2025-12-03T15:29", "2025-12-03T00:00"),
        ("1week", "2025-12-03T09:15", "2025-12-01T00:00"),
        ("1month", "2025-12-03T09:15", "2025-12-01T00:00"),
    ],
)
def test_bars_begin_at_the_session_open_or_at_exchange_midnight(name, at, start):
    assert Timeframe.parse(name).bucket_start(ns(at), OPEN) == ns(start)


def test_a_special_session_has_its_own_origin():
    muhurat = ns("2025-10-21T13:45")

    assert Timeframe.parse("1hour").bucket_start(ns("2025-10-21T14:44"), muhurat) == muhurat


@given(st.sampled_from([timeframe for timeframe in TIMEFRAMES if timeframe.intraday]), st.integers(0, 374))
def test_a_bar_holds_its_instants(timeframe, minute):
    at = OPEN + minute * MINUTE_NS

    start = timeframe.bucket_start(at, OPEN)

    assert start <= at < start + timeframe.length_ns
    assert (start - OPEN) % timeframe.length_ns == 0


def test_calendar_periods_have_no_fixed_length():
    month = Timeframe.parse("1month")

    assert (month.length, month.length_ns, month.intraday) == (None, None, False)
    assert Timeframe.parse("45min").length == timedelta(minutes=45)
    assert datetime.fromtimestamp(OPEN / 1e9, UTC).hour == 3

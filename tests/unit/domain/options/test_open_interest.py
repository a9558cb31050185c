"""Max pain, put-call ratios and changes of open interest."""

import math
from datetime import date, time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from server.domain.calendar import MarketCalendar, WeekdayHours
from server.domain.options.max_pain import max_pain
from server.domain.options.open_interest import open_interest_change, previous_close, window_baseline
from server.domain.options.put_call_ratio import put_call_ratio, put_call_ratios

NAN = math.nan
SECOND = 1_000_000_000
amounts = st.integers(0, 10**9)


def test_max_pain_of_the_check_vector() -> None:
    assert max_pain([100.0, 110.0, 120.0], [10, 50, 200], [100, 50, 10]) == 110.0


def test_the_lowest_of_several_minima_is_max_pain() -> None:
    assert max_pain([100.0, 110.0, 120.0], [10, 0, 0], [0, 0, 10]) == 100.0


def test_absent_open_interest_counts_as_none() -> None:
    assert max_pain([100.0, 110.0, 120.0], [10, 50, NAN], [NAN, 50, 10]) == 110.0


@pytest.mark.parametrize("amount", [0.0, NAN])
def test_there_is_no_max_pain_without_open_interest(amount: float) -> None:
    assert max_pain([100.0, 110.0], [amount, amount], [amount, amount]) is None
    assert max_pain([], [], []) is None


@pytest.mark.parametrize(("calls", "puts", "strike"), [([1, 1], [0, 0], 100.0), ([0, 0], [4.333, 1.1], 110.0)])
def test_one_side_alone_draws_to_its_end(calls: list[float], puts: list[float], strike: float) -> None:
    assert max_pain([100.0, 110.0], calls, puts) == strike


@given(st.integers(1, 12).flatmap(lambda n: st.tuples(*(arrays(np.int64, n, elements=amounts) for _ in range(2)))))
def test_max_pain_is_the_brute_forces(sides: tuple[np.ndarray, np.ndarray]) -> None:
    calls, puts = (side.tolist() for side in sides)
    strikes = [24_000 + 50 * number for number in range(len(calls))]

    found = max_pain(strikes, *sides)

    costs = {
        price: sum(
            max(0, price - strike) * c + max(0, strike - price) * p
            for strike, c, p in zip(strikes, calls, puts, strict=True)
        )
        for price in strikes
    }
    expected = min(strikes, key=lambda price: (costs[price], price)) if any(calls) or any(puts) else None
    assert found == expected


def test_ratio_is_put_side_over_call_side_of_what_is_known() -> None:
    assert put_call_ratio([30.0, NAN, 20.0], [10.0, 30.0, NAN]) == 1.25
    assert put_call_ratio([0.0], [10.0]) == 0.0


@pytest.mark.parametrize(("puts", "calls"), [([10.0], [0.0]), ([10.0], [NAN]), ([NAN], [10.0]), ([], [])])
def test_ratio_is_absent_without_a_call_side_or_any_put(puts: list[float], calls: list[float]) -> None:
    assert put_call_ratio(puts, calls) is None


def test_ratios_by_strike_are_absent_where_a_side_is() -> None:
    assert put_call_ratios([5.0, 5.0, NAN], [10.0, 0.0, 10.0]) == pytest.approx([0.5, NAN, NAN], nan_ok=True)


def test_change_is_absent_without_a_baseline_and_its_percentage_without_a_positive_one() -> None:
    change = open_interest_change([150.0, 150.0, 150.0, NAN], [100.0, NAN, 0.0, 100.0])

    assert change.absolute == pytest.approx([50.0, NAN, 150.0, NAN], nan_ok=True)
    assert change.percent == pytest.approx([50.0, NAN, NAN, NAN], nan_ok=True)


def test_the_previous_close_is_that_of_the_trading_day_before_and_of_no_other() -> None:
    weekdays = [WeekdayHours(weekday, time(9, 15), time(15, 30), date(2020, 1, 1)) for weekday in range(5)]
    calendar = MarketCalendar("NSE", weekdays, [])
    closes = {date(2021, 3, 5): 500.0, date(2021, 3, 9): 700.0}

    assert previous_close(closes, calendar, date(2021, 3, 8)) == 500.0
    assert math.isnan(previous_close(closes, calendar, date(2021, 3, 9)))


@pytest.mark.parametrize(
    ("now", "expected"), [(29, NAN), (30, 10.0), (59, 10.0), (60, 20.0), (149, 20.0), (150, 40.0), (300, 40.0)]
)
def test_the_baseline_of_a_window_is_the_last_known_bucket_at_or_before_it(now: int, expected: float) -> None:
    times = np.array([0, 30, 60, 120]) * SECOND
    values = np.array([10.0, 20.0, NAN, 40.0])

    found = window_baseline(times, values, now * SECOND, 30 * SECOND)

    assert found == pytest.approx(expected, nan_ok=True)

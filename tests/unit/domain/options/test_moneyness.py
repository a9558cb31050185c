"""The ladder of strikes."""

import math

import numpy as np
import pytest

from server.domain.options.moneyness import (
    atm_strike,
    ladder_levels,
    moneyness_label,
    strike_step,
    window,
)

LADDER = np.array([23_800.0, 23_900.0, 24_000.0, 24_050.0, 24_100.0, 24_500.0])


@pytest.mark.parametrize(
    ("reference", "strike"),
    [(24_010.0, 24_000.0), (24_025.0, 24_000.0), (24_026.0, 24_050.0), (24_300.0, 24_100.0), (1.0, 23_800.0)],
)
def test_the_strike_at_the_money_is_the_nearest_and_the_lower_of_two(reference: float, strike: float) -> None:
    assert atm_strike(LADDER, reference) == strike


def test_beyond_the_ladder_its_last_strike_is_at_the_money() -> None:
    assert atm_strike(LADDER, 99_999.0) == 24_500.0


@pytest.mark.parametrize(("strikes", "reference"), [([], 24_000.0), ([24_000.0], math.nan)])
def test_nothing_is_at_the_money_without_strikes_or_reference(strikes: list[float], reference: float) -> None:
    assert atm_strike(strikes, reference) is None


def test_levels_count_listed_strikes_whatever_their_distance() -> None:
    assert ladder_levels(LADDER, 24_010.0).tolist() == [-2, -1, 0, 1, 2, 3]


def test_labels_are_capped_on_demand() -> None:
    assert [moneyness_label(level, cap=10) for level in (-12, -10, 0, 11)] == ["ITM10", "ITM10", "ATM", "OTM10"]


def test_a_window_has_so_many_strikes_on_both_sides() -> None:
    assert LADDER[window(LADDER, 24_010.0, 1)].tolist() == [23_900.0, 24_000.0, 24_050.0]
    assert LADDER[window(LADDER, 23_700.0, 2)].tolist() == [23_800.0, 23_900.0, 24_000.0]


def test_the_strike_step_is_the_most_frequent_distance() -> None:
    assert strike_step([100.0, 105.0, 110.0, 120.0, 130.0]) == 5.0
    assert strike_step([2.5, 5.0, 7.5]) == 2.5
    assert strike_step([100.0]) is None

import numpy as np
import pytest

from server.domain.options.black76 import Contracts, price
from server.domain.options.moneyness_series import (
    Combination,
    by_level,
    carried,
    combined,
    model_prices,
    money_places,
)

NAN = np.nan
STRIKES = np.array([100.0, 110.0, 120.0, 130.0])


def test_the_money_is_the_nearest_strike_the_lower_of_two():
    assert money_places(STRIKES, np.array([114.0, 115.0, 115.1, 90.0, 500.0, NAN])).tolist() == [1, 1, 2, 0, 3, -1]


def test_a_call_above_the_money_is_out_of_it():
    """At the money 110: the call of 120 is OTM1, that of 100 ITM1; there is no ITM2."""
    calls = np.array([[1.0, 2.0, 3.0, 4.0]])
    assert by_level(calls, np.array([1]), 2, call=True).tolist() == [[pytest.approx(NAN, nan_ok=True), 1, 2, 3, 4]]


def test_a_put_above_the_money_is_in_it():
    puts = np.array([[1.0, 2.0, 3.0, 4.0]])
    assert by_level(puts, np.array([1]), 1, call=False).tolist() == [[3, 2, 1]]


def test_the_ladder_moves_with_the_money():
    """The same strike is OTM1 at one time and at the money at the next."""
    calls = np.array([[0.0, 0.0, 7.0, 0.0], [0.0, 0.0, 7.0, 0.0]])
    assert by_level(calls, np.array([1, 2]), 1, call=True).tolist() == [[0, 0, 7], [0, 7, 0]]


def test_without_a_reference_there_is_no_money():
    assert np.isnan(by_level(np.ones((1, 4)), np.array([-1]), 3, call=True)).all()


@pytest.mark.parametrize(
    ("how", "both", "call_alone"),
    [
        (Combination.MEAN, 0.05, 0.5),
        (Combination.SUM, 0.1, NAN),
        (Combination.SUM_OF_SIZES, 0.9, NAN),
        (Combination.PUT_BY_CALL, -0.8, NAN),
    ],
)
def test_two_sides_make_one_figure(how: Combination, both: float, call_alone: float):
    found = combined(np.array([0.5, 0.5, NAN]), np.array([-0.4, NAN, NAN]), how)
    assert found.tolist() == pytest.approx([both, call_alone, NAN], nan_ok=True)


def test_a_level_stays_until_it_changes_and_falls_overnight():
    values = np.array([[NAN, NAN], [5.0, NAN], [NAN, NAN], [NAN, 8.0]])
    found = carried(values, np.array([NAN, 3.0]), np.array([1, 1, 1, 2]))
    assert found.tolist() == pytest.approx(np.array([[NAN, 3], [5, 3], [5, 3], [NAN, 8]]), nan_ok=True)


def test_a_flat_smile_prices_at_its_volatility():
    flat = np.full(4, 0.2)
    calls, puts = model_prices(STRIKES, flat, flat, 115.0, 0.06, 0.1)
    expected = Contracts.of(call=True, strike=STRIKES, forward=115.0, rate=0.06, years=0.1)
    assert calls == pytest.approx(price(expected, 0.2), rel=1e-6)
    assert calls - puts == pytest.approx(np.exp(-0.006) * (115.0 - STRIKES), rel=1e-6)


@pytest.mark.parametrize(("forward", "years"), [(115.0, 0.0), (NAN, 0.1)])
def test_without_time_or_forward_there_is_no_model_price(forward: float, years: float):
    flat = np.full(4, 0.2)
    calls, puts = model_prices(STRIKES, flat, flat, forward, 0.06, years)
    assert np.isnan(calls).all()
    assert np.isnan(puts).all()


def test_a_strike_beyond_the_known_ones_has_no_model_price():
    known = np.array([NAN, 0.2, 0.2, 0.2])
    calls, _ = model_prices(STRIKES, known, known, 115.0, 0.06, 0.1)
    assert np.isnan(calls).tolist() == [True, False, False, False]

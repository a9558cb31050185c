"""What is withheld, and counted, before anything is published."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.options.black76 import Contracts, price
from server.domain.options.greeks import NAMES, Greeks, greeks
from server.domain.options.implied_volatility import implied_volatility
from server.domain.options.invariants import Rule, checked, parity_gap, parity_holds, price_within_bounds
from tests.support.option_contracts import contracts_of

SPOT = 24_000.0


def pair(strike: float = SPOT, *, years: float = 0.1, forward: float = 24_100.0) -> Contracts:
    return contracts_of(call=[True, False], strike=strike, spot=SPOT, forward=forward, rate=0.065, years=years)


@given(
    st.floats(0.5, 2.0),
    st.floats(0.01, 4.9),
    st.floats(1e-4, 5.0),
    st.floats(-0.1, 0.2),
    st.floats(-0.1, 0.1),
    st.booleans(),
)
def test_a_models_own_figures_violate_nothing(
    share: float, volatility: float, years: float, rate: float, dividend: float, by_forward: bool
) -> None:
    contracts = contracts_of(
        by_forward=by_forward,
        call=[True, False],
        strike=SPOT * share,
        spot=SPOT,
        rate=rate,
        dividend_yield=dividend,
        years=years,
    )

    found = checked(contracts, price(contracts, volatility), np.full(2, volatility), greeks(contracts, volatility))

    assert dict(found.violations) == {}


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("delta", -0.1, Rule.DELTA_BOUNDS),
        ("delta", 1.2, Rule.DELTA_BOUNDS),
        ("gamma", -1e-6, Rule.GAMMA_SIGN),
        ("vega", -1e-6, Rule.VEGA_SIGN),
        ("theta", 30.0, Rule.THETA_BOUND),
        ("rho", -0.1, Rule.RHO_SIGN),
    ],
)
def test_a_greek_out_of_bounds_is_withheld_alone(name: str, value: float, rule: Rule) -> None:
    contracts = pair()
    values = greeks(contracts, 0.2).values.copy()
    values[NAMES.index(name), 0] = value

    found = checked(contracts, math.nan, np.full(2, 0.2), Greeks(values))

    assert dict(found.violations) == {rule: 1}
    assert np.isnan(found.greeks.values).sum() == 1
    assert math.isnan(getattr(found.greeks, name)[0])


def test_an_infinite_greek_withholds_all_of_its_contract() -> None:
    contracts = pair()
    values = greeks(contracts, 0.2).values.copy()
    values[NAMES.index("speed"), 1] = math.inf

    found = checked(contracts, math.nan, np.full(2, 0.2), Greeks(values))

    assert dict(found.violations) == {Rule.NOT_FINITE: 1}
    assert np.isnan(found.greeks.values).all(axis=0).tolist() == [False, True]


@pytest.mark.parametrize("volatility", [0.0, -0.1, 5.1])
def test_a_volatility_out_of_bounds_withholds_everything_of_its_contract(volatility: float) -> None:
    contracts = pair()

    found = checked(contracts, math.nan, np.array([volatility, 0.2]), greeks(contracts, 0.2))

    assert dict(found.violations) == {Rule.VOLATILITY_BOUNDS: 1}
    assert np.isnan(found.volatility).tolist() == [True, False]
    assert np.isnan(found.greeks.values).all(axis=0).tolist() == [True, False]


@pytest.mark.parametrize(("quoted", "holds"), [(50.0, False), (100.0, True), (24_200.0, False), (math.nan, False)])
def test_a_price_lies_between_intrinsic_value_and_forward(quoted: float, holds: bool) -> None:
    call = pair(strike=24_000.0).part(slice(0, 1))

    assert price_within_bounds(call, quoted).tolist() == [holds]


def test_a_price_below_intrinsic_value_is_counted() -> None:
    contracts = pair(strike=23_000.0)

    found = checked(contracts, np.array([900.0, 50.0]), np.full(2, 0.2), greeks(contracts, 0.2))

    assert dict(found.violations) == {Rule.PRICE_BOUNDS: 1}
    assert np.isnan(found.volatility).tolist() == [True, False]


def test_an_absent_figure_violates_nothing() -> None:
    contracts = pair()
    nothing = np.full(2, math.nan)

    found = checked(contracts, nothing, nothing, greeks(contracts, nothing))

    assert dict(found.violations) == {}


def test_a_carry_that_is_noise_withholds_nothing() -> None:
    contracts = pair(years=10 / (365 * 24 * 60), forward=24_012.0)

    found = checked(contracts, math.nan, np.full(2, 0.2), greeks(contracts, 0.2))

    assert dict(found.violations) == {}
    assert np.isfinite(found.greeks.values).all()
    assert found.withheld.tolist() == [False, False]


def test_parity_compares_call_and_put_of_a_strike() -> None:
    contracts = pair(strike=23_500.0)
    call, put = price(contracts, 0.2)
    one = contracts.part(slice(0, 1))

    gap = parity_gap(call + 7.0, put, one)

    assert gap == pytest.approx([7.0])
    assert parity_holds(gap, one).tolist() == [True]
    assert parity_holds(gap, one, spreads=5.0).tolist() == [False]
    assert parity_holds(gap * 100.0, one).tolist() == [False]
    assert parity_holds(np.array([math.nan]), one).tolist() == [True]


def test_missed_parity_withholds_both_and_is_counted() -> None:
    contracts = pair()

    found = checked(contracts, math.nan, np.full(2, 0.2), greeks(contracts, 0.2), np.array([False, True]))

    assert dict(found.violations) == {Rule.PUT_CALL_PARITY: 1}
    assert np.isnan(found.volatility).tolist() == [True, False]


def test_the_last_minutes_of_expiry_day_stay_within_bounds() -> None:
    strikes = np.arange(22_000.0, 26_001.0, 50.0)
    quoted = np.maximum(SPOT - strikes, 0.0) + 0.05
    contracts = contracts_of(call=True, strike=strikes, spot=SPOT, rate=0.065, years=1 / (365 * 24 * 60))

    volatility = implied_volatility(contracts, quoted)
    found = checked(contracts, quoted, volatility, greeks(contracts, volatility))

    assert np.nanmax(found.volatility) <= 5.0
    assert np.nanmax(np.abs(found.greeks.delta)) <= 1.0
    assert found.violations[Rule.VOLATILITY_BOUNDS] > 0

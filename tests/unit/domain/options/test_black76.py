"""Prices against QuantLib and Let's Be Rational, and the identities that hold for all of them."""

import math

import numpy as np
import pytest
import QuantLib
from hypothesis import given
from hypothesis import strategies as st
from lets_be_rational import black

from server.domain.options.black76 import Contracts, price

strikes = st.floats(0.5, 2.0)
deviations = st.floats(0.001, 2.0)


def contracts(
    call: object, strike: object, *, forward: float = 24_000.0, rate: float = 0.065, years: float = 0.1
) -> Contracts:
    return Contracts.of(call=call, strike=strike, forward=forward, rate=rate, years=years)


@pytest.mark.parametrize("call", [True, False])
@pytest.mark.parametrize("strike", [18_000.0, 23_000.0, 24_000.0, 25_000.0, 31_000.0])
@pytest.mark.parametrize(("years", "volatility"), [(1 / 365, 0.12), (0.1, 0.2), (3.0, 0.5)])
def test_price_agrees_with_quantlib(call: bool, strike: float, years: float, volatility: float) -> None:
    side = QuantLib.Option.Call if call else QuantLib.Option.Put
    discount = math.exp(-0.065 * years)

    ours = price(contracts(call, strike, years=years), volatility)[0]

    theirs = QuantLib.blackFormula(side, strike, 24_000.0, volatility * math.sqrt(years), discount)
    assert ours == pytest.approx(theirs, rel=1e-11, abs=1e-9)


@pytest.mark.parametrize("distance", [2.0, 6.0, 12.0, 24.0, 36.0])
def test_price_keeps_relative_precision_in_the_far_wing(distance: float) -> None:
    volatility, years = 0.15, 0.02
    strike = 24_000.0 * math.exp(distance * volatility * math.sqrt(years))

    ours = price(contracts(True, strike, rate=0.0, years=years), volatility)[0]

    assert ours == pytest.approx(black(24_000.0, strike, volatility, years, 1), rel=1e-11, abs=0.0)


@given(strikes, deviations)
def test_call_less_put_is_the_discounted_distance_of_the_strike(share: float, volatility: float) -> None:
    pair = contracts([True, False], 24_000.0 * share, years=0.5)

    call, put = price(pair, volatility)

    assert call - put == pytest.approx(math.exp(-0.065 * 0.5) * 24_000.0 * (1.0 - share), abs=1e-9)


@given(strikes, deviations, st.booleans())
def test_price_lies_between_intrinsic_value_and_its_limit(share: float, volatility: float, call: bool) -> None:
    option = contracts(call, 24_000.0 * share)

    worth = price(option, volatility)

    limit = (24_000.0 if call else 24_000.0 * share) * math.exp(-0.0065)
    assert option.intrinsic()[0] <= worth[0] <= limit


def test_price_without_volatility_is_the_intrinsic_value() -> None:
    assert price(contracts([True, False], [23_000.0, 23_000.0], rate=0.0), 0.0).tolist() == [1_000.0, 0.0]


@pytest.mark.parametrize(
    "change",
    [{"years": 0.0}, {"years": -0.1}, {"years": math.nan}, {"forward": math.nan}, {"forward": 0.0}, {"rate": math.nan}],
)
def test_price_is_absent_where_an_input_is(change: dict[str, float]) -> None:
    assert np.isnan(price(contracts(True, 24_000.0, **change), 0.2)).all()


@pytest.mark.parametrize("volatility", [math.nan, -0.1])
def test_price_is_absent_without_a_volatility(volatility: float) -> None:
    assert np.isnan(price(contracts(True, 24_000.0), volatility)).all()

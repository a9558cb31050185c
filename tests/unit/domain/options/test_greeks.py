"""Greeks against QuantLib, vollib, fast-vollib, and finite differences of QuantLib's first-order figures."""

import math
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pytest
import QuantLib
from fast_vollib import get_all_greeks
from hypothesis import given
from hypothesis import strategies as st
from vollib.black.greeks import analytical as vollib_black
from vollib.black_scholes_merton.greeks import analytical as vollib

from server.domain.options.black76 import Contracts, price
from server.domain.options.greeks import NAMES, Greeks, greeks
from tests.support.option_contracts import contracts_of

SPOT = 24_000.0
RATE = 0.065
YIELD = 0.012


@dataclass(frozen=True)
class Case:
    call: bool
    strike: float
    years: float
    volatility: float
    spot: float = SPOT

    def ours(self, name: str) -> float:
        contracts = contracts_of(
            call=self.call,
            strike=self.strike,
            spot=self.spot,
            rate=RATE,
            dividend_yield=YIELD,
            years=self.years,
        )
        return float(getattr(greeks(contracts, self.volatility), name)[0])

    def quantlib(self) -> QuantLib.BlackCalculator:
        side = QuantLib.Option.Call if self.call else QuantLib.Option.Put
        forward = self.spot * math.exp((RATE - YIELD) * self.years)
        deviation = self.volatility * math.sqrt(self.years)
        payoff = QuantLib.PlainVanillaPayoff(side, self.strike)
        return QuantLib.BlackCalculator(payoff, forward, deviation, math.exp(-RATE * self.years))


def at_distance(call: bool, distance: float, years: float, volatility: float) -> Case:
    strike = round(SPOT * math.exp(distance * volatility * math.sqrt(years)), 2)
    return Case(call, strike, years, volatility)


CASES = [
    at_distance(call, distance, years, volatility)
    for call, distance, (years, volatility) in product(
        (True, False),
        (-5.0, -2.0, -0.5, 0.0, 0.5, 2.0, 5.0),
        ((1 / (365 * 24), 0.25), (7 / 365, 0.12), (1.0, 0.4)),
    )
]
"""In, at and out of the money, deep wings; an hour, a week and a year before expiry."""

FIRST_ORDER = {
    "delta": lambda case: case.quantlib().delta(case.spot),
    "gamma": lambda case: case.quantlib().gamma(case.spot),
    "theta": lambda case: case.quantlib().theta(case.spot, case.years) / 365.0,
    "vega": lambda case: case.quantlib().vega(case.years) * 0.01,
    "rho": lambda case: case.quantlib().rho(case.years) * 0.01,
}


def delta(case: Case) -> float:
    return float(case.quantlib().delta(case.spot))


def gamma(case: Case) -> float:
    return float(case.quantlib().gamma(case.spot))


def vega(case: Case) -> float:
    return float(case.quantlib().vega(case.years)) * 0.01


def by_spot(figure, case: Case) -> float:
    step = 2e-4 * case.spot * case.volatility * math.sqrt(case.years)
    return derivative(lambda shift: figure(replace(case, spot=case.spot + shift)), step)


def by_volatility(figure, case: Case) -> float:
    """For one point."""
    step = 2e-4 * case.volatility
    return 0.01 * derivative(lambda shift: figure(replace(case, volatility=case.volatility + shift)), step)


def by_passing_day(figure, case: Case) -> float:
    step = 2e-4 * case.years
    return -derivative(lambda shift: figure(replace(case, years=case.years + shift)), step) / 365.0


def derivative(function, step: float) -> float:
    near, far = function(step) - function(-step), function(2 * step) - function(-2 * step)
    return (8.0 * near - far) / (12.0 * step)


DIFFERENCES = {
    "vanna": lambda case: by_volatility(delta, case),
    "vomma": lambda case: by_volatility(vega, case),
    "charm": lambda case: by_passing_day(delta, case),
    "speed": lambda case: by_spot(gamma, case),
    "zomma": lambda case: by_volatility(gamma, case),
    "colour": lambda case: by_passing_day(gamma, case),
}


def magnitude(name: str, case: Case) -> float:
    """How large the Greek is at the money: what an absolute error is measured by."""
    others = [abs(at_distance(case.call, shift, case.years, case.volatility).ours(name)) for shift in (-1.0, 0.0, 1.0)]
    return max(others)


@pytest.mark.parametrize("name", FIRST_ORDER)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_greek_agrees_with_quantlib(name: str, case: Case) -> None:
    expected = FIRST_ORDER[name](case)

    assert case.ours(name) == pytest.approx(expected, rel=1e-8, abs=1e-10 * magnitude(name, case))


@pytest.mark.parametrize("name", DIFFERENCES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_second_order_greek_is_the_finite_difference_of_quantlibs_first_order(name: str, case: Case) -> None:
    expected = DIFFERENCES[name](case)

    assert case.ours(name) == pytest.approx(expected, rel=1e-6, abs=1e-7 * magnitude(name, case))


@pytest.mark.parametrize("name", ["delta", "gamma", "theta", "vega", "rho"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_greek_agrees_with_vollib(name: str, case: Case) -> None:
    flag = "c" if case.call else "p"

    theirs = getattr(vollib, name)(flag, SPOT, case.strike, case.years, RATE, case.volatility, YIELD)

    assert case.ours(name) == pytest.approx(theirs, rel=1e-8, abs=1e-10 * magnitude(name, case))


@pytest.mark.parametrize("name", ["delta", "gamma", "theta", "vega", "rho"])
def test_greeks_of_all_cases_agree_with_fast_vollib(name: str) -> None:
    columns = [np.array([getattr(case, field) for case in CASES]) for field in ("strike", "years", "volatility")]
    flags = np.array(["c" if case.call else "p" for case in CASES])

    theirs = get_all_greeks(
        flags, SPOT, columns[0], columns[1], RATE, columns[2], YIELD, model="black_scholes_merton", return_as="dict"
    )[name]

    assert [case.ours(name) for case in CASES] == pytest.approx(theirs, rel=1e-8, abs=1e-10 * np.abs(theirs).max())


@pytest.mark.parametrize("name", ["delta", "gamma", "theta", "vega", "rho"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_greek_with_respect_to_the_forward_agrees_with_vollib(name: str, case: Case) -> None:
    contracts = contracts_of(
        by_forward=True, call=case.call, strike=case.strike, forward=SPOT, rate=RATE, years=case.years
    )

    ours = float(getattr(greeks(contracts, case.volatility), name)[0])

    flag = "c" if case.call else "p"
    theirs = getattr(vollib_black, name)(flag, SPOT, case.strike, case.years, RATE, case.volatility)
    assert ours == pytest.approx(theirs, rel=1e-8, abs=1e-10 * magnitude(name, case))


VECTOR = contracts_of(
    call=[True, False],
    strike=24_200.0,
    spot=SPOT,
    rate=RATE,
    dividend_yield=YIELD,
    years=9 / 365,
)


@pytest.mark.parametrize(
    ("name", "a_year", "expected"),
    [
        ("vanna", 100.0, (1.02398, 1.02398)),
        ("vomma", 10_000.0, (1282.39, 1282.39)),
        ("charm", 365.0, (-3.6747, -3.6867)),
        ("speed", 1.0, (4.904e-7, 4.904e-7)),
        ("zomma", 100.0, (-0.0052310, -0.0052310)),
        ("colour", 365.0, (0.0131341, 0.0131341)),
        ("theta", 365.0, (-4211.58, -2929.02)),
        ("rho", 100.0, (215.752, -380.004)),
    ],
)
def test_greeks_of_the_verified_test_point(name: str, a_year: float, expected: tuple[float, float]) -> None:
    assert getattr(greeks(VECTOR, 0.13), name) * a_year == pytest.approx(expected, rel=2e-4)


def test_theta_and_vega_have_the_units_of_traders() -> None:
    contracts = contracts_of(call=True, strike=SPOT, spot=SPOT, rate=0.10, years=7 / 365)

    found = greeks(contracts, 0.12)

    assert found.theta[0] == pytest.approx(-14.84, abs=0.005)
    assert found.vega[0] == pytest.approx(13.15, abs=0.01)


@given(st.floats(0.7, 1.4), st.floats(0.05, 1.0), st.floats(0.001, 2.0))
def test_call_and_put_differ_by_the_underlying_and_the_strike(share: float, volatility: float, years: float) -> None:
    pair = contracts_of(
        call=[True, False],
        strike=SPOT * share,
        spot=SPOT,
        rate=RATE,
        dividend_yield=YIELD,
        years=years,
    )

    found = greeks(pair, volatility).values

    difference = dict(zip(NAMES, found[:, 0] - found[:, 1], strict=True))
    growth, discount = math.exp(-YIELD * years), math.exp(-RATE * years)
    assert difference.pop("delta") == pytest.approx(growth, rel=1e-12)
    assert difference.pop("charm") == pytest.approx(YIELD * growth / 365.0, rel=1e-6, abs=1e-12)
    assert difference.pop("rho") == pytest.approx(0.01 * SPOT * share * years * discount, rel=1e-12)
    passing = (YIELD * SPOT * growth - RATE * SPOT * share * discount) / 365.0
    assert difference.pop("theta") == pytest.approx(passing, rel=1e-9, abs=1e-9)
    assert set(difference.values()) == {0.0}


@pytest.mark.parametrize("call", [True, False])
@pytest.mark.parametrize("strike", [23_900.0, SPOT, 24_050.0])
@pytest.mark.parametrize(("basis", "limited"), [(12.0, 1.0), (-12.0, -1.0), (1.0, math.log1p(1 / SPOT) * 365 * 24)])
def test_a_carry_beyond_the_bound_counts_as_the_bound_while_a_day_passes(
    call: bool, strike: float, basis: float, limited: float
) -> None:
    years, volatility = 1 / (365 * 24), 0.2

    def later(hours: float) -> Contracts:
        """So much later: the forward has come nearer to the spot by the limited carry."""
        forward = (SPOT + basis) * math.exp(-limited * hours / (365 * 24))
        left = years - hours / (365 * 24)
        return contracts_of(call=call, strike=strike, spot=SPOT, forward=forward, rate=RATE, years=left)

    def a_day(figure) -> float:
        return 24.0 * derivative(lambda hours: float(figure(later(hours))), 1e-3)

    found = greeks(later(0.0), volatility)

    worth = {
        "theta": lambda contracts: price(contracts, volatility)[0],
        "charm": lambda contracts: greeks(contracts, volatility).delta[0],
        "colour": lambda contracts: greeks(contracts, volatility).gamma[0],
    }
    for name, figure in worth.items():
        assert getattr(found, name)[0] == pytest.approx(a_day(figure), rel=1e-6), name


@pytest.mark.parametrize(
    ("years", "volatility"), [(0.0, 0.2), (-0.1, 0.2), (math.nan, 0.2), (0.1, math.nan), (0.1, 0.0)]
)
def test_greeks_are_absent_when_time_is_over_or_volatility_is(years: float, volatility: float) -> None:
    contracts = Contracts.of(call=[True, False], strike=SPOT, forward=SPOT, rate=RATE, years=years)

    assert np.isnan(greeks(contracts, volatility).values).all()


def test_greeks_at_nothing_but_a_forward_are_absent_with_respect_to_the_spot() -> None:
    contracts = contracts_of(call=True, strike=SPOT, forward=SPOT, rate=RATE, years=0.1)

    assert np.isfinite(price(contracts, 0.2)).all()
    assert np.isnan(greeks(contracts, 0.2).values).sum() >= 9


def test_rows_are_named() -> None:
    values = np.arange(11.0).reshape(11, 1)

    found = Greeks(values)

    assert [getattr(found, name)[0] for name in NAMES] == list(range(11))


def test_a_spot_that_equals_the_forward_is_still_a_spot():
    market = {"call": [True, False], "strike": SPOT, "forward": SPOT, "rate": RATE, "years": 1.0}

    of_spot = greeks(Contracts.of(underlying=SPOT, **market), 0.2)
    nearly = greeks(Contracts.of(underlying=SPOT * (1.0 + 1e-12), **market), 0.2)

    assert of_spot.rho == pytest.approx(nearly.rho, rel=1e-9)
    assert of_spot.rho[0] > 0.0 > of_spot.rho[1]


def test_by_forward_rho_moves_the_discount_alone():
    contracts = Contracts.of(
        call=True, strike=SPOT, underlying=np.nan, by_forward=True, forward=SPOT, rate=RATE, years=1.0
    )

    assert greeks(contracts, 0.2).rho == pytest.approx(-0.01 * price(contracts, 0.2))

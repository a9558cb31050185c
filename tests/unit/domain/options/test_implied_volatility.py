"""Implied volatility: exact where it can be known, absent where it cannot."""

import math

import numpy as np
import pytest
from fast_vollib import fast_implied_volatility_black
from hypothesis import given, settings
from hypothesis import strategies as st
from vollib.black.implied_volatility import implied_volatility as vollib_implied_volatility

from server.domain.options.black76 import Contracts, price
from server.domain.options.implied_volatility import PRECISION, implied_volatility

FORWARD = 24_000.0


def contracts(call: object, strike: object, years: object, *, rate: float = 0.065) -> Contracts:
    return Contracts.of(call=call, strike=strike, forward=FORWARD, rate=rate, years=years)


def random_market(count: int, reach: float, *, seed: int) -> tuple[Contracts, np.ndarray]:
    """Options out of the money up to so many standard deviations, minutes to years before expiry."""
    rng = np.random.default_rng(seed)
    years = np.exp(rng.uniform(math.log(1 / (365 * 24 * 60)), math.log(5.0), count))
    volatility = rng.uniform(0.05, 1.5, count)
    strikes = FORWARD * np.exp(rng.uniform(-reach, reach, count) * volatility * np.sqrt(years))
    return contracts(strikes >= FORWARD, strikes, years), volatility


@pytest.mark.parametrize("reach", [0.0, 1.0, 3.0, 8.0, 20.0])
def test_volatility_of_ten_thousand_prices_is_exact_up_to_the_far_wings(reach: float) -> None:
    market, volatility = random_market(10_000, reach, seed=1)

    found = implied_volatility(market, price(market, volatility))

    assert np.abs(found - volatility).max() <= 1e-11


@pytest.mark.parametrize("call", [True, False])
def test_volatility_in_the_money_is_given_to_the_precision_or_not_at_all(call: bool) -> None:
    volatility = np.linspace(0.05, 1.0, 400)
    market = contracts(call, np.where(call, 16_000.0, 33_000.0), np.full(400, 30 / 365))

    found = implied_volatility(market, price(market, volatility))

    known = np.isfinite(found)
    assert np.abs(found - volatility)[known].max() <= PRECISION
    assert known[volatility > 0.35].all()
    assert not known[volatility < 0.15].any()


@settings(max_examples=500)
@given(st.booleans(), st.floats(-6.0, 6.0), st.floats(0.01, 4.0), st.floats(1e-5, 5.0))
def test_price_of_the_implied_volatility_is_the_price(
    call: bool, distance: float, volatility: float, years: float
) -> None:
    strike = FORWARD * math.exp(distance * volatility * math.sqrt(years))
    market = contracts(call, strike, years)
    quoted = price(market, volatility)

    found = implied_volatility(market, quoted)

    if np.isfinite(found[0]):
        assert price(market, found)[0] == pytest.approx(quoted[0], rel=1e-9, abs=1e-300)
    else:
        slope = (price(market, volatility + 1e-6)[0] - quoted[0]) / 1e-6
        assert slope * PRECISION < 1e-14 * (quoted[0] + market.intrinsic()[0]) or quoted[0] == 0.0


@pytest.mark.parametrize("distance", [-4.0, -2.0, -0.5, 0.0, 0.5, 2.0, 4.0, 7.0])
@pytest.mark.parametrize("years", [1 / 365, 7 / 365, 0.5])
def test_volatility_agrees_with_vollib(distance: float, years: float) -> None:
    strike = FORWARD * math.exp(distance * 0.18 * math.sqrt(years))
    call = strike > FORWARD
    market = contracts(call, strike, years)
    quoted = price(market, 0.18)

    ours = implied_volatility(market, quoted)[0]

    theirs = vollib_implied_volatility(quoted[0], FORWARD, strike, 0.065, years, "c" if call else "p")
    assert ours == pytest.approx(theirs, abs=1e-10)


def test_volatility_agrees_with_fast_vollib() -> None:
    market, volatility = random_market(2_000, 3.0, seed=2)
    quoted = price(market, volatility)
    flags = np.where(market.call, "c", "p")

    ours = implied_volatility(market, quoted)

    theirs = fast_implied_volatility_black(
        quoted, market.forward, market.strike, market.rate, market.years, flags, return_as="numpy"
    )
    assert ours == pytest.approx(theirs, abs=1e-7)


def test_very_high_volatility_is_found_inside_the_bracket() -> None:
    volatility = np.array([3.0, 5.0, 8.0, 10.0])
    market = contracts([True, False, True, False], [24_000.0, 24_000.0, 60_000.0, 9_000.0], 1.0)

    assert implied_volatility(market, price(market, volatility)) == pytest.approx(volatility, abs=1e-10)


@pytest.mark.parametrize(
    ("call", "quoted"),
    [
        (True, 0.0),
        (True, -1.0),
        (True, math.nan),
        (True, math.inf),
        (True, 1_999.0),
        (True, 2_000.0),
        (True, 24_000.0),
        (True, 30_000.0),
        (False, 0.0),
        (False, 22_000.0),
    ],
)
def test_volatility_is_absent_where_no_volatility_gives_the_price(call: bool, quoted: float) -> None:
    market = contracts(call, 22_000.0, 0.1, rate=0.0)

    assert np.isnan(implied_volatility(market, quoted)).all()


@pytest.mark.parametrize("years", [0.0, -1.0, math.nan])
def test_volatility_is_absent_when_time_is_over(years: float) -> None:
    assert np.isnan(implied_volatility(contracts(True, 24_000.0, years), 100.0)).all()


def test_an_absent_price_does_not_touch_its_neighbours() -> None:
    market = contracts(True, [24_000.0, 24_100.0, 24_200.0], 0.1)
    quoted = price(market, 0.2)
    quoted[1] = math.nan

    found = implied_volatility(market, quoted)

    assert found[[0, 2]] == pytest.approx(0.2, abs=1e-12)
    assert math.isnan(found[1])


def test_no_contracts_have_no_volatilities() -> None:
    none = np.empty(0)

    assert len(implied_volatility(contracts(none, none, none), none)) == 0

"""Smiles, the surface made of them, and what arbitrage would say about it."""

import math
from datetime import date

import numpy as np
import pytest

from server.domain.options.black76 import Contracts
from server.domain.options.chain import Chain, ChainSide
from server.domain.options.greeks import greeks
from server.domain.options.smile import Smile
from server.domain.options.volatility_surface import SmileArbitrage, VolatilitySurface, smile_arbitrage

FORWARD = 24_000.0
STRIKES = np.arange(21_000.0, 27_001.0, 100.0)
NAN = math.nan


def skewed(years: float = 0.1, level: float = 0.14, strikes: np.ndarray = STRIKES) -> Smile:
    distance = np.log(strikes / FORWARD)
    return Smile(FORWARD, years, strikes, level - 0.2 * distance + 0.8 * distance**2)


def side(volatility: list[float]) -> ChainSide:
    unknown = np.full(len(volatility), NAN)
    return ChainSide(
        price=unknown, open_interest=unknown, volume=unknown, volatility=np.array(volatility), delta=unknown
    )


def test_a_smile_is_of_puts_below_the_forward_and_calls_above_it() -> None:
    chain = Chain(
        strikes=np.array([100.0, 110.0, 120.0, 130.0]),
        calls=side([0.11, NAN, 0.21, 0.31]),
        puts=side([0.10, 0.15, 0.20, NAN]),
    )

    smile = Smile.of(chain, 115.0, 0.5)

    assert smile.strikes.tolist() == [100.0, 110.0, 120.0, 130.0]
    assert smile.volatility.tolist() == [0.10, 0.15, 0.21, 0.31]


def test_the_other_side_stands_in_and_unknown_strikes_are_left_out() -> None:
    chain = Chain(strikes=np.array([100.0, 110.0, 120.0]), calls=side([0.11, NAN, NAN]), puts=side([NAN, NAN, 0.2]))

    smile = Smile.of(chain, 115.0, 0.5)

    assert (smile.strikes.tolist(), smile.volatility.tolist()) == ([100.0, 120.0], [0.11, 0.2])


def test_volatility_by_strike_is_the_listed_one_and_variance_is_linear_between() -> None:
    smile = Smile(100.0, 1.0, np.array([100.0, 100.0 * math.e]), np.array([0.3, 0.5]))

    found = smile.at_strike([100.0, 100.0 * math.sqrt(math.e), 100.0 * math.e, 99.0, 300.0])

    assert found == pytest.approx([0.3, math.sqrt((0.09 + 0.25) / 2), 0.5, NAN, NAN], nan_ok=True)


def test_volatility_by_delta_of_a_flat_smile_is_flat_and_ends_with_the_strikes() -> None:
    flat = Smile(FORWARD, 0.1, STRIKES, np.full(len(STRIKES), 0.2))

    assert flat.at_delta([0.25, 0.5, -0.25, -0.5]) == pytest.approx(0.2, rel=1e-12)
    assert np.isnan(flat.at_delta([0.001, -0.001])).all()


def test_the_strike_of_a_delta_has_that_delta_and_the_volatility_of_the_smile() -> None:
    smile = skewed()
    deltas = np.array([-0.10, -0.25, 0.5, 0.25, 0.10, 0.0, -0.001])

    strikes = smile.strikes_at_delta(deltas)

    inside = Contracts.of(call=deltas[:5] > 0.0, strike=strikes[:5], forward=FORWARD, rate=0.0, years=smile.years)
    assert greeks(inside, smile.at_delta(deltas[:5])).delta == pytest.approx(deltas[:5], rel=1e-12)
    assert smile.at_strike(strikes[:5]) == pytest.approx(smile.at_delta(deltas[:5]), abs=2e-5)
    assert np.isnan(strikes[5:]).all()


def test_the_put_of_a_delta_is_dearer_where_the_smile_falls() -> None:
    put, call = skewed().at_delta([-0.25, 0.25])

    assert put > 0.14 > call


def test_smoothing_keeps_a_parabola_and_mends_a_single_price() -> None:
    smile = skewed()
    bent = Smile(smile.forward, smile.years, smile.strikes, smile.volatility.copy())
    bent.volatility[30] += 0.02

    assert smile.smoothed() == pytest.approx(smile.volatility, abs=2e-5)
    assert abs(bent.smoothed()[30] - smile.volatility[30]) < 0.004


def test_few_strikes_are_not_smoothed() -> None:
    smile = Smile(100.0, 0.1, np.array([90.0, 100.0, 110.0]), np.array([0.3, 0.2, 0.25]))

    assert smile.smoothed().tolist() == [0.3, 0.2, 0.25]


def test_an_empty_smile_knows_nothing() -> None:
    empty = Smile(100.0, 0.1, np.empty(0), np.empty(0))

    assert np.isnan(empty.at_strike([100.0])).all()
    assert np.isnan(empty.at_delta([0.5])).all()
    assert smile_arbitrage(empty) == SmileArbitrage((), ())


def test_a_moderate_smile_has_no_arbitrage() -> None:
    assert smile_arbitrage(skewed()) == SmileArbitrage((), ())


def test_a_price_above_the_line_of_its_neighbours_is_a_butterfly() -> None:
    smile = skewed()
    smile.volatility[30] += 0.02

    assert 24_000.0 in smile_arbitrage(smile).butterfly


def test_a_call_dearer_than_that_of_a_lower_strike_is_a_vertical() -> None:
    smile = skewed()
    smile.volatility[35] += 0.10

    assert 24_400.0 in smile_arbitrage(smile).vertical


def test_total_variance_that_falls_with_time_is_a_calendar_arbitrage() -> None:
    near, far = skewed(years=0.1, level=0.30), skewed(years=0.2, level=0.12)
    surface = VolatilitySurface.of([(date(2026, 5, 26), far), (date(2026, 4, 28), near)])

    (calendar,) = surface.calendar_arbitrage()

    assert surface.expiries == (date(2026, 4, 28), date(2026, 5, 26))
    assert 24_000.0 in calendar
    assert VolatilitySurface.of(
        [(date(2026, 4, 28), skewed(0.1)), (date(2026, 5, 26), skewed(0.2))]
    ).calendar_arbitrage() == ((),)


def test_expiries_without_a_strike_are_left_out() -> None:
    empty = Smile(FORWARD, 0.3, np.empty(0), np.empty(0))

    surface = VolatilitySurface.of([(date(2026, 6, 30), empty), (date(2026, 4, 28), skewed(0.1))])

    assert surface.expiries == (date(2026, 4, 28),)
    assert VolatilitySurface.of([]).smiles == ()

"""Single questions: explicit ones, and what-if questions about an option in its market of now."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.options.black76 import Contracts, price
from server.domain.options.calculation import Answers, Market, Refusal, answer
from server.domain.options.conventions import NSE_RATE, Convention
from server.domain.options.greeks import NAMES, greeks

SPOT, RATE, YIELD, YEARS, STRIKE, VOLATILITY = 24_000.0, 0.065, 0.012, 9 / 365, 24_200.0, 0.13
FORWARD = SPOT * math.exp((RATE - YIELD) * YEARS)


def market(**known: float) -> Market:
    columns = {name: np.array([value]) for name, value in known.items()}
    return replace(Market.unknown(1), **columns)


DEFAULTS = market(rate=RATE, dividend_yield=0.0)
"""What is assumed about an option that nobody lists."""


def ask(
    asked: Market, now: Market = DEFAULTS, convention: Convention = Convention.SPOT, *, call: bool = True
) -> Answers:
    return answer(convention, np.array([call]), np.array([STRIKE]), now, asked)


def quoted_price(forward: float = FORWARD, volatility: float = VOLATILITY, years: float = YEARS) -> float:
    contracts = Contracts.of(call=True, strike=STRIKE, forward=forward, rate=RATE, years=years)
    return float(price(contracts, volatility)[0])


LISTED = market(spot=SPOT, forward=FORWARD, years=YEARS, rate=RATE, dividend_yield=0.0, price=quoted_price())
"""An option in its market of now."""


def test_a_volatility_gives_the_price_and_the_greeks() -> None:
    found = ask(market(spot=SPOT, years=YEARS, volatility=VOLATILITY, dividend_yield=YIELD))

    contracts = Contracts.of(call=True, strike=STRIKE, underlying=SPOT, forward=FORWARD, rate=RATE, years=YEARS)
    assert found.refusal.tolist() == [Refusal.NONE]
    assert found.price[0] == pytest.approx(quoted_price(), rel=1e-14)
    assert found.greeks.values == pytest.approx(greeks(contracts, VOLATILITY).values, rel=1e-12)


def test_a_price_gives_the_volatility_back() -> None:
    found = ask(market(spot=SPOT, years=YEARS, price=quoted_price(), dividend_yield=YIELD))

    assert found.volatility[0] == pytest.approx(VOLATILITY, abs=1e-12)
    assert found.price[0] == quoted_price()


def test_greeks_are_with_respect_to_the_forward_when_asked_so() -> None:
    asked = market(forward=FORWARD, years=YEARS, volatility=VOLATILITY)

    found = ask(asked, convention=Convention.FORWARD)

    contracts = Contracts.of(call=True, strike=STRIKE, forward=FORWARD, rate=RATE, years=YEARS)
    assert found.greeks.delta[0] == greeks(contracts, VOLATILITY).delta[0]


def test_spot_and_forward_follow_from_each_other_by_carry() -> None:
    by_spot = ask(market(spot=SPOT, years=YEARS, volatility=VOLATILITY, dividend_yield=YIELD))
    by_forward = ask(market(forward=FORWARD, years=YEARS, volatility=VOLATILITY, dividend_yield=YIELD))

    assert by_forward.market.spot[0] == pytest.approx(SPOT, rel=1e-15)
    assert by_spot.market.forward[0] == pytest.approx(FORWARD, rel=1e-15)
    assert by_forward.greeks.values == pytest.approx(by_spot.greeks.values, rel=1e-9)


def test_a_forward_beside_the_spot_is_taken_as_it_is() -> None:
    found = ask(market(spot=SPOT, forward=24_100.0, years=YEARS, volatility=VOLATILITY))

    assert (found.market.spot[0], found.market.forward[0]) == (SPOT, 24_100.0)
    assert found.price[0] == pytest.approx(quoted_price(24_100.0), rel=1e-14)


def test_the_exchanges_convention_has_its_own_rate_and_no_yield() -> None:
    asked = market(spot=SPOT, years=YEARS, volatility=VOLATILITY, rate=0.05, dividend_yield=YIELD)

    found = ask(asked, convention=Convention.NSE)

    assert (found.market.rate[0], found.market.dividend_yield[0]) == (NSE_RATE, 0.0)
    assert found.market.forward[0] == pytest.approx(SPOT * math.exp(NSE_RATE * YEARS), rel=1e-15)


def test_an_option_in_its_market_of_now_needs_no_question() -> None:
    found = ask(Market.unknown(1), LISTED)

    assert found.volatility[0] == pytest.approx(VOLATILITY, abs=1e-12)
    assert found.price[0] == quoted_price()
    assert found.market.forward[0] == FORWARD


@pytest.mark.parametrize(
    ("asked", "forward", "years"),
    [
        ({"spot": 24_240.0}, FORWARD * 1.01, YEARS),
        ({"forward": FORWARD * 0.99}, FORWARD * 0.99, YEARS),
        ({"years": 1 / 365}, SPOT * math.exp((RATE - YIELD) / 365), 1 / 365),
    ],
)
def test_a_moved_market_keeps_the_volatility_and_the_carry(
    asked: dict[str, float], forward: float, years: float
) -> None:
    found = ask(market(**asked), LISTED)

    assert found.volatility[0] == pytest.approx(VOLATILITY, abs=1e-12)
    assert found.market.forward[0] == pytest.approx(forward, rel=1e-14)
    assert found.price[0] == pytest.approx(quoted_price(forward, years=years), rel=1e-10)


def test_the_spot_moves_with_a_forward_that_is_asked() -> None:
    assert ask(market(forward=FORWARD * 0.99), LISTED).market.spot[0] == pytest.approx(SPOT * 0.99, rel=1e-14)


def test_another_rate_moves_the_forward_and_keeps_the_yield_that_it_implied() -> None:
    found = ask(market(rate=0.08), LISTED)

    assert found.market.dividend_yield[0] == pytest.approx(YIELD, rel=1e-9)
    assert found.market.forward[0] == pytest.approx(SPOT * math.exp((0.08 - YIELD) * YEARS), rel=1e-13)


def test_another_volatility_or_price_needs_no_price_of_now() -> None:
    unpriced = replace(LISTED, price=np.array([math.nan]))

    by_volatility = ask(market(volatility=0.2, spot=24_500.0), unpriced)
    by_price = ask(market(price=250.0), unpriced)

    assert by_volatility.volatility.tolist() == [0.2]
    assert by_price.price.tolist() == [250.0]
    assert math.isfinite(by_price.volatility[0])


def test_a_change_of_the_market_is_the_greek_times_the_change() -> None:
    here, up = ask(Market.unknown(1), LISTED), ask(market(spot=SPOT + 0.01), LISTED)

    assert up.price[0] - here.price[0] == pytest.approx(here.greeks.delta[0] * 0.01, rel=1e-4)


def test_a_day_later_the_price_is_less_by_theta() -> None:
    here = ask(Market.unknown(1), LISTED)
    moment = ask(market(years=YEARS - 1 / (365 * 1440)), LISTED)

    assert (moment.price[0] - here.price[0]) * 1440 == pytest.approx(here.greeks.theta[0], rel=1e-3)


@given(
    st.sampled_from(Convention),
    st.booleans(),
    st.floats(-3.0, 3.0),
    st.floats(0.05, 1.5),
    st.floats(1 / 365, 2.0),
    st.floats(-0.05, 0.15),
)
def test_the_price_of_a_volatility_has_that_volatility(
    convention: Convention, call: bool, distance: float, volatility: float, years: float, rate: float
) -> None:
    spot = STRIKE * math.exp(-distance * volatility * math.sqrt(years))
    asked = {"spot": spot, "years": years, "rate": rate}
    priced = ask(market(**asked, volatility=volatility), convention=convention, call=call)

    found = ask(market(**asked, price=float(priced.price[0])), convention=convention, call=call)

    if found.refusal[0] == Refusal.NONE:
        assert found.volatility[0] == pytest.approx(volatility, abs=1e-9)
        assert found.greeks.values == pytest.approx(priced.greeks.values, rel=1e-5, abs=1e-9)
    else:
        assert found.refusal[0] in {Refusal.VOLATILITY_UNDETERMINED, Refusal.PRICE_NOT_ABOVE_INTRINSIC}


INTRINSIC = math.exp(-RATE * YEARS)


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"years": 0.0}, Refusal.TIME_OVER),
        ({"years": math.nan}, Refusal.TIME_UNKNOWN),
        ({"spot": math.nan}, Refusal.UNDERLYING_PRICE_UNKNOWN),
        ({"price": math.nan}, Refusal.PRICE_UNKNOWN),
        ({"price": 0.0}, Refusal.PRICE_NOT_ABOVE_INTRINSIC),
        ({"spot": 26_000.0, "price": 1_500.0}, Refusal.PRICE_NOT_ABOVE_INTRINSIC),
        ({"price": 24_500.0}, Refusal.PRICE_NOT_BELOW_LIMIT),
        ({"spot": 60_000.0, "price": 60_000.0 - STRIKE * INTRINSIC + 1e-9}, Refusal.VOLATILITY_UNDETERMINED),
    ],
)
def test_a_question_without_an_answer_has_a_reason_and_no_values(asked: dict[str, float], reason: Refusal) -> None:
    found = ask(market(**{"spot": SPOT, "years": YEARS, "price": 100.0} | asked))

    assert found.refusal.tolist() == [reason]
    assert np.isnan([found.volatility[0], found.price[0], *found.greeks.values[:, 0]]).all()


@pytest.mark.parametrize(
    ("now", "asked", "reason"),
    [
        ({"price": math.nan}, {"spot": 24_100.0}, Refusal.PRICE_UNKNOWN),
        ({"price": 0.0}, {"spot": 24_100.0}, Refusal.PRICE_NOT_ABOVE_INTRINSIC),
        ({"price": math.nan}, {"years": 0.0}, Refusal.TIME_OVER),
        ({"spot": math.nan, "forward": math.nan}, {"rate": 0.07}, Refusal.UNDERLYING_PRICE_UNKNOWN),
        ({}, {"volatility": 1e9}, Refusal.NONE),
        ({}, {"volatility": 1e-9}, Refusal.NONE),
    ],
)
def test_what_if_without_an_answer(now: dict[str, float], asked: dict[str, float], reason: Refusal) -> None:
    changed = replace(LISTED, **{name: np.array([value]) for name, value in now.items()})

    assert ask(market(**asked), changed).refusal.tolist() == [reason]


def test_questions_do_not_touch_each_other() -> None:
    asked = Market.unknown(3)
    asked.spot[:], asked.years[:] = SPOT, YEARS
    asked.price[:] = [100.0, -1.0, math.nan]
    asked.volatility[2] = 0.2
    now = Market.unknown(3)
    now.rate[:], now.dividend_yield[:] = RATE, 0.0

    found = answer(Convention.SPOT, np.array([True, False, True]), np.full(3, STRIKE), now, asked)

    assert found.refusal.tolist() == [Refusal.NONE, Refusal.PRICE_NOT_ABOVE_INTRINSIC, Refusal.NONE]
    assert found.greeks.values.shape == (len(NAMES), 3)


def test_no_questions_have_no_answers() -> None:
    none = np.empty(0)

    assert len(answer(Convention.SPOT, none.astype(bool), none, Market.unknown(0), Market.unknown(0)).price) == 0

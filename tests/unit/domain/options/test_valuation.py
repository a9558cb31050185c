"""From quotes to figures: expiries valued together, and the strikes that someone watches."""

import math

import numpy as np
import pytest

from server.domain.options.arrays import FloatArray
from server.domain.options.black76 import Contracts, price
from server.domain.options.expiry_metrics import expiry_metrics
from server.domain.options.forward import ForwardSource
from server.domain.options.greeks import NAMES, Greeks, net_greeks
from server.domain.options.invariants import Rule
from server.domain.options.strike_range import (
    AllStrikes,
    AroundMoney,
    DeltaRange,
    ExplicitStrikes,
    StrikeRange,
    WithinPercent,
    select_strikes,
)
from server.domain.options.valuation import ExpiryQuotes, SideQuotes
from tests.support.valued_expiries import value_expiries

SPOT = 24_000.0
RATE = 0.065
STRIKES = np.arange(23_000.0, 25_001.0, 250.0)
NAN = math.nan


def side(prices: FloatArray) -> SideQuotes:
    return SideQuotes(price=prices, open_interest=np.full(len(prices), 75.0), volume=np.full(len(prices), 10.0))


def quotes(volatility: float = 0.15, *, years: float = 0.05, future: float | None = 24_060.0, **change) -> ExpiryQuotes:
    forward = future or SPOT * math.exp(RATE * years)
    prices = [
        price(Contracts.of(call=call, strike=STRIKES, forward=forward, rate=RATE, years=years), volatility)
        for call in (True, False)
    ]
    known = {
        "strikes": STRIKES,
        "calls": side(prices[0]),
        "puts": side(prices[1]),
        "spot": SPOT,
        "future": future,
        "rate": RATE,
        "dividend_yield": 0.0,
        "years": years,
    }
    return ExpiryQuotes(**{**known, **change})


def test_expiries_are_valued_together_as_alone() -> None:
    expiries = [quotes(0.15), quotes(0.25, years=0.3, future=None), quotes(0.4, years=1.0)]

    together, _ = value_expiries(expiries)

    for valued, level in zip(together, (0.15, 0.25, 0.4), strict=True):
        assert valued.chain.calls.volatility == pytest.approx(level, abs=1e-9)
    for valued, single in zip(together, expiries, strict=True):
        (alone,), _ = value_expiries([single])
        assert np.array_equal(alone.put_greeks.values, valued.put_greeks.values)
    assert [valued.forward.source for valued in together if valued.forward] == [
        ForwardSource.LISTED_FUTURE,
        ForwardSource.PARITY_SYNTHETIC,
        ForwardSource.LISTED_FUTURE,
    ]


def test_a_valued_chain_gives_the_metrics() -> None:
    (valued,), violations = value_expiries([quotes(0.15)])

    assert valued.forward is not None
    metrics = expiry_metrics(valued.chain, valued.forward.price, valued.quotes.years)

    assert metrics.atm_volatility == pytest.approx(0.15, abs=1e-10)
    assert metrics.call_open_interest == 75.0 * len(STRIKES)
    assert dict(violations) == {}


def test_without_a_spot_greeks_are_with_respect_to_the_forward() -> None:
    (valued,), _ = value_expiries([quotes(spot=None)])

    assert (valued.call_greeks.rho < 0.0).all()


def test_a_call_far_off_parity_is_withheld_where_it_is_in_the_money() -> None:
    stale = quotes()
    stale.calls.price[0] += 300.0

    (valued, _), violations = value_expiries([stale, quotes()])

    assert np.isnan(valued.chain.calls.volatility).tolist() == [True] + [False] * (len(STRIKES) - 1)
    assert np.isfinite(valued.chain.puts.volatility).all()
    assert dict(violations) == {Rule.PUT_CALL_PARITY: 1}


def test_at_expiry_and_without_any_price_there_are_no_figures_and_no_violations() -> None:
    unknown = side(np.full(len(STRIKES), NAN))
    over = quotes(years=0.05)
    over = ExpiryQuotes(**{**over.__dict__, "years": 0.0})
    blind = quotes(spot=None, future=None, calls=unknown, puts=unknown)

    found, violations = value_expiries([over, blind])

    for valued in found:
        assert np.isnan(valued.chain.calls.volatility).all()
        assert np.isnan(valued.call_greeks.values).all()
    assert dict(violations) == {}


@pytest.mark.parametrize(
    ("wanted", "strikes"),
    [
        (AllStrikes(), STRIKES.tolist()),
        (ExplicitStrikes((24_250.0, 23_000.0, 1.0)), [23_000.0, 24_250.0]),
        (AroundMoney(1), [23_750.0, 24_000.0, 24_250.0]),
        (AroundMoney(0), [24_000.0]),
        (WithinPercent(2.0), [23_750.0, 24_000.0, 24_250.0, 24_500.0]),
        (DeltaRange(0.45, 0.55), [24_000.0]),
    ],
)
def test_strikes_are_selected(wanted: StrikeRange, strikes: list[float]) -> None:
    (valued,), _ = value_expiries([quotes()])

    assert STRIKES[select_strikes(valued.chain, wanted, 24_060.0)].tolist() == strikes


def test_a_selection_follows_the_reference_price() -> None:
    (valued,), _ = value_expiries([quotes()])

    found = [
        STRIKES[select_strikes(valued.chain, AroundMoney(0), reference)].tolist() for reference in (23_900.0, 24_126.0)
    ]

    assert found == [[24_000.0], [24_250.0]]


@pytest.mark.parametrize("wanted", [AroundMoney(3), WithinPercent(50.0)])
def test_nothing_is_selected_around_an_unknown_price(wanted: StrikeRange) -> None:
    (valued,), _ = value_expiries([quotes()])

    assert not select_strikes(valued.chain, wanted, None).any()


def single(**values: float) -> Greeks:
    return Greeks(np.array([[values.get(name, 0.0)] for name in NAMES]))


@pytest.mark.parametrize(("units", "expected"), [(75.0, 37.5), (-75.0, -37.5)])
def test_net_delta_of_a_call(units: float, expected: float) -> None:
    assert net_greeks(single(delta=0.5), [units])["delta"] == expected


def test_net_greeks_of_a_leg() -> None:
    found = net_greeks(single(delta=0.65, gamma=0.005, theta=-50.0, vega=20.0), [75.0])

    assert [found[name] for name in ("delta", "gamma", "theta", "vega")] == [48.75, 0.375, -3_750.0, 1_500.0]


def test_a_straddle_of_equal_deltas_is_neutral_and_an_unknown_leg_makes_the_sum_unknown() -> None:
    pair = Greeks(np.hstack([single(delta=0.5, vega=12.0).values, single(delta=-0.5, vega=NAN).values]))

    found = net_greeks(pair, [75.0, 75.0])

    assert (found["delta"], found["vega"]) == (0.0, None)


def test_no_legs_net_to_nothing() -> None:
    assert set(net_greeks(Greeks(np.empty((11, 0))), []).values()) == {0.0}

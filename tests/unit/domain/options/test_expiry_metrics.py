"""The figures of one expiry."""

import math

import numpy as np
import pytest

from server.domain.options.black76 import Contracts, price
from server.domain.options.chain import Chain, ChainSide
from server.domain.options.expiry_metrics import ExpiryMetrics, expected_move, expiry_metrics

STRIKES = np.arange(20_000.0, 28_001.0, 100.0)
FORWARD = 24_030.0
YEARS = 30 / 365
NAN = math.nan


def side(call: bool, interest: float, volume: float) -> ChainSide:
    volatility = 0.15 - 0.3 * np.log(STRIKES / FORWARD)
    contracts = Contracts.of(call=call, strike=STRIKES, forward=FORWARD, rate=0.0, years=YEARS)
    return ChainSide(
        price=price(contracts, volatility),
        open_interest=np.full(len(STRIKES), interest),
        volume=np.full(len(STRIKES), volume),
        volatility=volatility,
        delta=np.full(len(STRIKES), NAN),
    )


def chain() -> Chain:
    return Chain(strikes=STRIKES, calls=side(True, 100.0, 10.0), puts=side(False, 150.0, 8.0))


def test_totals_and_ratios_are_over_all_strikes() -> None:
    found = expiry_metrics(chain(), FORWARD, YEARS)

    assert (found.call_open_interest, found.put_open_interest) == (8_100.0, 12_150.0)
    assert (found.call_volume, found.put_volume) == (810.0, 648.0)
    assert (found.pcr_oi, found.pcr_volume) == (1.5, 0.8)
    assert found.max_pain == 24_800.0


def test_the_money_is_where_the_forward_is() -> None:
    found = expiry_metrics(chain(), FORWARD, YEARS)

    volatility = 0.15 - 0.3 * math.log(24_000.0 / FORWARD)
    assert found.atm_strike == 24_000.0
    assert found.atm_volatility == pytest.approx(volatility, rel=1e-12)
    assert found.expected_move == pytest.approx(FORWARD * volatility * math.sqrt(YEARS), rel=1e-12)
    assert found.straddle == pytest.approx(0.7979 * found.expected_move, rel=0.01)


def test_skew_is_positive_when_puts_are_dear() -> None:
    assert expiry_metrics(chain(), FORWARD, YEARS).skew == pytest.approx(0.0175, abs=0.002)


def test_at_expiry_volatilities_are_absent_and_open_interest_stays() -> None:
    found = expiry_metrics(chain(), FORWARD, 0.0)

    assert (found.atm_volatility, found.skew, found.expected_move) == (None, None, None)
    assert (found.pcr_oi, found.max_pain) == (1.5, 24_800.0)


def test_without_a_forward_nothing_is_at_the_money() -> None:
    found = expiry_metrics(chain(), None, YEARS)

    assert (found.atm_strike, found.atm_volatility, found.skew, found.straddle) == (None, None, None, None)
    assert found.pcr_oi == 1.5


def test_an_empty_chain_has_no_figures() -> None:
    none = np.empty(0)
    nothing = ChainSide(price=none, open_interest=none, volume=none, volatility=none, delta=none)

    found = expiry_metrics(Chain(strikes=none, calls=nothing, puts=nothing), FORWARD, YEARS)

    assert found == ExpiryMetrics(**dict.fromkeys(ExpiryMetrics.__dataclass_fields__))


def test_an_expected_move_needs_forward_and_volatility() -> None:
    assert expected_move(24_000.0, 0.2, 0.25) == 2_400.0
    assert expected_move(None, 0.2, 0.25) is None
    assert expected_move(24_000.0, None, 0.25) is None

"""Where a forward is taken from."""

import math

import numpy as np
import pytest

from server.domain.options.forward import Forward, ForwardSource, forward_of, parity_forward

STRIKES = np.array([23_900.0, 24_000.0, 24_100.0])
CALLS = np.array([190.0, 130.0, 80.0])
PUTS = np.array([70.0, 100.0, 150.0])
NAN = math.nan


def chosen(**change: object) -> Forward | None:
    known = {
        "future": 24_050.0,
        "spot": 24_010.0,
        "strikes": STRIKES,
        "call_prices": CALLS,
        "put_prices": PUTS,
        "rate": 0.065,
        "dividend_yield": 0.012,
        "years": 0.1,
    }
    return forward_of(**{**known, **change})


def test_the_listed_future_comes_first() -> None:
    assert chosen() == Forward(24_050.0, ForwardSource.LISTED_FUTURE)


@pytest.mark.parametrize("future", [None, NAN, 0.0])
def test_without_a_future_parity_at_the_money_says_it(future: float | None) -> None:
    found = chosen(future=future)

    assert found == Forward(24_000.0 + 30.0 / math.exp(-0.0065), ForwardSource.PARITY_SYNTHETIC, 24_000.0)


def test_without_both_sides_anywhere_the_spot_carries() -> None:
    found = chosen(future=None, put_prices=np.full(3, NAN))

    assert found == Forward(24_010.0 * math.exp(0.0053), ForwardSource.CARRY)


def test_without_any_price_there_is_no_forward() -> None:
    assert chosen(future=None, spot=None, call_prices=np.full(3, NAN)) is None


def test_parity_is_read_at_the_nearest_strike_that_has_both_sides() -> None:
    found = parity_forward(STRIKES, np.array([190.0, NAN, 80.0]), PUTS, 24_010.0, 1.0)

    assert found == Forward(24_100.0 - 70.0, ForwardSource.PARITY_SYNTHETIC, 24_100.0)


def test_parity_is_not_read_far_from_the_spot() -> None:
    assert parity_forward(STRIKES, CALLS, PUTS, 30_000.0, 1.0) is None


def test_without_a_spot_parity_is_read_where_call_and_put_are_closest() -> None:
    found = parity_forward(STRIKES, CALLS, PUTS, None, 1.0)

    assert found == Forward(24_030.0, ForwardSource.PARITY_SYNTHETIC, 24_000.0)

"""Sums over the legs of strategies as the worker makes them. Cases named T-… are those of the requirements."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.m2m import BUY, SELL, Position
from server.domain.prices import ABSENT, format_money, scale_price, unscale
from server.market.m2m_kernel import LegColumns, StrategyLegs
from server.market.sampling import Before, Samples, sample_now
from tests.support.strategy_sums import premium_flow, strategy_m2m

NOW = 10**9

Leg = tuple[int, int, Decimal, Decimal | None]
"""Direction, units, entry and last price in rupees."""


def sampled(*strategies: list[Leg], exact: bool = False) -> Samples:
    """One sample of every strategy, all prices being those of now."""
    rows = [
        StrategyLegs(
            place=place,
            number=np.arange(len(legs)),
            instrument=np.arange(len(legs)),
            units=np.array([direction * units for direction, units, *_ in legs], np.int64),
            entry=np.array([scale_price(entry) for _, _, entry, _ in legs], np.int64),
        )
        for place, legs in enumerate(strategies)
    ]
    last = [last for legs in strategies for *_, last in legs]
    prices = np.array([ABSENT if price is None else scale_price(price) for price in last], np.int64)
    times = np.where(prices == ABSENT, ABSENT, NOW)
    return sample_now(LegColumns.of(rows, exact=exact), Before(prices, times, times), NOW)


def legs(*rows: tuple[int, int, str, str | None]) -> list[Leg]:
    return [(way, units, Decimal(entry), None if last is None else Decimal(last)) for way, units, entry, last in rows]


@pytest.mark.parametrize(
    ("case", "rows", "expected"),
    [
        ("T-10", [(BUY, 50, "100", "95"), (SELL, 50, "200", "180")], "750.00"),
        ("T-11", [(BUY, 75, "100", "105"), (SELL, 50, "100", "110")], "-125.00"),
        ("T-13", [(BUY, 50, "100", "120"), (SELL, 50, "150", "130"), (BUY, 50, "50", "40")], "1500.00"),
        ("zero quantity", [(BUY, 0, "100", "105"), (SELL, 1, "5", "4")], "1.00"),
    ],
)
def test_a_strategy_is_the_sum_of_its_legs(case, rows, expected):
    samples = sampled(legs(*rows))

    assert format_money(unscale(int(samples.m2m[0]))) == expected, case


def test_t_14_premium_flow_is_the_cash_of_opening_at_current_prices():
    samples = sampled(legs((BUY, 50, "100", "120"), (SELL, 50, "150", "130"), (BUY, 50, "50", "40")))

    assert unscale(int(samples.premium_flow[0])) == Decimal(-1500)


def test_a_strategy_with_a_missing_price_is_neither_priced_nor_complete():
    samples = sampled(legs((BUY, 50, "100", "120"), (SELL, 50, "150", None)), legs((BUY, 1, "1", "2")))

    assert (samples.priced.tolist(), samples.complete.tolist()) == ([False, True], [False, True])


def test_a_million_paise_are_ten_thousand_rupees():
    samples = sampled([(BUY, 1, Decimal(0), Decimal("0.01"))] * 1_000_000)

    assert unscale(int(samples.m2m[0])) == Decimal("10000.00")


PRICES = st.decimals(0, 999_999_999, places=4, allow_nan=False)
LEGS = st.lists(
    st.tuples(st.sampled_from([BUY, SELL]), st.integers(0, 90_000), PRICES, PRICES), min_size=1, max_size=10
)


@pytest.mark.parametrize("exact", [False, True])
@given(strategies=st.lists(LEGS, min_size=1, max_size=3))
def test_sums_over_columns_equal_the_decimal_ones(exact, strategies):
    samples = sampled(*strategies, exact=exact)

    priced = [[(Position(*leg), last) for *leg, last in rows] for rows in strategies]
    assert [unscale(int(value)) for value in samples.m2m] == [strategy_m2m(rows) for rows in priced]
    assert [unscale(int(value)) for value in samples.premium_flow] == [premium_flow(rows) for rows in priced]

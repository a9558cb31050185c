"""Mark-to-market in profit's sign, exact. The cases named T-… are those of the requirements, by decision 6."""

from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.m2m import BUY, SELL, Position, leg_m2m
from server.domain.prices import format_money


def worth(direction: int, units: int, entry: str, last: str) -> Decimal:
    return leg_m2m(Position(direction, units, Decimal(entry)), Decimal(last))


@pytest.mark.parametrize(
    ("case", "direction", "units", "entry", "last", "expected"),
    [
        ("T-01", BUY, 75, "100.00", "105.00", "375.00"),
        ("T-02", BUY, 50, "100.00", "95.00", "-250.00"),
        ("T-03", BUY, 100, "200.50", "200.50", "0.00"),
        ("T-04", BUY, 10_000, "50.25", "55.75", "55000.00"),
        ("T-05", BUY, 75, "123.4567", "128.9876", "414.8175"),
        ("T-07", SELL, 50, "200.00", "180.00", "1000.00"),
        ("T-08", SELL, 75, "100.00", "120.00", "-1500.00"),
        ("T-09", SELL, 100, "300.25", "300.25", "0.00"),
        ("T-15", BUY, 50, "12345.67", "12450.89", "5261.00"),
        ("T-16", BUY, 75, "100.05", "105.10", "378.75"),
        ("T-25", BUY, 75, "24500.50", "24550.00", "3712.50"),
        ("T-26", BUY, 10, "3500.00", "3625.50", "1255.00"),
        ("T-27", BUY, 50, "100", "110", "500.00"),
    ],
)
def test_a_leg_is_worth_its_move(case, direction, units, entry, last, expected):
    assert format_money(worth(direction, units, entry, last)) == expected, case


def test_t_06_half_a_unit_is_refused():
    with pytest.raises(ValueError):
        Position(BUY, 0.5, Decimal(50_000))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("direction", "units", "entry", "last"),
    [(0, 1, "1", "1"), (2, 1, "1", "1"), (BUY, -1, "1", "1"), (BUY, 1, "-1", "1"), (BUY, 1, "1", "-1"),
     (BUY, 1, "nan", "1"), (BUY, 1, "1", "inf")],
)  # fmt: skip
def test_what_is_no_position_or_no_price_is_refused(direction, units, entry, last):
    with pytest.raises(ValueError):
        worth(direction, units, entry, last)


@pytest.mark.parametrize(("units", "entry"), [(None, Decimal(1)), (1, None), (1, 1.0)])
def test_what_is_absent_or_a_float_is_refused(units, entry):
    with pytest.raises(ValueError):
        Position(BUY, units, entry)


def test_no_price_is_refused():
    with pytest.raises(ValueError):
        leg_m2m(Position(BUY, 1, Decimal(1)), None)  # type: ignore[arg-type]


def test_t_17_floating_point_would_be_wrong():
    assert (105.10 - 100.05) * 75 != 378.75
    assert worth(BUY, 75, "100.05", "105.10") == Decimal("378.75")


def test_t_18_to_t_21_sums_and_rounding_are_exact():
    with localcontext() as context:
        context.prec = 28
        assert Decimal("123.45") + Decimal("67.89") + Decimal("0.01") == Decimal("191.35")
        assert Decimal("1000.00") / 3 == Decimal("333.3333333333333333333333333")
    assert Decimal("0.1") + Decimal("0.2") == Decimal("0.3")


def test_t_24_extremes_lose_no_digit():
    assert worth(BUY, 10_000_000, "0", "999999999.99") == Decimal("9999999999900000.00")
    assert worth(SELL, 10_000_000, "0.0001", "999999999.9999") == Decimal("-9999999999998000.0000")


PRICES = st.decimals(0, 999_999_999, places=4, allow_nan=False)
UNITS = st.integers(0, 90_000)


@given(UNITS, PRICES, PRICES)
def test_a_sold_leg_is_the_mirror_of_a_bought_one(units, entry, last):
    assert leg_m2m(Position(BUY, units, entry), last) == -leg_m2m(Position(SELL, units, entry), last)


@given(st.integers(0, 1000), st.integers(0, 1000), PRICES, PRICES)
def test_worth_is_linear_in_units(one, other, entry, last):
    parts = [leg_m2m(Position(BUY, units, entry), last) for units in (one, other)]

    assert sum(parts) == leg_m2m(Position(BUY, one + other, entry), last)


@given(UNITS, PRICES)
def test_a_leg_at_its_entry_is_worth_nothing(units, entry):
    assert leg_m2m(Position(SELL, units, entry), entry) == 0

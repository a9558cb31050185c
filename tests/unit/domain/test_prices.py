"""Exact prices and money."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.prices import (
    ABSENT,
    SCALE,
    format_money,
    parse_money,
    round_to_tick,
    scale_price,
    unscale,
)


@pytest.mark.parametrize(
    ("text", "scaled"),
    [
        ("0", 0),
        ("123.4567", 1_234_567),
        ("123.45675", 1_234_568),
        ("123.45674999", 1_234_567),
        ("2.5E1", 250_000),
        (" 19850.25 ", 198_502_500),
        ("999999999.9999", 9_999_999_999_999),
    ],
)
def test_a_price_is_scaled_half_up_to_four_decimals(text, scaled):
    assert scale_price(text) == scaled


@pytest.mark.parametrize(
    "text", ["", "-0.01", "nan", "inf", "1,000", "12e", "1_000", "１２", "1000000000", "999999999.99999", "abc"]
)
def test_what_is_no_price_is_refused(text):
    with pytest.raises(ValueError):
        scale_price(text)


@given(st.integers(0, 10**13 - 1))
def test_scaling_is_undone_exactly(value):
    assert scale_price(unscale(value)) == value
    assert scale_price(format_money(unscale(value))) == value


@given(st.decimals(0, 999_999_999, places=4, allow_nan=False))
def test_the_double_of_a_scaled_price_is_the_double_of_its_text(price):
    assert scale_price(price) / SCALE == float(str(price))


@given(st.integers(-(2**80), 2**80))
def test_any_amount_is_unscaled_exactly(value):
    assert unscale(value) * 10_000 == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("414.8175", "414.8175"), ("375", "375.00"), ("375.10", "375.10"), ("0.10", "0.10"), ("-0.00", "0.00"),
        ("-1500.0000", "-1500.00"), ("1E+3", "1000.00"), ("0.0001", "0.0001"), ("1.230", "1.23"),
    ],
)  # fmt: skip
def test_money_is_written_without_exponent_with_at_least_two_decimals(value, text):
    assert format_money(Decimal(value)) == text


def test_what_is_no_amount_is_not_written():
    with pytest.raises(ValueError):
        format_money(Decimal("NaN"))


@pytest.mark.parametrize("text", ["19850.2500", "19850.25", "-0.0001", "999999999.9999", "-999999999.9999", "1e3"])
def test_money_is_read_exactly(text):
    assert parse_money(text) == Decimal(text)


@pytest.mark.parametrize("text", ["1000000000", "-1000000000", "0.00001", "nan", "", "1e30", "ten"])
def test_money_out_of_range_is_refused(text):
    with pytest.raises(ValueError):
        parse_money(text)


@pytest.mark.parametrize(
    ("value", "tick", "rounded"),
    [
        ("123.456", "0.01", "123.46"), ("123.456", "0.05", "123.45"), ("123.475", "0.05", "123.50"),
        ("123.425", "0.05", "123.45"), ("-123.425", "0.05", "-123.45"), ("7", "0.25", "7.00"),
        ("0.005", "0.01", "0.01"), ("-0.005", "0.01", "-0.01"),
    ],
)  # fmt: skip
def test_rounding_to_a_tick_is_half_up(value, tick, rounded):
    assert round_to_tick(Decimal(value), Decimal(tick)) == Decimal(rounded)


def test_a_tick_is_positive():
    with pytest.raises(ValueError):
        round_to_tick(Decimal(1), Decimal(0))


@given(st.decimals(-(10**9), 10**9, places=6), st.sampled_from(["0.01", "0.05", "0.0025", "1"]))
def test_rounding_moves_by_half_a_tick_at_most(value, tick):
    rounded = round_to_tick(value, Decimal(tick))

    assert abs(rounded - value) * 2 <= Decimal(tick)
    assert rounded % Decimal(tick) == 0


def test_no_price_looks_absent():
    assert ABSENT < 0
    assert scale_price("0") != ABSENT

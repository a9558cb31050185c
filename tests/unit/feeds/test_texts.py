"""Texts of recordings as exact integers."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.calendar import to_nanoseconds
from server.market.feeds.replay.texts import (
    TimeColumn,
    optional_price_of,
    optional_quantity_of,
    price_of,
    quantity_of,
    time_of,
)
from server.market.records import ABSENT

QUARTER_PAST_NINE = to_nanoseconds(datetime(2024, 1, 1, 3, 45, tzinfo=UTC))


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-01 09:15:00",
        "2024-01-01T09:15",
        "2024-01-01 09:15:00+05:30",
        "2024-01-01T09:15:00+0530",
        "2024-01-01T03:45:00Z",
        "2024-01-01 09:15:00.000",
        "01-Jan-2024 09:15:00",
    ],
)
def test_times_without_an_offset_are_exchange_time(text: str) -> None:
    assert time_of(text) == QUARTER_PAST_NINE
    assert TimeColumn()([text.encode()]).tolist() == [QUARTER_PAST_NINE]


@pytest.mark.parametrize(
    "text",
    ["", "2024-01-01", "09:15:00", "2024-13-01 09:15:00", "2024-01-01 09:15:60", "2024-01-01 09:61:00", "nan",
     "1924-01-01 09:15:00", "2224-01-01 09:15:00", "2024-01-01 09:15:0x", "99-Abc-2024 09:15:00"],
)  # fmt: skip
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"time|month|minute|second|hour|isoformat"):
        time_of(text)
    with pytest.raises(ValueError, match=r"."):
        TimeColumn()([text.encode()])


@given(st.integers(946_684_800, 4_070_908_800))
def test_a_column_of_times_equals_one_by_one(seconds: int) -> None:
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")

    assert TimeColumn()([text.encode(), text.encode()]).tolist() == [time_of(text)] * 2


@pytest.mark.parametrize(("text", "price"), [("14698.95", 146_989_500), ("0.05", 500), ("1607", 16_070_000)])
def test_prices_are_exact(text: str, price: int) -> None:
    assert price_of(text) == price


@pytest.mark.parametrize("text", ["0", "-1", "", "nan", "inf", "1,200.5", "1e12"])
def test_a_price_is_a_number_above_zero(text: str) -> None:
    with pytest.raises(ValueError, match=r"price|number"):
        price_of(text)


@pytest.mark.parametrize("text", ["", "-", "0", "0.00", " "])
def test_no_price_is_absent(text: str) -> None:
    assert optional_price_of(text) == ABSENT


@pytest.mark.parametrize(("text", "quantity"), [("0", 0), ("123.0", 123), (" 7 ", 7), ("1e3", 1_000)])
def test_quantities_are_whole(text: str, quantity: int) -> None:
    assert quantity_of(text) == quantity


@pytest.mark.parametrize("text", ["-1", "1.5", "x", "1e30"])
def test_other_quantities_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"number"):
        quantity_of(text)


def test_an_empty_quantity_is_absent() -> None:
    assert optional_quantity_of("") == ABSENT


@given(st.decimals(Decimal("0.0001"), Decimal(99999999), places=4))
def test_scaled_prices_give_the_text_back(price: Decimal) -> None:
    assert Decimal(price_of(str(price))) / 10_000 == price

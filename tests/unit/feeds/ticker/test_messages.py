"""The ticker's messages: numbers as text, times of every kind, and no message that does more than a ValueError."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.market.feeds.ticker.messages import LARGEST_MESSAGE, event_time_of, is_mock, parse_object, text_of

OPEN = 1_764_560_700 * 10**9
"""2025-12-01 09:15 IST."""


def test_numbers_keep_their_text():
    assert parse_object(b'{"price": 24510.10, "volume": 1e3}') == {"price": "24510.10", "volume": "1e3"}


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"\xff", b"nope", b"[1]", b'"text"', b"null", b'{"a": NaN}', b'{"a": -Infinity}', b"[" * 60_000,
        b"{" + b" " * LARGEST_MESSAGE + b"}",
    ],
    ids=lambda payload: repr(payload[:12]),
)  # fmt: skip
def test_what_is_no_object_is_refused_with_a_reason(payload: bytes):
    with pytest.raises(ValueError, match=r".{10}"):
        parse_object(payload)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_do_more_than_a_value_error(payload: bytes):
    with suppress(ValueError):
        assert isinstance(parse_object(payload), dict)


@pytest.mark.parametrize(
    "said",
    [
        {"ts": 1_764_560_700}, {"ts": 1_764_560_700.0}, {"ts": "1764560700"}, {"ts": 1_764_560_700_000},
        {"ts": 1_764_560_700_000_000}, {"ts": OPEN}, {"timestamp": 1_764_560_700},
        {"timestamp": "2025-12-01T09:15:00+05:30"}, {"timestamp": "2025-12-01T03:45:00Z"},
        {"timestamp": "2025-12-01 09:15:00"}, {"ts": None, "timestamp": 1_764_560_700},
        {"ts": 1_764_560_700, "timestamp": "ignored"},
    ],
    ids=str,
)  # fmt: skip
def test_one_instant_in_all_its_spellings(said: dict[str, object]):
    assert event_time_of(parse_object(json.dumps(said).encode())) == OPEN


def test_a_fraction_of_a_second_is_kept():
    assert event_time_of({"ts": "1764560700.123456"}) == OPEN + 123_456_000


def test_a_message_without_time_has_none():
    assert event_time_of({"price": "1"}) is None


@pytest.mark.parametrize("text", ["0", "-1", "12", "1e400", "9" * 60, "yesterday", "2025-12-01", "25:00", "inf"])
def test_what_is_no_time_is_refused(text: str):
    with pytest.raises(ValueError, match=r"time|number|isoformat|hour"):
        event_time_of({"ts": text})


@pytest.mark.parametrize(
    ("flag", "mock"), [(True, True), ("true", True), ("1", True), (False, False), ("false", False), (None, False)]
)
def test_a_mock_says_so(flag: object, mock: bool):
    assert is_mock({"is_mock": flag}) is mock


def test_the_first_name_that_has_a_value_counts():
    assert text_of({"close": None, "price": " ", "last_price": "5"}, "close", "price", "last_price") == "5"


@pytest.mark.parametrize("value", [True, [1], {"a": 1}])
def test_a_value_of_another_kind_is_refused(value: object):
    with pytest.raises(ValueError, match="price is neither"):
        text_of({"price": value}, "price")

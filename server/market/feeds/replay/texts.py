"""Columns of text to columns of integers, exact and fast: each distinct text is converted once and remembered."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Final

import numpy as np
from numpy.typing import NDArray

from server.domain.calendar import EXCHANGE_ZONE, NANOSECONDS, to_nanoseconds
from server.domain.prices import scale_price
from server.market.records import ABSENT

_MOST_REMEMBERED: Final = 65_536
_LARGEST_QUANTITY: Final = 2**62
_EARLIEST: Final = datetime(1990, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(2100, 1, 1, tzinfo=UTC)
_SECOND_DIGITS: Final = 2
_NAMED_MONTH_FORMATS: Final = ("%d-%b-%Y %H:%M:%S", "%d-%b-%Y %H:%M")

Int64s = NDArray[np.int64]


class Column:
    """Converts a column of texts; remembers a bounded number of distinct ones.

    `convert` raises ValueError for a text that is none of its kind.
    """

    def __init__(self, convert: Callable[[str], int]) -> None:
        self._remembered = _Remembered(convert)

    def __call__(self, texts: Iterable[bytes]) -> Int64s:
        """The numbers of the texts. Raises ValueError when one of them cannot be converted."""
        return np.array(list(map(self._remembered.__getitem__, texts)), dtype=np.int64)


class _Remembered(dict[bytes, int]):
    def __init__(self, convert: Callable[[str], int]) -> None:
        super().__init__()
        self._convert = convert

    def __missing__(self, text: bytes) -> int:
        if len(self) >= _MOST_REMEMBERED:
            self.clear()
        value = self[text] = self._convert(text.decode("utf-8"))
        return value


def time_of(text: str) -> int:
    """Nanoseconds since 1970 UTC of a date and time; without an offset it is exchange time.

    Raises ValueError when the text is none, is a date alone, or lies outside 1990 to 2100.
    """
    text = text.strip()
    if len(text) < len("2024-01-01T09:15"):
        raise ValueError(f"not a time: {text!r}")
    instant = _named_month(text) if text[2:3] == "-" else datetime.fromisoformat(text)
    aware = instant if instant.tzinfo is not None else instant.replace(tzinfo=EXCHANGE_ZONE)
    if not _EARLIEST <= aware < _LATEST:
        raise ValueError(f"not a time within 1990 to 2100: {text!r}")
    return to_nanoseconds(aware)


class TimeColumn(Column):
    """Converts a column of times as `time_of` does; the minutes of a recording are worked out once each."""

    def __init__(self) -> None:
        super().__init__(self._time)
        self._minute = ""
        self._minute_ns = 0

    def _time(self, text: str) -> int:
        minute, second = text[:16], text[17:]
        if text[16:17] != ":" or len(second) != _SECOND_DIGITS or not (second.isascii() and second.isdigit()):
            return time_of(text)
        if minute != self._minute:
            self._minute, self._minute_ns = minute, time_of(minute)
        if second >= "60":
            raise ValueError(f"not a time: {text!r}")
        return self._minute_ns + int(second) * NANOSECONDS


def price_of(text: str) -> int:
    """The scaled price of a text. Raises ValueError unless it is a number above 0."""
    price = scale_price(text)
    if price <= 0:
        raise ValueError(f"a price is above 0: {text!r}")
    return price


def optional_price_of(text: str) -> int:
    """The scaled price of a text; absent when it is empty, a dash, or 0, which sources write for "none"."""
    stripped = text.strip()
    if not stripped or stripped == "-":
        return ABSENT
    return scale_price(stripped) or ABSENT


def quantity_of(text: str) -> int:
    """A whole number of 0 or more, also when written `123.0`. Raises ValueError for anything else."""
    return _whole(_decimal(text), text)


def optional_quantity_of(text: str) -> int:
    """As `quantity_of`; absent when the text is empty or a dash."""
    stripped = text.strip()
    return ABSENT if not stripped or stripped == "-" else quantity_of(stripped)


def decimal_of(text: str) -> Decimal:
    """A finite number of 0 or more. Raises ValueError for anything else."""
    return _decimal(text)


def _decimal(text: str) -> Decimal:
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        raise ValueError(f"not a number: {text!r}") from None
    if not number.is_finite() or number < 0:
        raise ValueError(f"not a number of 0 or more: {text!r}")
    return number


def _whole(number: Decimal, text: str) -> int:
    if number >= _LARGEST_QUANTITY or number != int(number):
        raise ValueError(f"not a whole number below 2^62: {text!r}")
    return int(number)


def _named_month(text: str) -> datetime:
    for layout in _NAMED_MONTH_FORMATS:
        try:
            return datetime.strptime(text, layout).replace(tzinfo=EXCHANGE_ZONE)
        except ValueError:
            continue
    raise ValueError(f"not a time: {text!r}")

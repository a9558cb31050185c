"""The ticker's messages: JSON whose numbers stay text, so that prices are exact; and what is wrong with others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Final, TypeGuard

from server.market.feeds.replay.texts import quantity_of, time_of

LARGEST_MESSAGE: Final = 65_536
"""Bytes; a longer one is no message of the ticker."""

JsonObject = Mapping[str, object]

_TRUE: Final = frozenset({"true", "1", "yes"})
_LONGEST_NUMBER: Final = 40
_UNITS: Final = ((10**11, 10**9), (10**14, 10**6), (10**17, 10**3), (10**19, 1))
"""Below which number an epoch counts in which unit of nanoseconds; of the years 1990 to 2100 none fits two units."""

_EARLIEST_NS: Final = 631_152_000 * 10**9
_LATEST_NS: Final = 4_102_444_800 * 10**9


class Channel(StrEnum):
    """Last part of a channel's name."""

    UNDERLYING = "underlying"
    OPTIONS = "options"
    EVENTS = "events"


@dataclass(frozen=True)
class Message:
    """One message as it came. `received_ns` is wall time, nanoseconds since 1970 UTC."""

    channel: Channel
    payload: bytes
    received_ns: int


def parse_object(payload: bytes) -> JsonObject:
    """The JSON object of a message, all numbers as text. Raises ValueError that says why it is none."""
    if len(payload) > LARGEST_MESSAGE:
        raise ValueError(f"a message has at most {LARGEST_MESSAGE:,} bytes, this one {len(payload):,}")
    try:
        value = json.loads(payload, parse_float=str, parse_int=str, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
    if not is_object(value):
        raise ValueError(f"a message is a JSON object, this is {type(value).__name__}")
    return value


def is_object(value: object) -> TypeGuard[JsonObject]:
    """The value is a JSON object."""
    return isinstance(value, dict)


def text_of(message: JsonObject, *names: str) -> str:
    """The first of the members that is there and not null, a text or a number as text; empty when none is.

    Raises ValueError when it is neither.
    """
    for name in names:
        value = message.get(name)
        if value is None:
            continue
        if not isinstance(value, str):
            raise ValueError(f"{name} is neither a text nor a number")
        if value.strip():
            return value.strip()
    return ""


def is_mock(message: JsonObject) -> bool:
    """The publisher made the message up, and says so."""
    flag = message.get("is_mock")
    return flag is True or (isinstance(flag, str) and flag.strip().lower() in _TRUE)


def event_time_of(message: JsonObject) -> int | None:
    """Nanoseconds since 1970 UTC by `ts`, else `timestamp`; absent when the message has neither.

    An epoch in seconds (also with a fraction), milli-, micro- or nanoseconds, or a date and time, which without an
    offset is exchange time. Raises ValueError for anything else.
    """
    text = text_of(message, "ts", "timestamp")
    if not text:
        return None
    return time_of(text) if ":" in text else _epoch(text)


def number_of(text: str, name: str) -> Decimal:
    """A finite number of 0 or more. Raises ValueError that names the member."""
    try:
        number = Decimal(text) if len(text) <= _LONGEST_NUMBER else Decimal("nan")
    except InvalidOperation:
        number = Decimal("nan")
    if not number.is_finite() or number < 0:
        raise ValueError(f"{name} is no number of 0 or more: {text[:_LONGEST_NUMBER]!r}")
    return number


def whole_of(text: str, name: str) -> int:
    """A whole number of 0 or more and below 2^62, also written as `123.0`. Raises ValueError that names the member."""
    number_of(text, name)
    return quantity_of(text)


def _epoch(text: str) -> int:
    number = number_of(text, "the time")
    for limit, unit in _UNITS:
        if number < limit:
            instant = int(number * unit)
            if _EARLIEST_NS <= instant < _LATEST_NS:
                return instant
            break
    raise ValueError(f"not a time within 1990 to 2100: {text!r}")


def _no_number(text: str) -> object:
    raise ValueError(f"{text} is no number")

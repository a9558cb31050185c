"""Times between the contract (Timestamp) and the system (nanoseconds since 1970 UTC, or aware datetime)."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from server.domain.calendar import NANOSECONDS
from server.domain.errors import InvalidArgument

_FIRST = datetime(1, 1, 8, tzinfo=UTC)
_LAST = datetime(9999, 12, 24, tzinfo=UTC)


def timestamp(nanoseconds: int) -> Timestamp:
    """An instant as a message."""
    seconds, nanos = divmod(nanoseconds, NANOSECONDS)
    return Timestamp(seconds=seconds, nanos=nanos)


def timestamp_of(instant: datetime) -> Timestamp:
    """An aware datetime as a message."""
    result = Timestamp()
    result.FromDatetime(instant)
    return result


def datetime_of(field: str, value: Timestamp) -> datetime:
    """A message as an aware datetime, cut to the microsecond. Raises InvalidArgument that names the field.

    Times at the ends of the calendar are moved inward by some days: they too have a date in every zone.
    """
    try:
        return min(max(value.ToDatetime(tzinfo=UTC), _FIRST), _LAST)
    except (ValueError, OverflowError) as error:
        raise InvalidArgument.of(field, "must be between the years 0001 and 9999") from error

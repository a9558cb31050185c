"""Times of requests."""

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from server.domain.calendar import exchange_date, to_nanoseconds
from server.services.times import datetime_of


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59.999999999Z", "0001-01-01T00:00:00Z"])
def test_the_ends_of_the_calendar_have_a_date_in_the_exchanges_zone(text):
    value = Timestamp()
    value.FromJsonString(text)

    moment = datetime_of("as_of", value)

    assert exchange_date(to_nanoseconds(moment)).year == int(text[:4])

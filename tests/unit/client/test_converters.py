"""The fast path from wire bytes to dataclasses against betterproto2's own parser."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from generated.clients.strikeline.v1 import ItemRefusal, StreamOptions, StreamTicksResponse, Tick
from server.client.converters import Converters
from strikeline.v1 import market_data_service_pb2, stream_pb2, tick_pb2

int64 = st.integers(-(2**63), 2**63 - 1)
price = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def ticks(draw: st.DrawFn) -> tick_pb2.Tick:
    message = tick_pb2.Tick(instrument=draw(st.text(max_size=20)), last_price=draw(price))
    if draw(st.booleans()):
        message.event_time.FromMicroseconds(draw(st.integers(0, 4_000_000_000_000_000)))
    for name in ("last_quantity", "volume", "open_interest", "bid_quantity", "ask_quantity"):
        if draw(st.booleans()):
            setattr(message, name, draw(int64))
    for name in ("bid_price", "ask_price"):
        if draw(st.booleans()):
            setattr(message, name, draw(price))
    return message


@given(ticks())
def test_tick_equals_what_betterproto_parses(message: tick_pb2.Tick) -> None:
    data = message.SerializeToString()

    assert Converters().parser(Tick)(data) == Tick.parse(data)


@given(st.lists(ticks(), max_size=5))
def test_batch_in_an_envelope_keeps_order_and_oneof(messages: list[tick_pb2.Tick]) -> None:
    envelope = market_data_service_pb2.StreamTicksResponse(sequence=7, resume_token="t")
    envelope.batch.ticks.extend(messages)
    data = envelope.SerializeToString()

    parsed = Converters().parser(StreamTicksResponse)(data)

    assert parsed == StreamTicksResponse.parse(data)


def test_enum_value_that_the_client_does_not_know_is_kept() -> None:
    message = stream_pb2.Subscribed()
    message.results.add(item="NSE:X", refusal=99)
    from generated.clients.strikeline.v1 import Subscribed

    parsed = Converters().parser(Subscribed)(message.SerializeToString())

    assert isinstance(parsed, Subscribed)
    assert parsed.results[0].refusal == ItemRefusal(99)


def test_nanoseconds_are_cut_to_microseconds() -> None:
    message = tick_pb2.Tick()
    message.event_time.nanos = 1_999

    parsed = Converters().parser(Tick)(message.SerializeToString())

    assert isinstance(parsed, Tick)
    assert parsed.event_time is not None
    assert parsed.event_time.microsecond == 1


def test_duration_round_trips() -> None:
    message = stream_pb2.StreamOptions()
    message.flush_interval.FromMilliseconds(250)

    parsed = Converters().parser(StreamOptions)(message.SerializeToString())

    assert isinstance(parsed, StreamOptions)
    assert parsed.flush_interval is not None
    assert parsed.flush_interval.total_seconds() == 0.25


def test_garbage_is_refused() -> None:
    with pytest.raises(DecodeError):
        Converters().parser(Tick)(b"\xff\xff\xff")

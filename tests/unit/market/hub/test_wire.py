"""Envelopes and ticks put together by hand equal what protobuf makes of the same values."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from server.market.hub.tick_codec import encode_ticks
from server.market.hub.wire import EnvelopeLayout, delimited, timestamp, varint
from server.market.records import ABSENT, TICK
from strikeline.v1 import market_data_service_pb2, stream_pb2

LAYOUT = EnvelopeLayout.of(market_data_service_pb2.StreamTicksResponse.DESCRIPTOR)
KEY = "NFO:NIFTY25NOV24500CE"
maybe = st.one_of(st.just(ABSENT), st.integers(0, 10**13))


def tick_row(**columns):
    row = np.full(1, ABSENT, dtype="<i8")
    ticks = np.zeros(1, TICK)
    for name in TICK.names[2:]:
        ticks[name] = row
    ticks["instrument"] = 7
    for name, value in columns.items():
        ticks[name] = value
    return ticks


def decoded(ticks):
    body = b"".join(encode_ticks(ticks, {7: KEY}.__getitem__))
    return market_data_service_pb2.TickBatch.FromString(body)


def test_small_number_takes_one_byte():
    assert varint(127) == b"\x7f"


def test_large_number_takes_seven_bits_a_byte():
    assert varint(300) == b"\xac\x02"


@given(st.integers(0, 2**63 - 1))
def test_varint_is_protobufs(value):
    message = market_data_service_pb2.StreamTicksResponse(sequence=value)

    assert (b"\x08" + varint(value) if value else b"") == message.SerializeToString()


@given(st.integers(0, 4_000_000_000 * 10**9))
def test_timestamp_is_protobufs(nanoseconds):
    message = market_data_service_pb2.StreamTicksResponse()
    message.as_of.FromNanoseconds(nanoseconds)

    assert timestamp(nanoseconds) == message.as_of.SerializeToString()


@given(st.integers(1, 2**40), st.integers(1, 2**61), st.text("abcAZ09-_", max_size=300), st.binary(max_size=300))
def test_envelope_is_protobufs(sequence, as_of, token, noise):
    status = stream_pb2.StreamStatus(condition=stream_pb2.STREAM_CONDITION_STALE, detail=noise.hex())
    expected = market_data_service_pb2.StreamTicksResponse(sequence=sequence, resume_token=token, status=status)
    expected.as_of.FromNanoseconds(as_of)

    made = LAYOUT.envelope(sequence, timestamp(as_of), token.encode(), LAYOUT.status, status.SerializeToString())

    assert market_data_service_pb2.StreamTicksResponse.FromString(made) == expected


def test_envelope_without_market_time_has_no_as_of():
    made = LAYOUT.envelope(1, b"", b"", LAYOUT.heartbeat, b"")

    message = market_data_service_pb2.StreamTicksResponse.FromString(made)
    assert not message.HasField("as_of")
    assert message.WhichOneof("event") == "heartbeat"


def test_batches_join_byte_by_byte():
    first, second = tick_row(event_time=1, last_price=1), tick_row(event_time=2, last_price=2)

    assert [tick.event_time.nanos for tick in decoded(np.concatenate((first, second))).ticks] == [1, 2]


@given(st.integers(1, 2**61), st.integers(0, 10**13), maybe, maybe, maybe, maybe)
def test_tick_keeps_every_value(time, price, volume, interest, bid, quantity):
    ticks = tick_row(
        event_time=time, last_price=price, volume=volume, open_interest=interest, bid_price=bid, bid_quantity=quantity
    )

    (tick,) = decoded(ticks).ticks

    assert tick.instrument == KEY
    assert tick.event_time.ToNanoseconds() == time
    assert tick.last_price == price / 10_000
    for name, value in (("volume", volume), ("open_interest", interest), ("bid_quantity", quantity)):
        assert tick.HasField(name) == (value != ABSENT)
        assert getattr(tick, name) == (0 if value == ABSENT else value)
    assert tick.HasField("bid_price") == (bid != ABSENT)
    assert not tick.HasField("ask_price")


def test_price_is_the_double_of_its_decimal_text():
    (tick,) = decoded(tick_row(event_time=1, last_price=1_985_025_000)).ticks

    assert tick.last_price == float("198502.5")


def test_long_field_has_its_length_in_several_bytes():
    assert delimited(b"\x0a", b"x" * 200) == b"\x0a\xc8\x01" + b"x" * 200

"""Responses as JSON, with the parts that streams share."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.transcoder.encoder import SHARED_FROM, SharedPayloads, StreamEncoder, UnaryEncoder, top_level_fields
from gateway.transcoder.message import NativeCodec
from tests.fixtures.everything import Everything

RESPONSE = "everything.v1.StreamSpecimensResponse"


def envelope(everything: Everything, sequence: int, labels: int, padding: str = "") -> bytes:
    part = {"name": "batch", "labels": [f"label-{index}" for index in range(labels)]}
    return everything.message("StreamSpecimensResponse")(
        sequence=sequence, part=part, padding=padding
    ).SerializeToString()


def encoder(everything: Everything, codec: NativeCodec, shared: SharedPayloads) -> StreamEncoder:
    return StreamEncoder(codec, everything.message("StreamSpecimensResponse").DESCRIPTOR, shared)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**63 - 1), st.integers(0, 300), st.text(max_size=20), st.booleans())
def test_a_spliced_envelope_means_the_same_as_a_whole_one(
    everything: Everything, codec: NativeCodec, sequence: int, labels: int, padding: str, proto: bool
) -> None:
    wire = envelope(everything, sequence, labels, padding)

    spliced = encoder(everything, codec, SharedPayloads(10_000_000)).encode(wire, proto_names=proto)

    assert json.loads(spliced) == json.loads(codec.to_json(RESPONSE, wire, proto_names=proto))


def test_a_batch_is_encoded_once_for_two_envelopes(everything: Everything, codec: NativeCodec) -> None:
    shared = SharedPayloads(10_000_000)
    streams = [encoder(everything, codec, shared) for _ in range(2)]

    texts = [stream.encode(envelope(everything, 7 + at, 200), proto_names=False) for at, stream in enumerate(streams)]

    assert [json.loads(text)["sequence"] for text in texts] == ["7", "8"]
    assert (shared.hits, shared.misses) == (1, 1)


def test_small_messages_are_not_looked_up(everything: Everything, codec: NativeCodec) -> None:
    shared = SharedPayloads(10_000_000)
    wire = envelope(everything, 1, 3)

    encoder(everything, codec, shared).encode(wire, proto_names=False)

    assert len(wire) < SHARED_FROM
    assert shared.misses == 0


def test_the_memory_of_shared_parts_is_bounded(everything: Everything, codec: NativeCodec) -> None:
    shared = SharedPayloads(20_000)
    stream = encoder(everything, codec, shared)

    for labels in range(200, 210):
        stream.encode(envelope(everything, 1, labels), proto_names=False)

    assert shared.size <= 20_000
    assert shared.misses == 10


def test_a_part_that_comes_twice_is_merged_and_not_shared(everything: Everything, codec: NativeCodec) -> None:
    wire = envelope(everything, 1, 200) + envelope(everything, 0, 200)

    text = encoder(everything, codec, SharedPayloads(10_000_000)).encode(wire, proto_names=False)

    assert len(json.loads(text)["part"]["labels"]) == 400


def test_a_response_body_is_one_field(everything: Everything, codec: NativeCodec) -> None:
    wire = everything.message("Specimen")(string_value="x").SerializeToString()

    assert UnaryEncoder(codec, "everything.v1.Specimen", "string_value").encode(wire, proto_names=True) == b'"x"'


def test_equal_answers_are_encoded_once_and_others_not(everything: Everything, codec: NativeCodec) -> None:
    shared = SharedPayloads(10_000_000)
    unary = UnaryEncoder(codec, RESPONSE, "", shared)
    wires = [envelope(everything, sequence, 200) for sequence in (1, 1, 2)]

    texts = [unary.encode(wire, proto_names=False) for wire in wires]

    assert texts == [codec.to_json(RESPONSE, wire, proto_names=False) for wire in wires]
    assert (shared.hits, shared.misses) == (1, 2)


def test_equal_answers_in_other_names_are_other_texts(everything: Everything, codec: NativeCodec) -> None:
    unary = UnaryEncoder(codec, "everything.v1.Specimen", "", SharedPayloads(10_000_000))
    wire = everything.message("Specimen")(string_value="x" * SHARED_FROM).SerializeToString()

    as_in_the_proto, usual = (json.loads(unary.encode(wire, proto_names=proto)) for proto in (True, False))

    assert "string_value" in as_in_the_proto
    assert "stringValue" in usual


def test_fields_of_every_wire_type_are_walked(everything: Everything) -> None:
    wire = everything.message("Specimen")(
        double_value=1.5, float_value=2.5, int64_value=-1, string_value="abc"
    ).SerializeToString()

    assert [number for number, *_ in top_level_fields(wire)] == [1, 2, 4, 14]


@pytest.mark.parametrize("wire", [b"\x0b", b"\x80"])
def test_broken_bytes_are_refused(wire: bytes) -> None:
    with pytest.raises((ValueError, IndexError)):
        list(top_level_fields(wire))

"""The codec, held against google.protobuf's json_format."""

import base64

import pytest
from google.protobuf import json_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.transcoder.message import NativeCodec, Undecodable, Unencodable
from tests.fixtures.everything import Everything

SPECIMEN = "everything.v1.Specimen"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
INT32, INT64 = st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1)
DOUBLE = st.floats(allow_nan=True, allow_infinity=True)
PARTS = st.recursive(
    st.fixed_dictionaries({}, optional={"name": TEXT, "size": INT64, "labels": st.lists(TEXT, max_size=3)}),
    lambda inner: st.fixed_dictionaries({"inner": inner}, optional={"name": TEXT}),
    max_leaves=3,
)
TIMES = st.fixed_dictionaries(
    {"seconds": st.integers(-62135596800, 253402300799), "nanos": st.integers(0, 999_999_999)}
)
SPECIMENS = st.fixed_dictionaries(
    {},
    optional={
        "double_value": DOUBLE,
        "int32_value": INT32,
        "int64_value": INT64,
        "uint64_value": st.integers(0, 2**64 - 1),
        "bool_value": st.booleans(),
        "string_value": TEXT,
        "bytes_value": st.binary(max_size=9),
        "colour": st.sampled_from([0, 1, 2, 40, -1, 77]),
        "part": PARTS,
        "optional_int32": INT32,
        "optional_string": TEXT,
        "choice_number": INT64,
        "numbers": st.lists(INT32, max_size=3),
        "doubles": st.lists(DOUBLE, max_size=3),
        "blobs": st.lists(st.binary(max_size=5), max_size=2),
        "parts": st.lists(PARTS, max_size=3),
        "times": st.lists(TIMES, max_size=2),
        "timestamp": TIMES,
        "text_by_text": st.dictionaries(TEXT, TEXT, max_size=3),
        "number_by_number": st.dictionaries(INT32, INT64, max_size=2),
        "renamed_value": TEXT,
        "line_2_text": TEXT,
    },
)


def fill(message, fields: dict):
    """Sets the fields of a message from plain values."""
    for name, value in fields.items():
        if isinstance(value, dict) and message.DESCRIPTOR.fields_by_name[name].is_repeated:
            getattr(message, name).update(value)
        elif isinstance(value, dict):
            getattr(message, name).SetInParent()
            fill(getattr(message, name), value)
        elif isinstance(value, list):
            for item in value:
                if isinstance(item, dict):
                    fill(getattr(message, name).add(), item)
                else:
                    getattr(message, name).append(item)
        else:
            setattr(message, name, value)
    return message


def same_numbers(value):
    """JSON with `11` and `11.0` made equal and floats as text, since NaN is not equal to itself."""
    return json_format.json.loads(
        value, parse_float=lambda text: repr(float(text)), parse_int=lambda text: repr(float(text))
    )


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(SPECIMENS, st.booleans())
def test_wire_to_json_equals_json_format(everything: Everything, codec: NativeCodec, fields: dict, proto: bool) -> None:
    message = fill(everything.message("Specimen")(), fields)

    ours = codec.to_json(SPECIMEN, message.SerializeToString(), proto_names=proto)

    theirs = json_format.MessageToJson(
        message,
        always_print_fields_with_no_presence=True,
        preserving_proto_field_name=proto,
        descriptor_pool=everything.pool,
    )
    assert same_numbers(ours) == same_numbers(theirs)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(SPECIMENS)
def test_json_to_wire_and_back_changes_nothing(everything: Everything, codec: NativeCodec, fields: dict) -> None:
    specimen = everything.message("Specimen")
    message = fill(specimen(), fields)
    text = json_format.MessageToJson(message, descriptor_pool=everything.pool)

    wire = codec.text_to_wire(SPECIMEN, text.encode())

    assert (
        specimen.FromString(wire) == specimen.FromString(message.SerializeToString()) or "nan" in str(message).lower()
    )


@pytest.mark.parametrize(
    "text", [b'{"nope":1}', b'{"int32Value":"x"}', b"[]", b'{"colour":"PURPLE"}', b'{"any":{"@type":"a/unknown.Type"}}']
)
def test_what_does_not_fit_is_refused(codec: NativeCodec, text: bytes) -> None:
    with pytest.raises(Undecodable):
        codec.text_to_wire(SPECIMEN, text)


def test_damaged_bytes_are_refused(codec: NativeCodec) -> None:
    with pytest.raises(Unencodable):
        codec.to_json(SPECIMEN, b"\xff\xff", proto_names=False)


def test_one_field_alone(codec: NativeCodec, everything: Everything) -> None:
    wire = everything.message("Specimen")(string_value="x").SerializeToString()

    found = [codec.field_to_json(SPECIMEN, wire, name, proto_names=False) for name in ("string_value", "part", "parts")]

    assert found == [b'"x"', b"null", b"[]"]


def test_an_any_carries_its_type(codec: NativeCodec, everything: Everything) -> None:
    specimen = everything.message("Specimen")()
    specimen.any.Pack(everything.message("Part")(name="x"))

    text = codec.to_json(SPECIMEN, specimen.SerializeToString(), proto_names=False)

    assert b'"any":{"@type":"type.googleapis.com/everything.v1.Part","name":"x","size":"0","labels":[]}' in text


def test_bytes_are_base64(codec: NativeCodec, everything: Everything) -> None:
    wire = everything.message("Specimen")(bytes_value=b"\x00\xff").SerializeToString()

    assert base64.b64encode(b"\x00\xff") in codec.to_json(SPECIMEN, wire, proto_names=False)

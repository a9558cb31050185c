"""How a request that does not fit is explained."""

import pytest

from gateway.transcoder.choices import has_choices, refuse_double_choices
from gateway.transcoder.locate import MOST_VIOLATIONS, bad_request
from gateway.transcoder.message import NativeCodec
from gateway.transcoder.problem import BadRequest
from tests.fixtures.everything import Everything


@pytest.mark.parametrize(
    ("value", "field", "description"),
    [
        ({"nope": 1}, "nope", "is not a field of the request"),
        ({"part": {"inner": {"nope": 1}}}, "part.inner.nope", "is not a field of the request"),
        ({"int32Value": 2**31}, "int32_value", "must be a whole number of 32 bits"),
        ({"uint64Value": -1}, "uint64_value", "must be a whole number of 64 bits, not negative"),
        ({"doubleValue": "x"}, "double_value", "must be a number"),
        ({"boolValue": "yes"}, "bool_value", "must be true or false"),
        ({"stringValue": 1}, "string_value", "must be a string"),
        ({"bytesValue": "!"}, "bytes_value", "must be base64 text"),
        ({"timestamp": "now"}, "timestamp", "must be an RFC 3339 time with zone, such as 2024-11-05T09:15:00Z"),
        ({"duration": "1m"}, "duration", "must be seconds, such as 1.5s"),
        ({"uint32Wrapper": -1}, "uint32_wrapper", "must be a whole number of 32 bits, not negative"),
        ({"part": 1}, "part", "must be an object"),
        ({"numbers": 1}, "numbers", "must be an array"),
        ({"numbers": [1, "x"]}, "numbers[1]", "must be a whole number of 32 bits"),
        ({"parts": [{}, {"size": "x"}]}, "parts[1].size", "must be a whole number of 64 bits"),
        ({"textByText": []}, "text_by_text", "must be an object"),
        ({"textByText": {"a": 1}}, "text_by_text['a']", "must be a string"),
        ({"numberByNumber": {"x": "1"}}, "number_by_number['x']", "has a bad key"),
        ({"any": {"name": "x"}}, "any", "must be an object whose @type names a known message"),
    ],
)
def test_the_wrong_field_is_named(
    codec: NativeCodec, everything: Everything, value: dict, field: str, description: str
) -> None:
    error = bad_request(codec, everything.message("Specimen").DESCRIPTOR, value)

    assert [(item.field, item.description) for item in error.violations] == [(field, description)]


def test_an_enum_error_lists_the_names(codec: NativeCodec, everything: Everything) -> None:
    error = bad_request(codec, everything.message("Specimen").DESCRIPTOR, {"colour": "PURPLE"})

    assert "COLOUR_RED, COLOUR_GREEN" in error.violations[0].description


def test_a_flood_of_errors_is_cut(codec: NativeCodec, everything: Everything) -> None:
    error = bad_request(codec, everything.message("Specimen").DESCRIPTOR, {f"x{index}": 1 for index in range(100)})

    assert len(error.violations) == MOST_VIOLATIONS


def test_two_members_of_a_choice_are_refused_at_any_depth(everything: Everything) -> None:
    descriptor = everything.message("Specimen").DESCRIPTOR

    with pytest.raises(BadRequest, match="choice_number: cannot be given together with choice_text"):
        refuse_double_choices(
            descriptor, {"choiceText": "a", "choiceNumber": 1, "parts": [{}], "partByText": {"a": {}}}
        )


def test_one_member_of_a_choice_passes(everything: Everything) -> None:
    refuse_double_choices(
        everything.message("Specimen").DESCRIPTOR, {"choiceText": None, "choiceNumber": 1, "optionalInt32": 1}
    )


def test_a_message_without_choices_needs_no_check(everything: Everything) -> None:
    assert has_choices(everything.message("Specimen").DESCRIPTOR)
    assert not has_choices(everything.message("Part").DESCRIPTOR)

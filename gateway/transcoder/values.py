"""JSON as Python values, and how to set one inside another by a field's path."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from gateway.transcoder.problem import BadRequest
from server.contract.wording import choice_of

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
JsonObject: TypeAlias = "dict[str, Json]"

WRAPPED = frozenset(
    f"google.protobuf.{kind}Value"
    for kind in ("Bool", "Bytes", "Double", "Float", "Int32", "Int64", "String", "UInt32", "UInt64")
)
TEXTUAL = frozenset({"google.protobuf.Timestamp", "google.protobuf.Duration", "google.protobuf.FieldMask"})
FREE_FORM = frozenset(f"google.protobuf.{kind}" for kind in ("Any", "Struct", "Value", "ListValue"))
WELL_KNOWN = WRAPPED | TEXTUAL | FREE_FORM | {"google.protobuf.Empty"}
"""Messages whose JSON is not an object with their fields' names."""


_EXPECTED = {
    FieldDescriptor.TYPE_BOOL: "must be true or false",
    FieldDescriptor.TYPE_STRING: "must be a string",
    FieldDescriptor.TYPE_BYTES: "must be base64 text",
    FieldDescriptor.TYPE_DOUBLE: "must be a number",
    FieldDescriptor.TYPE_FLOAT: "must be a number",
}
_EXPECTED_MESSAGE = {
    "google.protobuf.Timestamp": "must be an RFC 3339 time with zone, such as 2024-11-05T09:15:00Z",
    "google.protobuf.Duration": "must be seconds, such as 1.5s",
    "google.protobuf.FieldMask": "must be field names in lowerCamelCase, separated by commas",
    "google.protobuf.Any": "must be an object whose @type names a known message",
}


def field_named(message: Descriptor, name: str) -> FieldDescriptor | None:
    """The field with that JSON name or proto name."""
    quick = message.fields_by_camelcase_name.get(name)
    if quick is not None and quick.json_name == name:
        return quick
    return message.fields_by_name.get(name) or next((item for item in message.fields if item.json_name == name), None)


def is_map(field: FieldDescriptor) -> bool:
    """Whether the field is a map."""
    return bool(field.message_type is not None and field.message_type.GetOptions().map_entry)


def key_of(value: JsonObject, field: FieldDescriptor) -> str:
    """The name under which `value` holds the field, its JSON name when it does not."""
    return field.name if field.name in value else field.json_name


def set_once(value: JsonObject, fields: Sequence[FieldDescriptor], leaf: Json, path: str) -> None:
    """Sets the nested field that `fields` lead to.

    Raises BadRequest when something else stands there already; the same value again is accepted.
    """
    for field in fields[:-1]:
        inner = value.setdefault(key_of(value, field), {})
        if not isinstance(inner, dict):
            raise BadRequest.of(field.name, "must be an object")
        value = inner
    key = key_of(value, fields[-1])
    if key in value and value[key] is not None and str(value[key]) != str(leaf):
        raise BadRequest.of(path, f"is {leaf} in the path and something else in the body")
    value[key] = leaf


def expectation(field: FieldDescriptor) -> str:
    """What a value of the field must be, for people."""
    if field.message_type is not None:
        if field.message_type.full_name in WRAPPED:
            return expectation(field.message_type.fields_by_name["value"])
        return _EXPECTED_MESSAGE.get(field.message_type.full_name, f"must be a {field.message_type.name}")
    if field.enum_type is not None:
        return choice_of(field, field.enum_type)
    if field.type in _EXPECTED:
        return _EXPECTED[field.type]
    bits = "64" if field.cpp_type in (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64) else "32"
    unsigned = field.cpp_type in (FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64)
    return f"must be a whole number of {bits} bits{', not negative' if unsigned else ''}"

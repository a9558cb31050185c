"""Finds which fields of a JSON value do not fit their message, so that an error names them.

Runs only after the codec has refused the value.
"""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from gateway.transcoder.message import Codec, Undecodable
from gateway.transcoder.problem import BadRequest, Violation
from gateway.transcoder.values import WELL_KNOWN, Json, JsonObject, expectation, field_named, is_map

MOST_VIOLATIONS = 20


def bad_request(codec: Codec, message: Descriptor, value: JsonObject) -> BadRequest:
    """The error for a value that the codec refuses."""
    found: list[Violation] = []
    for violation in _object(codec, message, value, ""):
        found.append(violation)
        if len(found) == MOST_VIOLATIONS:
            break
    return BadRequest(found or [Violation("body", "does not fit this method's request")])


def _object(codec: Codec, message: Descriptor, value: JsonObject, prefix: str) -> Iterator[Violation]:
    for name, inner in value.items():
        field = field_named(message, name)
        if field is None:
            yield Violation(f"{prefix}{name}", "is not a field of the request", unknown=True)
            continue
        path = f"{prefix}{field.name}"
        yield from _field(codec, field, inner, path)


def _field(codec: Codec, field: FieldDescriptor, value: Json, path: str) -> Iterator[Violation]:
    if value is None:
        return
    if is_map(field) and field.message_type is not None:
        if not isinstance(value, dict):
            yield Violation(path, "must be an object")
            return
        entry = field.message_type
        for key, inner in value.items():
            yield from _single(codec, entry.fields_by_name["value"], inner, f"{path}[{key!r}]")
            if not _fits(codec, field, {key: inner}) and _fits(codec, entry.fields_by_name["value"], inner):
                yield Violation(f"{path}[{key!r}]", "has a bad key")
    elif field.is_repeated:
        if not isinstance(value, list):
            yield Violation(path, "must be an array")
            return
        for index, inner in enumerate(value):
            yield from _single(codec, field, inner, f"{path}[{index}]")
    else:
        yield from _single(codec, field, value, path)


def _single(codec: Codec, field: FieldDescriptor, value: Json, path: str) -> Iterator[Violation]:
    inner = field.message_type
    if inner is not None and inner.full_name not in WELL_KNOWN:
        if isinstance(value, dict):
            yield from _object(codec, inner, value, f"{path}.")
        else:
            yield Violation(path, "must be an object")
    elif not _fits(codec, field, [value] if field.is_repeated else value):
        yield Violation(path, expectation(field))


def _fits(codec: Codec, field: FieldDescriptor, value: Json) -> bool:
    assert field.containing_type is not None  # noqa: S101 - extensions are not walked
    try:
        codec.to_wire(field.containing_type.full_name, {field.json_name: value})
    except Undecodable:
        return False
    return True

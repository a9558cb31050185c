"""Refuses a request that gives two members of one `oneof`: the codec would silently keep the last."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from gateway.transcoder.problem import BadRequest, Violation
from gateway.transcoder.values import WELL_KNOWN, Json, JsonObject, field_named, is_map


def has_choices(message: Descriptor) -> bool:
    """Whether the message, or one inside it, has a `oneof`. Most requests have none and need no check."""
    waiting, seen = [message], {message.full_name}
    while waiting:
        current = waiting.pop()
        if any(len(oneof.fields) > 1 for oneof in current.oneofs):
            return True
        for field in current.fields:
            inner = field.message_type
            if inner is not None and inner.full_name not in seen | WELL_KNOWN:
                seen.add(inner.full_name)
                waiting.append(inner)
    return False


def refuse_double_choices(message: Descriptor, value: JsonObject) -> None:
    """Raises BadRequest that names every member too many."""
    found = list(_in_object(message, value, ""))
    if found:
        raise BadRequest(found)


def _in_object(message: Descriptor, value: JsonObject, prefix: str) -> Iterator[Violation]:
    taken: dict[str, str] = {}
    for name, inner in value.items():
        field = field_named(message, name)
        if field is None or inner is None:
            continue
        path = f"{prefix}{field.name}"
        oneof = field.containing_oneof
        if oneof is not None and taken.setdefault(oneof.name, path) != path:
            yield Violation(path, f"cannot be given together with {taken[oneof.name]}")
        yield from _in_field(field, inner, path)


def _in_field(field: FieldDescriptor, value: Json, path: str) -> Iterator[Violation]:
    kind = field.message_type
    if kind is not None and is_map(field):
        of_values = kind.fields_by_name["value"].message_type
        if of_values is not None and isinstance(value, dict):
            for key, item in value.items():
                yield from _inside(of_values, item, f"{path}[{key!r}]")
    elif kind is not None and kind.full_name not in WELL_KNOWN:
        yield from _inside(kind, value, path)


def _inside(message: Descriptor, value: Json, path: str) -> Iterator[Violation]:
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _inside(message, item, f"{path}[{index}]")
    elif isinstance(value, dict):
        yield from _in_object(message, value, f"{path}.")

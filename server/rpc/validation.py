"""Requests are checked against the rules that stand in the contract (buf.validate)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import cast

import protovalidate
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from server.contract.wording import choice_of, form_of
from server.domain.errors import FieldViolation, InvalidArgument

_CHOICES = frozenset({"enum.defined_only", "enum.not_in"})


class RequestValidator:
    """Checks requests; the rules of each message type are compiled once."""

    def __init__(self) -> None:
        self._validator = protovalidate.Validator()

    def warm(self, message: Message) -> None:
        """Compiles the rules of a message type, so that a wrong rule fails the start and the first call is not slow."""
        self._validator.collect_violations(message, fail_fast=True)

    def check(self, message: Message, wire: bytes) -> None:
        """Raises InvalidArgument with every violation. A right request, the usual case, is checked once and fast.

        `wire` is what the message was read from: only where it has a zero byte can a text have a U+0000.
        """
        nuls = tuple(_with_nul(message, "")) if b"\0" in wire else ()
        if not nuls and not self._validator.collect_violations(message, fail_fast=True):
            return
        found = (*(_violation(message, item) for item in self._validator.collect_violations(message)), *nuls)
        raise InvalidArgument(f"{found[0].field}: {found[0].description}" if found else "invalid", violations=found)


def _violation(message: Message, violation: protovalidate.Violation) -> FieldViolation:
    field = field_path(violation)
    if violation.proto.rule is None:
        # A rule over a whole message names the field in its id: "end_time.after_start_time".
        named = violation.proto.rule_id.rpartition(".")[0]
        field = f"{field}.{named}" if field and named else field or named
    return FieldViolation(field, _description(message, violation))


def _description(message: Message, violation: protovalidate.Violation) -> str:
    rule = violation.proto.rule_id
    if rule == "string.pattern":
        return form_of(str(violation.rule_value))
    if rule in _CHOICES:
        field = _field(message, violation)
        if field is not None and field.enum_type is not None:
            return choice_of(field, field.enum_type)
    return violation.proto.message


def _field(message: Message, violation: protovalidate.Violation) -> FieldDescriptor | None:
    """The field that a violation is about."""
    descriptor, field = cast("Descriptor | None", message.DESCRIPTOR), None
    path = violation.proto.field
    for element in path.elements if path is not None else ():
        if descriptor is None:
            return None
        field = descriptor.fields_by_name[element.field_name]
        descriptor = field.message_type
        if descriptor is not None and descriptor.GetOptions().map_entry:
            field = descriptor.fields_by_name["value"]
            descriptor = field.message_type
    return field


def _with_nul(message: Message, prefix: str) -> Iterator[FieldViolation]:
    """Texts that neither the database nor anybody's terminal takes, at whatever depth."""
    for field, value in message.ListFields():
        for path, item in _items(field, value, f"{prefix}{field.name}"):
            if isinstance(item, Message):
                yield from _with_nul(item, f"{path}.")
            elif isinstance(item, str) and "\0" in item:
                yield FieldViolation(path, "must not contain the character U+0000")


def _items(field: FieldDescriptor, value: object, path: str) -> Iterator[tuple[str, object]]:
    """What a field holds, each with its path; of a map the keys too."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from ((f"{path}{_subscript('string_key', key)}", part) for part in (key, item))
    elif field.is_repeated and isinstance(value, Iterable):
        yield from ((f"{path}[{place}]", item) for place, item in enumerate(value))
    else:
        yield path, value


def field_path(violation: protovalidate.Violation) -> str:
    """The field's path in proto names, such as `legs[2].quantity` or `tags["a"]`."""
    text = ""
    path = violation.proto.field
    for element in path.elements if path is not None else ():
        text = f"{text}.{element.field_name}" if text else element.field_name
        if element.subscript is not None:
            text += _subscript(element.subscript.field, element.subscript.value)
    return text


def _subscript(kind: str, value: object) -> str:
    return f'["{value}"]' if kind == "string_key" else f"[{value}]"

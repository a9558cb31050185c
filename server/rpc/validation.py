"""Requests are checked against the rules that stand in the contract (buf.validate)."""

from __future__ import annotations

import protovalidate
from google.protobuf.message import Message

from server.domain.errors import FieldViolation, InvalidArgument


class RequestValidator:
    """Checks requests; the rules of each message type are compiled once."""

    def __init__(self) -> None:
        self._validator = protovalidate.Validator()

    def warm(self, message: Message) -> None:
        """Compiles the rules of a message type, so that a wrong rule fails the start and the first call is not slow."""
        self._validator.collect_violations(message, fail_fast=True)

    def check(self, message: Message) -> None:
        """Raises InvalidArgument with every violation. A right request, the usual case, is checked once and fast."""
        if not self._validator.collect_violations(message, fail_fast=True):
            return
        found = tuple(_violation(item) for item in self._validator.collect_violations(message))
        raise InvalidArgument(f"{found[0].field}: {found[0].description}" if found else "invalid", violations=found)


def _violation(violation: protovalidate.Violation) -> FieldViolation:
    field = field_path(violation)
    if violation.proto.rule is None:
        # A rule over a whole message names the field in its id: "end_time.after_start_time".
        named = violation.proto.rule_id.rpartition(".")[0]
        field = f"{field}.{named}" if field and named else field or named
    return FieldViolation(field, violation.proto.message)


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

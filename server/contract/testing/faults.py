"""Wrong requests from descriptors: for every bound of a field, a value that breaks it and no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from buf.validate import validate_pb2
from server.contract.methods import Method
from server.contract.testing.rules import INTEGER_BOUNDS, is_map, message_of, rules_of

UNKNOWN_NUMBER = 999
"""A number that no enumeration has."""


@dataclass(frozen=True)
class Fault:
    """One way to spoil a request."""

    field: str
    """The field that the refusal must name."""

    rule: str
    apply: Callable[[Message], None]

    @property
    def label(self) -> str:
        """Names the fault in test reports."""
        return f"{self.field}-{self.rule}"


def faults_of(method: Method) -> Iterator[Fault]:
    """Every fault of the method's request, but for its account: ownership is checked before the form."""
    for fault in _message_faults(method.request, "", _itself):
        if fault.field != method.policy.account_field:
            yield fault


def _itself(message: Message) -> Message:
    return message


Reach = Callable[[Message], Message]


def _message_faults(descriptor: Descriptor, prefix: str, reach: Reach) -> Iterator[Fault]:
    for field in descriptor.fields:
        path = f"{prefix}{field.name}"
        if is_map(field):
            continue
        for rule, name, spoil in _field_faults(field, rules_of(field)):
            yield Fault(path + name, rule, _spoiler(reach, field.name, spoil))
        own = field.message_type is not None and field.message_type.full_name.startswith("strikeline.")
        if own and not field.is_repeated:
            yield from _message_faults(message_of(field), f"{path}.", _reacher(reach, field.name))


def _reacher(reach: Reach, name: str) -> Reach:
    def within(message: Message) -> Message:
        nested = getattr(reach(message), name)
        assert isinstance(nested, Message)
        return nested

    return within


Spoil = Callable[[Message, str], None]


def _spoiler(reach: Reach, name: str, spoil: Spoil) -> Callable[[Message], None]:
    return lambda message: spoil(reach(message), name)


def _set(value: object) -> Spoil:
    return lambda message, name: setattr(message, name, value)


def _replace(*items: object) -> Spoil:
    def spoil(message: Message, name: str) -> None:
        message.ClearField(name)
        getattr(message, name).extend(items)

    return spoil


def _clear(message: Message, name: str) -> None:
    message.ClearField(name)


def _field_faults(field: FieldDescriptor, rules: validate_pb2.FieldRules) -> Iterator[tuple[str, str, Spoil]]:
    """(rule, suffix of the field's path, how to break it)."""
    if rules.required:
        yield "required", "", _clear
    if field.is_repeated:
        yield from _list_faults(field, rules.repeated)
    elif field.type == FieldDescriptor.TYPE_STRING:
        yield from ((rule, "", _set(value)) for rule, value in _wrong_texts(rules))
    elif field.type in INTEGER_BOUNDS:
        yield from _number_faults(getattr(rules, INTEGER_BOUNDS[field.type][2]))
    elif field.type == FieldDescriptor.TYPE_DOUBLE:
        yield from _number_faults(rules.double)
    elif field.type == FieldDescriptor.TYPE_ENUM and rules.enum.defined_only:
        yield "defined_only", "", _set(UNKNOWN_NUMBER)
    elif field.type == FieldDescriptor.TYPE_BYTES and rules.bytes.min_len:
        yield "min_len", "", _set(b"")
    elif field.message_type is not None:
        yield from _well_known_faults(field.message_type.full_name, rules)


def _wrong_texts(rules: validate_pb2.FieldRules) -> Iterator[tuple[str, str]]:
    bounds, skips_empty = rules.string, rules.ignore == validate_pb2.IGNORE_IF_ZERO_VALUE
    if bounds.min_len and not skips_empty:
        yield "min_len", "x" * (bounds.min_len - 1)
    if bounds.HasField("max_len"):
        yield "max_len", "x" * (bounds.max_len + 1)
    if bounds.HasField("pattern"):
        yield "pattern", "not so!"


def _list_faults(field: FieldDescriptor, bounds: validate_pb2.RepeatedRules) -> Iterator[tuple[str, str, Spoil]]:
    if bounds.min_items:
        yield "min_items", "", _clear
    if field.type != FieldDescriptor.TYPE_STRING:
        return
    if bounds.HasField("max_items"):
        yield "max_items", "", _replace(*(f"NSE:T{number}" for number in range(bounds.max_items + 1)))
    if bounds.unique:
        yield "unique", "", _replace("NSE:TWICE", "NSE:TWICE")
    for rule, text in _wrong_texts(bounds.items):
        yield rule, "[0]", _replace(text)


def _number_faults(bounds: object) -> Iterator[tuple[str, str, Spoil]]:
    assert isinstance(bounds, Message)
    if bounds.HasField("gte"):
        yield "gte", "", _set(getattr(bounds, "gte") - 1)
    if bounds.HasField("lte"):
        yield "lte", "", _set(getattr(bounds, "lte") + 1)


def _well_known_faults(name: str, rules: validate_pb2.FieldRules) -> Iterator[tuple[str, str, Spoil]]:
    if name == "google.protobuf.Duration" and getattr(rules.duration, "in"):
        yield "in", "", lambda message, field: getattr(message, field).FromNanoseconds(123_000_000)
    if name == "google.protobuf.Duration" and rules.duration.HasField("gte"):
        low, high = rules.duration.gte.ToNanoseconds(), rules.duration.lte.ToNanoseconds()
        yield "gte", "", lambda message, field: getattr(message, field).FromNanoseconds(low - 1_000_000)
        yield "lte", "", lambda message, field: getattr(message, field).FromNanoseconds(high + 1_000_000)
    if name == "google.protobuf.FieldMask" and getattr(rules.field_mask, "in"):
        yield "in", "", lambda message, field: getattr(message, field).FromJsonString("noSuchField")

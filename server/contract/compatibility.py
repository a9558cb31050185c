"""Finds requests that were right and are refused now: narrower bounds, which `buf breaking` does not see."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorSet
from google.protobuf.message import Message

from buf.validate import validate_pb2

LOWER = frozenset({"min_len", "min_bytes", "min_items", "min_pairs", "gte", "gt"})
"""Rules that exclude values below theirs."""
UPPER = frozenset({"max_len", "max_bytes", "max_items", "max_pairs", "lte", "lt"})
"""Rules that exclude values above theirs."""
IGNORED = frozenset({"example"})


def tightened(before: FileDescriptorSet, after: FileDescriptorSet) -> list[str]:
    """One sentence for each bound of `after` that refuses what `before` accepted, for messages that both have."""
    old, new = messages(before), messages(after)
    return [change for name in sorted(old.keys() & new.keys()) for change in _message(name, old[name], new[name])]


def messages(files: FileDescriptorSet) -> Mapping[str, DescriptorProto]:
    """The top-level messages of the public contract by full name."""
    own = [file for file in files.file if file.package.startswith("strikeline.v")]
    return MappingProxyType(
        {f"{file.package}.{message.name}": message for file in own for message in file.message_type}
    )


def _message(name: str, old: DescriptorProto, new: DescriptorProto) -> Iterator[str]:
    known = {rule.id: rule.expression for rule in old.options.Extensions[validate_pb2.message].cel}
    for rule in new.options.Extensions[validate_pb2.message].cel:
        if known.get(rule.id) != rule.expression:
            yield f"{name}: the rule {rule.id} is new or changed"
    fields = {field.number: field for field in old.field}
    for field in new.field:
        rules, before = _rules(field), fields.get(field.number)
        place = f"{name}.{field.name}"
        if rules.required and (before is None or not _rules(before).required):
            yield f"{place} is required now"
        elif before is not None:
            yield from _bounds(place, _rules(before), rules)
        elif _excludes_zero(rules):
            yield f"{place} is new and must not be empty"


def _rules(field: FieldDescriptorProto) -> validate_pb2.FieldRules:
    return field.options.Extensions[validate_pb2.field]


def _excludes_zero(rules: validate_pb2.FieldRules) -> bool:
    return bool(rules.string.min_len or rules.bytes.min_len or rules.repeated.min_items)


def _bounds(place: str, old: Message, new: Message) -> Iterator[str]:
    for descriptor, value in new.ListFields():
        name = descriptor.name
        if name in IGNORED:
            continue
        had = old.HasField(name) if descriptor.has_presence else bool(getattr(old, name))
        before = getattr(old, name)
        if isinstance(value, Message) and name not in LOWER | UPPER:
            yield from _bounds(place, before, value)
        elif not had or _narrower(name, before, value):
            yield f"{place}: {name} is narrower"


def _narrower(name: str, old: object, new: object) -> bool:
    if isinstance(old, int | float) and isinstance(new, int | float) and not isinstance(new, bool):
        if name in LOWER:
            return new > old
        if name in UPPER:
            return new < old
    return old != new

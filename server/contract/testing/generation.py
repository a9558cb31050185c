"""Random messages from descriptors: every value that the contract allows, and none that it refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

import protovalidate
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from buf.validate import validate_pb2
from server.contract.testing.rules import INTEGER_BOUNDS, is_map, message_of, rules_of

DEPTH = 4
"""Messages within messages are made down to this depth."""
LONGEST = 12
"""Characters, bytes or items above the smallest number that a rule asks for."""

Values = SearchStrategy[Any]


def valid_messages(descriptor: Descriptor) -> SearchStrategy[Message]:
    """Messages that fulfil every rule of the contract, those between fields included."""
    return messages(descriptor).filter(_valid)


def meaningful_messages(descriptor: Descriptor, known: Mapping[str, str]) -> SearchStrategy[Message]:
    """Valid messages of which every second has known values in the fields that `known` names, at any depth."""
    steered = valid_messages(descriptor).map(lambda message: _steered(message, known))
    return st.one_of(valid_messages(descriptor), steered.filter(_valid))


def _steered(message: Message, known: Mapping[str, str]) -> Message:
    for field in message.DESCRIPTOR.fields:
        value = known.get(field.name)
        if field.message_type is not None:
            if not field.is_repeated and message.HasField(field.name):
                _steered(getattr(message, field.name), known)
        elif value is not None and field.is_repeated:
            getattr(message, field.name)[:] = [value]
        elif value is not None:
            setattr(message, field.name, value)
    return message


def _valid(message: Message) -> bool:
    return not protovalidate.collect_violations(message)


def messages(descriptor: Descriptor, depth: int = DEPTH) -> SearchStrategy[Message]:
    """Messages whose fields are within their own bounds."""
    special = _WELL_KNOWN.get(descriptor.full_name)
    if special is not None:
        return special(descriptor)
    single = [field for field in descriptor.fields if _alone(field) and (depth > 0 or field.message_type is None)]
    groups = [[field for field in group.fields if field.message_type is None] for group in _choices(descriptor)]
    always = {field.name: field_values(field, depth) for field in single if not field.has_presence or _required(field)}
    sometimes = {field.name: field_values(field, depth) for field in single if field.name not in always}
    plain = st.fixed_dictionaries(always, optional=sometimes)
    chosen = st.tuples(*(_one_of(group, depth) for group in groups if group))
    return st.tuples(plain, chosen).map(lambda pair: _built(descriptor, [pair[0], *pair[1]]))


def _alone(field: FieldDescriptor) -> bool:
    """It belongs to no oneof, but for the invisible one of an optional field."""
    return field.containing_oneof is None or len(field.containing_oneof.fields) == 1


def _choices(descriptor: Descriptor) -> Iterable[Any]:
    return (group for group in descriptor.oneofs if len(group.fields) > 1)


def _required(field: FieldDescriptor) -> bool:
    return rules_of(field).required


def _one_of(group: list[FieldDescriptor], depth: int) -> SearchStrategy[dict[str, Any]]:
    members = [st.fixed_dictionaries({field.name: field_values(field, depth)}) for field in group]
    return st.one_of(st.just({}), *members)


def _built(descriptor: Descriptor, parts: Iterable[Mapping[str, Any]]) -> Message:
    return GetMessageClass(descriptor)(**{name: value for part in parts for name, value in part.items()})


def field_values(field: FieldDescriptor, depth: int) -> Values:
    """What a field may hold: one value, a list, or a dictionary."""
    rules = rules_of(field)
    if is_map(field):
        key, value = message_of(field).fields_by_name["key"], message_of(field).fields_by_name["value"]
        return st.dictionaries(item_values(key, rules, depth), item_values(value, rules, depth), max_size=LONGEST)
    if not field.is_repeated:
        single = item_values(field, rules, depth)
        skips_zero = rules.ignore == validate_pb2.IGNORE_IF_ZERO_VALUE
        return st.one_of(st.just(field.default_value), single) if skips_zero else single
    bounds = rules.repeated
    largest = min(bounds.max_items if bounds.HasField("max_items") else LONGEST, bounds.min_items + LONGEST)
    items = item_values(field, bounds.items, depth)
    return st.lists(items, min_size=bounds.min_items, max_size=largest, unique=bounds.unique)


def item_values(field: FieldDescriptor, rules: validate_pb2.FieldRules, depth: int) -> Values:
    """One value of a field."""
    if field.message_type is not None:
        return _nested(field, rules, depth)
    if field.type in INTEGER_BOUNDS:
        lowest, highest, name = INTEGER_BOUNDS[field.type]
        bounds = getattr(rules, name)
        return st.integers(
            bounds.gte if bounds.HasField("gte") else lowest, bounds.lte if bounds.HasField("lte") else highest
        )
    return _SCALARS[field.type](field, rules)


def _nested(field: FieldDescriptor, rules: validate_pb2.FieldRules, depth: int) -> Values:
    kind = message_of(field)
    name = kind.full_name
    if name == "google.protobuf.Duration":
        return _durations(kind, rules.duration)
    if name == "google.protobuf.FieldMask" and getattr(rules.field_mask, "in"):
        paths = list(getattr(rules.field_mask, "in"))
        return st.lists(st.sampled_from(paths), unique=True).map(lambda chosen: GetMessageClass(kind)(paths=chosen))
    return messages(kind, depth - 1)


def _durations(descriptor: Descriptor, rules: validate_pb2.DurationRules) -> Values:
    listed = getattr(rules, "in")
    if listed:
        return st.sampled_from(list(listed))
    lowest = rules.gte.ToNanoseconds() if rules.HasField("gte") else 0
    highest = rules.lte.ToNanoseconds() if rules.HasField("lte") else 10**12
    return st.integers(lowest, highest).map(
        lambda value: GetMessageClass(descriptor)(seconds=value // 10**9, nanos=value % 10**9)
    )


def _text(_field: FieldDescriptor, rules: validate_pb2.FieldRules) -> Values:
    bounds = rules.string
    longest = bounds.max_len if bounds.HasField("max_len") else bounds.min_len + LONGEST
    if bounds.HasField("pattern"):
        matching = st.from_regex(bounds.pattern, fullmatch=True)
        return matching.filter(lambda text: bounds.min_len <= len(text) <= longest)
    return st.text(min_size=bounds.min_len, max_size=min(longest, bounds.min_len + LONGEST))


def _bytes(_field: FieldDescriptor, rules: validate_pb2.FieldRules) -> Values:
    return st.binary(min_size=rules.bytes.min_len, max_size=rules.bytes.min_len + LONGEST)


def _numbers(field: FieldDescriptor, rules: validate_pb2.FieldRules) -> Values:
    width = 32 if field.type == FieldDescriptor.TYPE_FLOAT else 64
    bounds = rules.float if width == 32 else rules.double
    lowest = bounds.gte if bounds.HasField("gte") else None
    highest = bounds.lte if bounds.HasField("lte") else None
    return st.floats(lowest, highest, width=32 if width == 32 else 64, allow_nan=False, allow_infinity=False)


def _choice(field: FieldDescriptor, _rules: validate_pb2.FieldRules) -> Values:
    return st.sampled_from([value.number for value in (field.enum_type.values if field.enum_type is not None else ())])


def _truth(_field: FieldDescriptor, _rules: validate_pb2.FieldRules) -> Values:
    return st.booleans()


def _timestamps(descriptor: Descriptor) -> SearchStrategy[Message]:
    seconds, nanos = st.integers(-62_135_596_800, 253_402_300_799), st.integers(0, 999_999_999)
    return st.builds(GetMessageClass(descriptor), seconds=seconds, nanos=nanos)


def _any_duration(descriptor: Descriptor) -> SearchStrategy[Message]:
    return st.builds(GetMessageClass(descriptor), seconds=st.integers(0, 10**6))


_SCALARS: Mapping[int, Callable[[FieldDescriptor, validate_pb2.FieldRules], Values]] = MappingProxyType(
    {
        FieldDescriptor.TYPE_STRING: _text,
        FieldDescriptor.TYPE_BYTES: _bytes,
        FieldDescriptor.TYPE_DOUBLE: _numbers,
        FieldDescriptor.TYPE_FLOAT: _numbers,
        FieldDescriptor.TYPE_ENUM: _choice,
        FieldDescriptor.TYPE_BOOL: _truth,
    }
)

_WELL_KNOWN: Mapping[str, Callable[[Descriptor], SearchStrategy[Message]]] = MappingProxyType(
    {
        "google.protobuf.Timestamp": _timestamps,
        "google.protobuf.Duration": _any_duration,
    }
)

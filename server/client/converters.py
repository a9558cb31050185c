"""Turns `_pb2` messages into the client's dataclasses.

upb parses a message a hundred times faster than betterproto2 does and refuses garbage, so answers are parsed by upb and
then copied, field by field, by a function that is compiled once per message type. A tick costs about 3 µs this way.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import betterproto2
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from generated.clients.message_pool import default_message_pool
from server.client.contract import message_class

Convert = Callable[[Any], Any]

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_URL_PREFIX = "type.googleapis.com/"
_WRAPPERS = "google.protobuf.{}Value"
_WRAPPED = frozenset(
    _WRAPPERS.format(kind)
    for kind in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
)


@dataclass(frozen=True)
class Converters:
    """Compiled functions by message type, made when first needed. One per client."""

    _by_type: dict[str, Convert] = field(default_factory=dict)

    def parser(self, kind: type[betterproto2.Message]) -> Callable[[bytes], betterproto2.Message]:
        """A function from wire bytes to an object of `kind`. It raises DecodeError for bytes that are none."""
        name = default_message_pool.type_to_url[kind].removeprefix(_URL_PREFIX)
        source = message_class(name)
        convert = self._of(cast("Descriptor", source.DESCRIPTOR))

        def parse(data: bytes) -> betterproto2.Message:
            return cast("betterproto2.Message", convert(source.FromString(data)))

        return parse

    def _of(self, descriptor: Descriptor) -> Convert:
        known = self._by_type.get(descriptor.full_name)
        if known is not None:
            return known

        def late_bound(value: Any) -> Any:
            return self._by_type[descriptor.full_name](value)

        # A message that contains itself finds this while its own function is being compiled.
        self._by_type[descriptor.full_name] = late_bound
        made = self._compile(descriptor)
        self._by_type[descriptor.full_name] = made
        return made

    def _compile(self, descriptor: Descriptor) -> Convert:
        target = default_message_pool.url_to_type[_URL_PREFIX + descriptor.full_name]
        names: dict[str, object] = {"target": target, "timestamp": _timestamp, "duration": _duration}
        arguments = [
            f"{attribute}={self._expression(item, names)}"
            for attribute, item in zip(_attributes(target), _by_number(descriptor), strict=True)
        ]
        body = f"def convert(m):\n    return target({', '.join(arguments)})\n"
        exec(compile(body, f"<converter of {descriptor.full_name}>", "exec"), names)  # noqa: S102 - names come from the contract
        return cast("Convert", names["convert"])

    def _expression(self, item: FieldDescriptor, names: dict[str, object]) -> str:
        source = f"m.{item.name}"
        if _is_map(item):
            value = self._element(_message_of(item).fields_by_name["value"], f"{item.name}_of", names)
            return f"{{k: {value.format('v')} for k, v in {source}.items()}}"
        element = self._element(item, f"{item.name}_of", names)
        if item.is_repeated:
            return f"[{element.format('v')} for v in {source}]"
        if item.has_presence:
            return f"({element.format(source)} if m.HasField({item.name!r}) else None)"
        return element.format(source)

    def _element(self, item: FieldDescriptor, name: str, names: dict[str, object]) -> str:
        if item.type == FieldDescriptor.TYPE_ENUM:
            names[name] = _enum_type(item)
            return f"{name}({{}})"
        if item.type != FieldDescriptor.TYPE_MESSAGE:
            return "{}"
        full_name = _message_of(item).full_name
        if full_name == "google.protobuf.Timestamp":
            return "timestamp({})"
        if full_name == "google.protobuf.Duration":
            return "duration({})"
        if full_name in _WRAPPED:
            return "{}.value"
        names[name] = self._of(_message_of(item))
        return f"{name}({{}})"


def _attributes(target: type[betterproto2.Message]) -> list[str]:
    """The dataclass's field names by field number, since a Python keyword gets a suffix there."""
    fields = _table(target).meta_by_field_name
    return [name for name, meta in sorted(fields.items(), key=lambda entry: entry[1].number)]


def _table(target: type[betterproto2.Message]) -> Any:
    return cast("Any", target)._betterproto  # noqa: SLF001 - the only table of a class's field numbers


def _message_of(item: FieldDescriptor) -> Descriptor:
    if item.message_type is None:
        raise TypeError(f"{item.full_name} is no message field")
    return item.message_type


def _by_number(descriptor: Descriptor) -> list[FieldDescriptor]:
    return sorted(descriptor.fields, key=lambda item: item.number)


def _is_map(item: FieldDescriptor) -> bool:
    return bool(item.message_type and item.message_type.GetOptions().map_entry)


def _enum_type(item: FieldDescriptor) -> type[betterproto2.Enum]:
    containing = cast("Descriptor", item.containing_type)
    table = _table(default_message_pool.url_to_type[_URL_PREFIX + containing.full_name])
    return cast("type[betterproto2.Enum]", table.cls_by_field[table.field_name_by_number[item.number]])


def _timestamp(value: Any) -> dt.datetime:
    return EPOCH + dt.timedelta(0, value.seconds, value.nanos // 1000)


def _duration(value: Any) -> dt.timedelta:
    return dt.timedelta(0, value.seconds, value.nanos / 1000)

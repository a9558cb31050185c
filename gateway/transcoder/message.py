"""JSON ↔ wire bytes of any message of the contract, by protobuf-py: native, with json_format as oracle in tests."""

from __future__ import annotations

from typing import Protocol

import orjson
from protobuf import DescMessage, Message, Registry, message_from_json_value, message_to_json_value
from protobuf.wkt import FileDescriptorSet

from gateway.transcoder.values import Json, JsonObject

_REFUSALS = (ValueError, TypeError, OverflowError, RecursionError)


class Undecodable(ValueError):
    """A JSON value does not fit its message. The text is the library's own: find the field before telling a client."""


class Unencodable(ValueError):
    """Wire bytes cannot become JSON: they are damaged, or carry a type that the descriptors do not have."""


class Codec(Protocol):
    """What the transcoder needs of a JSON library. Messages are named by their full name."""

    def to_wire(self, message: str, value: JsonObject) -> bytes:
        """Serialises a JSON value. Raises Undecodable."""

    def text_to_wire(self, message: str, text: bytes) -> bytes:
        """Serialises JSON text. Raises Undecodable."""

    def to_json(self, message: str, wire: bytes, *, proto_names: bool) -> bytes:
        """JSON text with defaults emitted; fields with presence that are not set are left out. Raises Unencodable."""

    def field_to_json(self, message: str, wire: bytes, field: str, *, proto_names: bool) -> bytes:
        """JSON text of one field: its default when not set, `null` for a message not set. Raises Unencodable."""


class NativeCodec:
    """The codec over protobuf-py."""

    def __init__(self, descriptors: bytes) -> None:
        """`descriptors`: a serialised FileDescriptorSet that has every type a message may carry in an Any."""
        self._registry = FileDescriptorSet.from_binary(descriptors).to_registry()
        self._types: dict[str, type[Message]] = _types(self._registry)

    def to_wire(self, message: str, value: JsonObject) -> bytes:
        """See Codec."""
        try:
            return message_from_json_value(self._types[message], value, registry=self._registry).to_binary()
        except _REFUSALS as error:
            raise Undecodable(str(error)) from error

    def text_to_wire(self, message: str, text: bytes) -> bytes:
        """See Codec."""
        try:
            return self._types[message].from_json(text, registry=self._registry).to_binary()
        except _REFUSALS as error:
            raise Undecodable(str(error)) from error

    def to_json(self, message: str, wire: bytes, *, proto_names: bool) -> bytes:
        """See Codec."""
        try:
            decoded = self._types[message].from_binary(wire)
            text = decoded.to_json(registry=self._registry, always_emit_implicit=True, use_proto_field_name=proto_names)
        except _REFUSALS as error:
            raise Unencodable(str(error)) from error
        return text.encode()

    def field_to_json(self, message: str, wire: bytes, field: str, *, proto_names: bool) -> bytes:
        """See Codec."""
        try:
            decoded = self._types[message].from_binary(wire)
            value: Json = message_to_json_value(
                decoded, registry=self._registry, always_emit_implicit=True, use_proto_field_name=proto_names
            )
        except _REFUSALS as error:
            raise Unencodable(str(error)) from error
        name = field if proto_names else next(item.json_name for item in decoded.desc().fields if item.name == field)
        return orjson.dumps(value.get(name) if isinstance(value, dict) else None)


def _types(registry: Registry) -> dict[str, type[Message]]:
    return {item.type_name: item.type for item in registry if isinstance(item, DescMessage)}

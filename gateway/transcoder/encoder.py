"""Responses from wire bytes to JSON.

A chain that many people look at is asked for many times before it changes: answers of equal bytes are encoded once.

The messages of two subscribers differ in their sequence and resume token, while the batch inside is the same bytes for
all who asked for the same instruments. So a stream's large parts are encoded once for everybody who gets them, and
spliced into each subscriber's own envelope.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from gateway.transcoder.message import Codec
from gateway.transcoder.values import WELL_KNOWN, is_map

SHARED_FROM = 1024
"""Parts of at least so many bytes are looked up; encoding a smaller one is cheaper than finding it."""


class SharedPayloads:
    """JSON of recently encoded parts, by their bytes. Bounded; the longest unused part goes first."""

    def __init__(self, limit: int) -> None:
        """`limit`: bytes, JSON and wire together."""
        self._limit = limit
        self.size = 0
        self._parts: OrderedDict[tuple[str, bool, bytes], bytes] = OrderedDict()
        self.hits = 0
        self.misses = 0

    def encode(self, codec: Codec, message: str, wire: bytes, *, proto_names: bool) -> bytes:
        """The part's JSON."""
        key = (message, proto_names, wire)
        known = self._parts.get(key)
        if known is not None:
            self.hits += 1
            self._parts.move_to_end(key)
            return known
        self.misses += 1
        encoded = codec.to_json(message, wire, proto_names=proto_names)
        self._parts[key] = encoded
        self.size += len(wire) + len(encoded)
        while self.size > self._limit:
            (_, _, old), text = self._parts.popitem(last=False)
            self.size -= len(old) + len(text)
        return encoded


class UnaryEncoder:
    """Encodes the responses of one route."""

    def __init__(self, codec: Codec, message: str, response_body: str, shared: SharedPayloads | None = None) -> None:
        """`response_body`: the field that is the answer; empty for the whole message.

        `shared`: where equal answers find their JSON; None for those of which no two are equal.
        """
        self._codec = codec
        self._message = message
        self._field = response_body
        self._shared = shared

    def encode(self, wire: bytes, *, proto_names: bool) -> bytes:
        """JSON text."""
        if self._field:
            return self._codec.field_to_json(self._message, wire, self._field, proto_names=proto_names)
        if self._shared is not None and len(wire) >= SHARED_FROM:
            return self._shared.encode(self._codec, self._message, wire, proto_names=proto_names)
        return self._codec.to_json(self._message, wire, proto_names=proto_names)


class StreamEncoder:
    """Encodes the messages of one streaming method."""

    def __init__(self, codec: Codec, message: Descriptor, shared: SharedPayloads) -> None:
        self._codec = codec
        self._message = message.full_name
        self._shared = shared
        self._parts = {field.number: field for field in message.fields if _may_be_shared(field)}

    def encode(self, wire: bytes, *, proto_names: bool) -> bytes:
        """JSON text."""
        if len(wire) < SHARED_FROM:
            return self._codec.to_json(self._message, wire, proto_names=proto_names)
        rest, parts = self._split(wire)
        envelope = self._codec.to_json(self._message, rest, proto_names=proto_names)
        for field, part in parts:
            assert field.message_type is not None  # noqa: S101 - only such fields are parts
            inner = self._shared.encode(self._codec, field.message_type.full_name, part, proto_names=proto_names)
            name = (field.name if proto_names else field.json_name).encode()
            comma = b"" if envelope == b"{}" else b","
            envelope = b'%b%b"%b":%b}' % (envelope[:-1], comma, name, inner)
        return envelope

    def _split(self, wire: bytes) -> tuple[bytes, list[tuple[FieldDescriptor, bytes]]]:
        """The message without its large parts, and these. A part that comes twice would need merging and stays."""
        parts: dict[int, tuple[int, int, int]] = {}
        seen: set[int] = set()
        for number, start, content, end in top_level_fields(wire):
            if number in seen:
                parts.pop(number, None)
            elif number in self._parts and end - content >= SHARED_FROM:
                parts[number] = (start, content, end)
            seen.add(number)
        kept: list[bytes] = []
        position = 0
        for start, _, end in parts.values():
            kept.append(wire[position:start])
            position = end
        kept.append(wire[position:])
        found = [(self._parts[number], wire[content:end]) for number, (_, content, end) in parts.items()]
        return b"".join(kept), found


def _may_be_shared(field: FieldDescriptor) -> bool:
    inner = field.message_type
    return inner is not None and not field.is_repeated and not is_map(field) and inner.full_name not in WELL_KNOWN


def top_level_fields(wire: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Number, start, start of the content and end of each field. Raises ValueError or IndexError for broken bytes."""
    position = 0
    while position < len(wire):
        start = position
        tag, position = _varint(wire, position)
        content = position
        match tag & 7:
            case 2:
                length, content = _varint(wire, position)
                position = content + length
            case 0:
                _, position = _varint(wire, position)
            case 1:
                position += 8
            case 5:
                position += 4
            case other:
                raise ValueError(f"unknown wire type {other}")
        yield tag >> 3, start, content, position


def _varint(wire: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = wire[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7

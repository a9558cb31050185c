"""The bytes of a checkpoint: named sections, so that a reader takes the ones that it knows."""

from __future__ import annotations

import struct
from collections.abc import Mapping

import orjson

_MAGIC = b"SLC1"
_LENGTH = struct.Struct("<I")


class CheckpointUnreadable(Exception):
    """The payload is none of ours, or of another version."""


def pack(sections: Mapping[str, bytes]) -> bytes:
    """One payload of named sections."""
    head = orjson.dumps([[name, len(body)] for name, body in sections.items()])
    return b"".join((_MAGIC, _LENGTH.pack(len(head)), head, *sections.values()))


def unpack(payload: bytes) -> dict[str, bytes]:
    """The sections of a payload. Raises CheckpointUnreadable."""
    if payload[:4] != _MAGIC:
        raise CheckpointUnreadable(f"a checkpoint begins with {_MAGIC!r}, this one with {payload[:4]!r}")
    (length,) = _LENGTH.unpack_from(payload, 4)
    place = 8 + length
    sections = {}
    for name, size in orjson.loads(payload[8:place]):
        sections[name] = payload[place : place + size]
        place += size
    if place != len(payload):
        raise CheckpointUnreadable(f"a checkpoint of {place} bytes is {len(payload)} bytes long")
    return sections

"""Places in Redis streams. A position has one place for each stream that a channel reads."""

from __future__ import annotations

import struct
from typing import NamedTuple

_PACKED = struct.Struct(">QI")


class EntryId(NamedTuple):
    """Id of an entry of a Redis stream, ordered as Redis orders them."""

    milliseconds: int
    number: int

    @classmethod
    def parse(cls, text: str) -> EntryId:
        """Reads Redis's own spelling."""
        milliseconds, _, number = text.partition("-")
        return cls(int(milliseconds), int(number or 0))

    def __str__(self) -> str:
        return f"{self.milliseconds}-{self.number}"


ORIGIN = EntryId(0, 0)
"""Before every entry."""

Position = tuple[EntryId, ...]
"""One id for each stream, in the order of the streams: everything up to and including it has been seen."""


def pack(position: Position) -> bytes:
    """The position as bytes of fixed size."""
    return b"".join(_PACKED.pack(*entry) for entry in position)


def unpack(data: bytes) -> Position:
    """What `pack` packed."""
    return tuple(EntryId(*item) for item in _PACKED.iter_unpack(data))


def replace(position: Position, index: int, entry: EntryId) -> Position:
    """The position with one stream moved on."""
    return (*position[:index], entry, *position[index + 1 :])

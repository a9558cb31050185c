"""Protobuf fields of many messages at once, column by column.

A message is its fields one after the other. So every message is written into one row of a table that has room for each
field at its longest, beside a mask of the bytes that count; what counts, row by row, is the messages.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from server.domain.options.arrays import FloatArray, IntArray

Table = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Part = tuple[Table, Mask]
"""Bytes by message, and which of them count. Axes behind the first are one after the other in the message."""


def key_table(keys: Sequence[bytes]) -> Table:
    """Keys of fields as a table, (fields, bytes); all have one length."""
    return np.frombuffer(b"".join(keys), np.uint8).reshape(len(keys), -1)


def integers(keys: Table, values: IntArray, present: Mask) -> Part:
    """Fields of integers, (messages, fields), behind keys of one byte: seven bits a byte, lowest first.

    Each byte but the last of a number has the highest bit set. Negative numbers take ten bytes. What is not present
    may be any number; `values` is changed there.
    """
    values[~present] = 0
    raw = values.view(np.uint64)
    width = max(1, -(-int(raw.max(initial=0)).bit_length() // 7))
    shifted = raw[:, :, np.newaxis] >> np.arange(0, 7 * width, 7, dtype=np.uint64)
    table = np.empty((*values.shape, width + 1), np.uint8)
    table[:, :, 0] = keys[:, 0]
    table[:, :, 1:] = shifted & np.uint64(0x7F)
    mask = np.empty(table.shape, np.bool_)
    mask[:, :, 0] = mask[:, :, 1] = present
    mask[:, :, 2:] = shifted[:, :, 1:] != 0
    table[:, :, 1:-1] |= mask[:, :, 2:].view(np.uint8) << 7
    return table, mask


def doubles(keys: Table, values: FloatArray, present: Mask) -> Part:
    """Fields of doubles, (messages, fields)."""
    size = keys.shape[1]
    table = np.empty((*values.shape, size + 8), np.uint8)
    table[:, :, :size] = keys
    table[:, :, size:] = np.ascontiguousarray(values, "<f8").view(np.uint8).reshape(*values.shape, 8)
    return table, np.broadcast_to(present[:, :, np.newaxis], table.shape)


def bits(key: bytes, present: Mask) -> Part:
    """One boolean field, written where it is true."""
    table = np.empty((len(present), len(key) + 1), np.uint8)
    table[:] = np.frombuffer(key + b"\x01", np.uint8)
    return table, np.broadcast_to(present[:, np.newaxis], table.shape)


def nested(key: bytes, part: Part, present: Mask) -> Part:
    """One field of a message that consists of the part and has less than 128 bytes."""
    table, mask = (array.reshape(len(present), -1) for array in part)
    head = np.empty((len(present), len(key) + 1), np.uint8)
    head[:, :-1] = np.frombuffer(key, np.uint8)
    head[:, -1] = mask.sum(axis=1)
    counts = np.broadcast_to(present[:, np.newaxis], head.shape)
    return np.concatenate((head, table), axis=1), np.concatenate((counts, mask & present[:, np.newaxis]), axis=1)


def messages(*parts: Part) -> list[bytes]:
    """The messages that consist of these parts, one after the other."""
    count = len(parts[0][0])
    table = np.concatenate([part.reshape(count, -1) for part, _ in parts], axis=1)
    mask = np.concatenate([part.reshape(count, -1) for _, part in parts], axis=1)
    flat = table[mask].tobytes()
    ends = mask.sum(axis=1).cumsum().tolist()
    return [flat[start:end] for start, end in zip([0, *ends], ends, strict=False)]

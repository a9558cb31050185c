"""Ticks as protobuf messages, a whole batch at once: the bytes of all of them are computed column by column.

A message is its fields one after the other. So every tick is written into one row of a table that has room for each
field at its longest, beside a mask of the bytes that count; what counts, row by row, is the messages.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from server.market.hub.wire import NANOSECONDS, delimited, key_of, varint
from server.market.records import ABSENT, PRICE_SCALE
from strikeline.v1 import market_data_service_pb2, tick_pb2

Rows = NDArray[np.void]
Table = NDArray[np.uint8]
Mask = NDArray[np.bool_]

_TICK = tick_pb2.Tick.DESCRIPTOR
_VARINT, _DOUBLE, _MESSAGE = 0, 1, 2
_NAME = key_of(_TICK, "instrument")
_FIELD = key_of(market_data_service_pb2.TickBatch.DESCRIPTOR, "ticks")
_HEADS = tuple(_FIELD + varint(size) for size in range(512))
"""What precedes a tick of each possible size."""

_PRICES = ("last_price", "bid_price", "ask_price")
_COUNTS = ("last_quantity", "volume", "open_interest", "bid_quantity", "ask_quantity")
_PRICE_KEYS = np.array([key_of(_TICK, name, _DOUBLE)[0] for name in _PRICES], np.uint8)
_SECONDS, _NANOS = 0x08, 0x10
_NUMBER_KEYS = np.array([_SECONDS, _NANOS, *(key_of(_TICK, name, _VARINT)[0] for name in _COUNTS)], np.uint8)
_TIME_KEY = key_of(_TICK, "event_time", _MESSAGE)[0]
_TIMES = 2
"""The first of the numbers belong into the message of the event time."""


def encode_ticks(ticks: Rows, key: Callable[[int], str]) -> list[bytes]:
    """Each tick as a field of a TickBatch. `ticks` have the columns of `TICK`; `key` names an instrument by number."""
    if not len(ticks):
        return []
    numbers, counts = _numbers(ticks)
    prices, present = _prices(ticks)
    time = np.empty((len(ticks), 2), np.uint8)
    time[:, 0], time[:, 1] = _TIME_KEY, counts[:, :_TIMES].sum(axis=(1, 2))
    table = np.concatenate((time, numbers.reshape(len(ticks), -1), prices.reshape(len(ticks), -1)), axis=1)
    mask = np.concatenate(
        (np.ones(time.shape, np.bool_), counts.reshape(len(ticks), -1), present.reshape(len(ticks), -1)), axis=1
    )
    return _messages(ticks["instrument"].tolist(), _split(table, mask), key)


def _messages(instruments: list[int], bodies: list[bytes], key: Callable[[int], str]) -> list[bytes]:
    names = {number: delimited(_NAME, key(number).encode()) for number in set(instruments)}
    messages = [names[number] + body for number, body in zip(instruments, bodies, strict=True)]
    return [_HEADS[len(message)] + message for message in messages]


def _split(table: Table, mask: Mask) -> list[bytes]:
    """The bytes that count of each row."""
    flat = table[mask].tobytes()
    ends = mask.sum(axis=1).cumsum().tolist()
    return [flat[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _numbers(ticks: Rows) -> tuple[Table, Mask]:
    """Integers in base 128: by tick and field a key and then seven bits a byte, lowest first.

    Each byte but the last has the highest bit set. Times that are 0 are left out, as protobuf does.
    """
    values = np.empty((len(ticks), len(_NUMBER_KEYS)), np.int64)
    np.divmod(ticks["event_time"], NANOSECONDS, out=(values[:, 0], values[:, 1]))
    for place, name in enumerate(_COUNTS, _TIMES):
        values[:, place] = ticks[name]
    present = values != ABSENT
    present[:, :_TIMES] = values[:, :_TIMES] != 0
    values[~present] = 0
    raw = values.view(np.uint64)
    width = max(1, -(-int(raw.max()).bit_length() // 7))
    shifted = raw[:, :, np.newaxis] >> np.arange(0, 7 * width, 7, dtype=np.uint64)
    table = np.empty((*values.shape, width + 1), np.uint8)
    table[:, :, 0] = _NUMBER_KEYS
    table[:, :, 1:] = shifted & np.uint64(0x7F)
    mask = np.empty(table.shape, np.bool_)
    mask[:, :, 0] = mask[:, :, 1] = present
    mask[:, :, 2:] = shifted[:, :, 1:] != 0
    table[:, :, 1:-1] |= mask[:, :, 2:].view(np.uint8) << 7
    return table, mask


def _prices(ticks: Rows) -> tuple[Table, Mask]:
    """Doubles: by tick and field a key and eight bytes. A last price of 0 is left out, as protobuf does."""
    scaled = np.stack([ticks[name] for name in _PRICES], axis=1)
    present = scaled != ABSENT
    present[:, 0] &= scaled[:, 0] != 0
    table = np.empty((*scaled.shape, 9), np.uint8)
    table[:, :, 0] = _PRICE_KEYS
    table[:, :, 1:] = (scaled / PRICE_SCALE).astype("<f8").view(np.uint8).reshape(*scaled.shape, 8)
    return table, np.broadcast_to(present[:, :, np.newaxis], table.shape)

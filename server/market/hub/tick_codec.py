"""Ticks as protobuf messages, a whole batch at once: the bytes of all of them are computed column by column."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from server.domain.calendar import NANOSECONDS
from server.market.hub.wire import delimited, key_of, varint
from server.market.records import ABSENT, PRICE_SCALE
from server.market.wire_columns import Part, doubles, integers, key_table, messages
from strikeline.v1 import market_data_service_pb2, tick_pb2

Rows = NDArray[np.void]

_TICK = tick_pb2.Tick.DESCRIPTOR
_VARINT, _DOUBLE = 0, 1
_NAME = key_of(_TICK, "instrument")
_FIELD = key_of(market_data_service_pb2.TickBatch.DESCRIPTOR, "ticks")
_HEADS = tuple(_FIELD + varint(size) for size in range(512))
"""What precedes a tick of each possible size."""

_PRICES = ("last_price", "bid_price", "ask_price")
_COUNTS = ("last_quantity", "volume", "open_interest", "bid_quantity", "ask_quantity")
_PRICE_KEYS = key_table([key_of(_TICK, name, _DOUBLE) for name in _PRICES])
_SECONDS, _NANOS = b"\x08", b"\x10"
_NUMBER_KEYS = key_table([_SECONDS, _NANOS, *(key_of(_TICK, name, _VARINT) for name in _COUNTS)])
_TIME_KEY = key_of(_TICK, "event_time")[0]
_TIMES = 2
"""The first of the numbers belong into the message of the event time."""


def encode_ticks(ticks: Rows, key: Callable[[int], str]) -> list[bytes]:
    """Each tick as a field of a TickBatch. `ticks` have the columns of `TICK`; `key` names an instrument by number."""
    if not len(ticks):
        return []
    numbers, counts = _numbers(ticks)
    time = np.empty((len(ticks), 2), np.uint8)
    time[:, 0], time[:, 1] = _TIME_KEY, counts[:, :_TIMES].sum(axis=(1, 2))
    bodies = messages((time, np.ones(time.shape, np.bool_)), (numbers, counts), _prices(ticks))
    return _messages(ticks["instrument"].tolist(), bodies, key)


def _messages(instruments: list[int], bodies: list[bytes], key: Callable[[int], str]) -> list[bytes]:
    messages = [_named(key(number)) + body for number, body in zip(instruments, bodies, strict=True)]
    return [_HEADS[len(message)] + message for message in messages]


@lru_cache(maxsize=65_536)
def _named(key: str) -> bytes:
    """The field of an instrument's name: the same few thousand names come again and again."""
    return delimited(_NAME, key.encode())


def _numbers(ticks: Rows) -> Part:
    """Integers by tick and field. Times that are 0 are left out, as protobuf does."""
    values = np.empty((len(ticks), len(_NUMBER_KEYS)), np.int64)
    np.divmod(ticks["event_time"], NANOSECONDS, out=(values[:, 0], values[:, 1]))
    for place, name in enumerate(_COUNTS, _TIMES):
        values[:, place] = ticks[name]
    present = values != ABSENT
    present[:, :_TIMES] = values[:, :_TIMES] != 0
    return integers(_NUMBER_KEYS, values, present)


def _prices(ticks: Rows) -> Part:
    """Doubles by tick and field. A last price of 0 is left out, as protobuf does."""
    scaled = np.stack([ticks[name] for name in _PRICES], axis=1)
    present = scaled != ABSENT
    present[:, 0] &= scaled[:, 0] != 0
    return doubles(_PRICE_KEYS, scaled / PRICE_SCALE, present)

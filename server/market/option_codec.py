"""The options of one side of a chain as serialised OptionQuote messages, all at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
from google.protobuf.descriptor import Descriptor
from numpy.typing import NDArray

from server.domain.calendar import NANOSECONDS
from server.domain.options.arrays import FloatArray
from server.domain.options.greeks import NAMES as GREEKS
from server.domain.options.moneyness import moneyness_label
from server.market.hub.wire import delimited, key_of, varint
from server.market.records import ABSENT, CONTRACT_STALE, CONTRACT_WITHHELD
from server.market.wire_columns import Part, Table, bits, doubles, integers, key_table, messages, nested
from strikeline.v1 import option_pb2 as pb

Rows = NDArray[np.void]

LIQUIDITY: Final = ("spread", "spread_pct", "imbalance_pct", "pressure", "microprice", "score")
"""Columns of the order book, in the order of OptionLiquidity."""
MAIN: Final = ("last_price", "bid_price", "ask_price", "oi_change_pct", "implied_volatility")
PREMIUM: Final = ("intrinsic_value", "extrinsic_value", "model_price", "premium_abs", "premium_pct")
COUNTS: Final = ("bid_quantity", "ask_quantity", "volume", "open_interest", "oi_change", "exchange_oi_change")

_VARINT, _DOUBLE = 0, 1
_QUOTE: Final = pb.OptionQuote.DESCRIPTOR
_NAME = key_of(_QUOTE, "instrument")
_TYPE = key_of(_QUOTE, "option_type", _VARINT)
_MONEYNESS = key_of(_QUOTE, "moneyness")
_TIME_KEYS = key_table([b"\x08", b"\x10"])


def _keys(message: Descriptor, names: Sequence[str], wire_type: int) -> Table:
    return key_table([key_of(message, name, wire_type) for name in names])


_MAIN_KEYS = _keys(_QUOTE, MAIN, _DOUBLE)
_PREMIUM_KEYS = _keys(_QUOTE, PREMIUM, _DOUBLE)
_COUNT_KEYS = _keys(_QUOTE, COUNTS, _VARINT)
_GREEK_KEYS = _keys(pb.Greeks.DESCRIPTOR, GREEKS, _DOUBLE)
_LIQUIDITY_KEYS = _keys(pb.OptionLiquidity.DESCRIPTOR, LIQUIDITY, _DOUBLE)


def encode_quotes(
    rows: Rows,
    figures: Mapping[str, FloatArray],
    counts: Mapping[str, NDArray[np.int64]],
    heads: Sequence[bytes],
) -> list[bytes]:
    """One message a row of `CHAIN_CONTRACT`, behind the bytes of `heads`.

    `figures` are the columns of MAIN, PREMIUM and LIQUIDITY, NaN absent; `counts` those of COUNTS.
    """
    if not len(rows):
        return []
    flags = rows["flags"]
    bodies = messages(
        _doubles(_MAIN_KEYS, [figures[name] for name in MAIN]),
        _counts([counts[name] for name in COUNTS]),
        _time(rows["event_time"]),
        _sub_message("greeks", _doubles(_GREEK_KEYS, [rows[name] for name in GREEKS])),
        _doubles(_PREMIUM_KEYS, [figures[name] for name in PREMIUM]),
        _sub_message("liquidity", _doubles(_LIQUIDITY_KEYS, [figures[name] for name in LIQUIDITY])),
        bits(key_of(_QUOTE, "stale", _VARINT), (flags & CONTRACT_STALE) != 0),
        bits(key_of(_QUOTE, "withheld", _VARINT), (flags & CONTRACT_WITHHELD) != 0),
    )
    return [head + body for head, body in zip(heads, bodies, strict=True)]


def quote_heads(
    instruments: Sequence[int],
    option_type: pb.OptionType.ValueType,
    levels: Sequence[int] | None,
    key: Callable[[int], str],
) -> list[bytes]:
    """Key, type and moneyness of options, `levels` steps out of the money. Number 0 stands for no instrument."""
    kind = _TYPE + varint(option_type)
    names = [delimited(_NAME, key(number).encode()) + kind if number else b"" for number in instruments]
    if levels is None:
        return names
    labels = (delimited(_MONEYNESS, moneyness_label(level).encode()) for level in levels)
    return [name + label for name, label in zip(names, labels, strict=True)]


def _doubles(keys: Table, columns: Sequence[FloatArray]) -> Part:
    values = np.stack(columns, axis=1)
    return doubles(keys, values, ~np.isnan(values))


def _counts(columns: Sequence[NDArray[np.int64]]) -> Part:
    values = np.stack(columns, axis=1)
    return integers(_COUNT_KEYS, values, values != ABSENT)


def _time(times: NDArray[np.int64]) -> Part:
    known = times != ABSENT
    values = np.stack(np.divmod(np.where(known, times, 0), NANOSECONDS), axis=1)
    return nested(key_of(_QUOTE, "event_time"), integers(_TIME_KEYS, values, values != 0), known)


def _sub_message(field: str, part: Part) -> Part:
    """A field of a message, where any of its own is known."""
    present = np.asarray(part[1].any(axis=(1, 2)), np.bool_)
    return nested(key_of(_QUOTE, field), part, present)

"""Position signals in the contract's bytes."""

from __future__ import annotations

from types import MappingProxyType

from server.domain.calendar import NANOSECONDS
from server.domain.futures import PositionMove, PositionSignal, Sentiment
from server.market.hub.folding import BarRow
from server.market.hub.wire import delimited, key_of
from server.market.records import ABSENT, BAR_CLOSED, BAR_PARTIAL, PRICE_SCALE
from strikeline.v1 import futures_pb2, futures_requests_pb2

_SIGNALS = MappingProxyType(
    {item: futures_pb2.PositionSignal.Value(f"POSITION_SIGNAL_{item}") for item in PositionSignal}
)
_SENTIMENTS = MappingProxyType(
    {item: futures_pb2.PositionSentiment.Value(f"POSITION_SENTIMENT_{item}") for item in Sentiment}
)
_SIGNAL_KEY = key_of(futures_requests_pb2.PositionSignalBatch.DESCRIPTOR, "signals")


def set_move(message: futures_pb2.FuturesSignal, move: PositionMove) -> None:
    """Fills in what is known of a move; the rest stays absent."""
    if move.price_change is not None:
        message.price_change = move.price_change
    if move.price_percent is not None:
        message.price_change_percent = move.price_percent
    if move.interest_change is not None:
        message.open_interest_change = move.interest_change
    if move.interest_percent is not None:
        message.open_interest_change_percent = move.interest_percent
    if move.strength is not None:
        message.strength = move.strength
    if move.signal is not None:
        message.signal = _SIGNALS[move.signal]
    if move.sentiment is not None:
        message.sentiment = _SENTIMENTS[move.sentiment]


def encode_signal(row: BarRow, key: str, expiry: str, move: PositionMove) -> bytes:
    """A bar's signal as a field of a PositionSignalBatch. `key` and `expiry` are its contract's."""
    message = futures_pb2.FuturesSignal(instrument=key, expiry=expiry, close=row.close / PRICE_SCALE)
    message.open_time.seconds, message.open_time.nanos = divmod(row.open_time, NANOSECONDS)
    if row.volume != ABSENT:
        message.volume = row.volume
    if row.open_interest != ABSENT:
        message.open_interest = row.open_interest
    message.partial = bool(row.flags & BAR_PARTIAL)
    message.closed = bool(row.flags & BAR_CLOSED)
    set_move(message, move)
    return delimited(_SIGNAL_KEY, message.SerializeToString())

"""Strike ranges of requests as selections over a chain."""

from __future__ import annotations

from server.domain.options.strike_range import (
    AllStrikes,
    AroundMoney,
    DeltaRange,
    ExplicitStrikes,
    StrikeRange,
    WithinPercent,
)
from strikeline.v1 import strike_range_pb2


def strike_range_of(message: strike_range_pb2.StrikeRange) -> StrikeRange:
    """What the message selects; all strikes when nothing is set."""
    match message.WhichOneof("range"):
        case "strikes":
            return ExplicitStrikes(tuple(message.strikes.values))
        case "atm_steps":
            return AroundMoney(message.atm_steps)
        case "atm_percent":
            return WithinPercent(message.atm_percent)
        case "delta":
            return DeltaRange(message.delta.lowest, message.delta.highest)
        case _:
            return AllStrikes()

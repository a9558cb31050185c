"""What subscribers are told about the stream itself, in its place among the events."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TypeAlias

from server.market.hub.journal import Moment
from strikeline.v1 import stream_pb2

Condition: TypeAlias = "stream_pb2.StreamCondition.ValueType"
"""A value of the contract's enum."""

_KEPT = 32
_LASTING = frozenset(
    {
        stream_pb2.STREAM_CONDITION_STALE,
        stream_pb2.STREAM_CONDITION_DEGRADED,
        stream_pb2.STREAM_CONDITION_MARKET_CLOSED,
    }
)
"""Conditions that a new subscriber is told of, too."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One change of condition. It comes behind everything up to `moment`."""

    number: int
    condition: Condition
    detail: str
    moment: Moment

    def status(self) -> bytes:
        """As a StreamStatus message."""
        return stream_pb2.StreamStatus(condition=self.condition, detail=self.detail).SerializeToString()


class Notices:
    """The latest notices of a channel, numbered from 1. A reader that missed older ones needs only the latest."""

    def __init__(self, head: Moment) -> None:
        self._kept: deque[Notice] = deque(maxlen=_KEPT)
        self._current = Notice(0, stream_pb2.STREAM_CONDITION_LIVE, "", head)

    @property
    def count(self) -> int:
        """Number of the latest notice."""
        return self._current.number

    @property
    def lasting(self) -> Notice | None:
        """What a new subscriber should know; None when all is well."""
        return self._current if self._current.condition in _LASTING else None

    def add(self, condition: Condition, detail: str, moment: Moment) -> None:
        """Takes note of a change; repeating the present condition changes nothing."""
        if condition != self._current.condition:
            self._current = Notice(self._current.number + 1, condition, detail, moment)
            self._kept.append(self._current)

    def since(self, number: int) -> list[Notice]:
        """The notices after the one of that number."""
        return [notice for notice in self._kept if notice.number > number]

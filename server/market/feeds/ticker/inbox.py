"""Where messages wait between pub/sub and the log: bounded, and honest about what it drops."""

from __future__ import annotations

from collections import deque
from typing import Final

from server.market.feeds.metrics import TickerMetrics
from server.market.feeds.ticker.messages import Message

MOST_BYTES: Final = 64 * 1_048_576
"""Payloads that wait together have at most so many bytes."""


class Inbox:
    """Messages in the order of their arrival. Beyond the bounds the oldest go: the newest prices count most.

    `dropped` says that some went since it was last asked.
    """

    def __init__(self, most: int, metrics: TickerMetrics, *, most_bytes: int = MOST_BYTES) -> None:
        self._waiting: deque[Message] = deque()
        self._most = most
        self._most_bytes = most_bytes
        self._bytes = 0
        self._metrics = metrics
        self._dropped = False

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, message: Message) -> None:
        """Adds a message; never waits."""
        self._waiting.append(message)
        self._bytes += len(message.payload)
        while len(self._waiting) > self._most or (self._bytes > self._most_bytes and len(self._waiting) > 1):
            self._bytes -= len(self._waiting.popleft().payload)
            self._metrics.dropped.inc()
            self._dropped = True

    def take(self, most: int) -> list[Message]:
        """Removes and gives the oldest messages, at most so many."""
        taken = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
        self._bytes -= sum(len(message.payload) for message in taken)
        self._metrics.waiting.set(len(self._waiting))
        return taken

    def take_dropped(self) -> bool:
        """Messages were dropped since the last call."""
        dropped, self._dropped = self._dropped, False
        return dropped

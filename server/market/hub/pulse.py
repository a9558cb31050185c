"""When subscribers are served: all with one flush interval get the same cut of a channel and share its bytes."""

from __future__ import annotations

import asyncio
from typing import Protocol

from server.market.hub.journal import Moment

_SLICE = 25
"""Subscribers that are woken before the event loop looks after others: about a millisecond of work."""


class Waiting(Protocol):
    """A subscriber that has nothing to do before the next cut."""

    def offer(self, cut: Moment) -> bool:
        """A new cut is there. -> it woke up, because the cut has something for it."""
        ...


class Pulse:
    """The cuts of one flush interval in seconds; 0: a cut at every entry."""

    def __init__(self, interval: float, head: Moment) -> None:
        self.interval = interval
        self.cut = head
        self.previous = head
        self._waiting: dict[Waiting, None] = {}
        self._offered: dict[Waiting, None] = {}
        self._scheduled = False

    @property
    def waiting(self) -> int:
        """How many subscribers wait for a cut."""
        return len(self._waiting) + len(self._offered.keys() - self._waiting.keys())

    def wait(self, subscriber: Waiting) -> None:
        """The subscriber is offered the next cuts until it wakes up."""
        self._waiting[subscriber] = None

    def leave(self, subscriber: Waiting) -> None:
        """The subscriber is no longer offered anything."""
        self._waiting.pop(subscriber, None)
        self._offered.pop(subscriber, None)

    def fire(self, head: Moment) -> None:
        """Makes the channel's head the cut. Everything before the previous cut is due since then."""
        fresh = head.index > self.cut.index
        self.previous, self.cut = self.cut, head
        if fresh and self._waiting:
            self._offered.update(self._waiting)
            if not self._scheduled:
                self._scheduled = True
                self._serve()

    def _serve(self) -> None:
        for _ in range(min(_SLICE, len(self._offered))):
            subscriber = next(iter(self._offered))
            del self._offered[subscriber]
            if subscriber.offer(self.cut):
                self._waiting.pop(subscriber, None)
        self._scheduled = bool(self._offered)
        if self._scheduled:
            asyncio.get_running_loop().call_soon(self._serve)

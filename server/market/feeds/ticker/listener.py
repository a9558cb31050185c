"""Listens to the publisher: subscribes, again after each loss, and says when messages may be missing."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

from server.domain.errors import Unavailable
from server.market.feeds.metrics import TickerMetrics
from server.market.feeds.ports import Clock
from server.market.feeds.ticker.inbox import Inbox
from server.market.feeds.ticker.messages import Channel, Message
from server.market.supervisor import pause

_TURN_SECONDS: Final = 1.0
_LOG: Final = logging.getLogger("strikeline.feed")


class Subscription(Protocol):
    """Messages of the channels in order (`server.store.pubsub.Subscription`)."""

    async def next(self, timeout: float) -> tuple[str, bytes] | None:
        """Channel and payload; None when none came within the time. Raises Unavailable when it is lost."""


Subscribe = Callable[[], AbstractAsyncContextManager[Subscription]]
"""Subscribes to all channels. Raises Unavailable."""


class Listener:
    """Puts messages into the inbox while it runs. `losses` counts subscriptions that were lost."""

    def __init__(
        self,
        subscribe: Subscribe,
        prefix: str,
        inbox: Inbox,
        clock: Clock,
        metrics: TickerMetrics,
        *,
        lost: Callable[[], None],
    ) -> None:
        self._subscribe = subscribe
        self._channels = {f"{prefix}:{channel}": channel for channel in Channel}
        self._inbox = inbox
        self._clock = clock
        self._metrics = metrics
        self._lost = lost
        self.connections = 0
        """How often a subscription began."""
        self.heard_at = clock.monotonic()
        """When the last message came, by the monotonic clock; at first when this was made."""

    async def run(self) -> None:
        """Listens until it is cancelled; after a loss it subscribes again, later each time."""
        failures = 0
        while True:
            connections = self.connections
            try:
                await self._listen()
            except Unavailable as error:
                failures = 1 if self.connections > connections else failures + 1
                _LOG.warning("the ticker's channels are away: %s", error.message)
            self._metrics.connected.set(0)
            await self._clock.sleep(pause(failures, random.random()))

    async def _listen(self) -> None:
        async with self._subscribe() as subscription:
            self.connections += 1
            self._metrics.connected.set(1)
            try:
                while True:
                    found = await subscription.next(_TURN_SECONDS)
                    if found is not None:
                        self._put(*found)
            except Unavailable:
                self._metrics.reconnects.inc()
                self._lost()
                raise

    def _put(self, name: str, payload: bytes) -> None:
        channel = self._channels.get(name)
        if channel is not None:
            self.heard_at = self._clock.monotonic()
            self._metrics.messages.labels(channel).inc()
            self._inbox.put(Message(channel, payload, self._clock.wall_ns()))

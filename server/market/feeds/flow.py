"""Keeps a feed from running ahead of the worker: bounds what is appended and not committed, and the log's length."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from server.market.feeds.metrics import FeedMetrics
from server.market.feeds.ports import Clock, LogPort, Positions
from server.store.market_log import FIRST_ID, id_key

_POLL_SECONDS: Final = 0.02
_REPORT_SECONDS: Final = 5.0
_LENGTH_EVERY: Final = 256
_LOG: Final = logging.getLogger("strikeline.feed")


@dataclass(frozen=True)
class FlowLimits:
    """`slots` must all have committed an entry before it counts as done; beyond the maxima the feed waits."""

    slots: frozenset[str]
    max_ticks: int
    max_entries: int


class FlowControl:
    """Counts what the worker has not committed. `wait` returns when there is room."""

    def __init__(
        self, log: LogPort, positions: Positions, limits: FlowLimits, clock: Clock, metrics: FeedMetrics
    ) -> None:
        self._log = log
        self._positions = positions
        self._limits = limits
        self._clock = clock
        self._metrics = metrics
        self._pending: deque[tuple[tuple[int, int], int]] = deque()
        self._pending_ticks = 0
        self._since_length = 0

    def sent(self, entry_id: str, ticks: int) -> None:
        """Notes an entry that was appended."""
        self._pending.append((id_key(entry_id), ticks))
        self._pending_ticks += ticks
        self._since_length += 1

    async def wait(self) -> None:
        """Returns when the next entry may be appended; at once while the worker keeps up."""
        if self._near_bound():
            await self.wait_for_room()

    async def wait_for_room(self) -> None:
        """Returns when the worker has committed enough and the log is not full."""
        started = reported = self._clock.monotonic()
        while not await self._has_room():
            await self._clock.sleep(_POLL_SECONDS)
            now = self._clock.monotonic()
            if now - reported >= _REPORT_SECONDS:
                reported = now
                _LOG.warning("the worker lags by %d ticks; the feed waits", self._pending_ticks)
        self._metrics.waited.inc(self._clock.monotonic() - started)

    def _near_bound(self) -> bool:
        return (
            2 * self._pending_ticks > self._limits.max_ticks
            or 2 * len(self._pending) > self._limits.max_entries
            or self._since_length >= _LENGTH_EVERY
        )

    async def _has_room(self) -> bool:
        self._drop_committed(await self._positions())
        self._metrics.ahead.set(self._pending_ticks)
        if self._pending_ticks > self._limits.max_ticks:
            return False
        if await self._log.length() >= self._limits.max_entries:
            return False
        self._since_length = 0
        return True

    def _drop_committed(self, positions: Mapping[str, str]) -> None:
        committed = min((id_key(positions.get(slot, FIRST_ID)) for slot in self._limits.slots), default=(0, 0))
        while self._pending and self._pending[0][0] <= committed:
            self._pending_ticks -= self._pending.popleft()[1]

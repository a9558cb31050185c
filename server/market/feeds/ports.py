"""What the feeds need from outside, as small protocols: a clock, the log, and the worker's committed positions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol


class Clock(Protocol):
    """Wall time, which paces a feed and never enters its data."""

    def wall_ns(self) -> int:
        """Nanoseconds since 1970 UTC."""

    def monotonic(self) -> float:
        """Seconds that only grow, from an arbitrary origin."""

    async def sleep(self, seconds: float) -> None:
        """Waits; 0 lets other tasks run."""


class SystemClock:
    """The machine's clock."""

    def wall_ns(self) -> int:
        """Nanoseconds since 1970 UTC."""
        return time.time_ns()

    def monotonic(self) -> float:
        """Seconds that only grow, from an arbitrary origin."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Waits; 0 lets other tasks run."""
        await asyncio.sleep(seconds)


class LogPort(Protocol):
    """The totally ordered log of market events (`server.store.market_log.MarketLog`)."""

    async def append(self, payloads: Sequence[bytes], *, producer: str = "", sequence: int = 0) -> str:
        """Appends one entry to all shards, one payload for each, under one id, which is returned.

        Repeating a producer's sequence number appends nothing and gives the same id. Raises LogFull.
        """

    async def forget_producer(self, producer: str) -> None:
        """Drops what is remembered of a run that has ended."""

    async def range(self, shard: int, after: str, until: str, count: int) -> list[tuple[str, bytes]]:
        """Entries of a shard with after < id <= until, ascending, at most `count`."""

    async def length(self) -> int:
        """Entries that the log holds."""

    async def last_id(self) -> str:
        """Id of the newest entry, `0-0` when there is none."""


Positions = Callable[[], Awaitable[Mapping[str, str]]]
"""The committed log position of each slot of the worker."""

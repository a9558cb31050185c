"""Time as a dependency, so that tests decide how it passes."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Wall time for heartbeats, expiry and silence; never for results."""

    def monotonic(self) -> float:
        """Seconds that never run backwards."""
        ...

    def wall(self) -> float:
        """Seconds since 1970 UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Returns after that time."""
        ...


class SystemClock:
    """The machine's clock."""

    def monotonic(self) -> float:
        """Seconds that never run backwards."""
        return time.monotonic()

    def wall(self) -> float:
        """Seconds since 1970 UTC."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Returns after that time."""
        await asyncio.sleep(seconds)

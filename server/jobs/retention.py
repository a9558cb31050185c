"""Lets minutes of options go when their time is over."""

from __future__ import annotations

import asyncio
from typing import Protocol

_PAUSE = 3_600.0


class OptionMinutes(Protocol):
    """Where they are kept."""

    async def forget_option_minutes(self, days: int) -> int:
        """Drops what was recorded more than `days` ago. -> how many chunks went."""
        ...


class RetentionJob:
    """Looks once an hour. `days` is how long minutes stay after they were recorded; 0: for ever."""

    def __init__(self, minutes: OptionMinutes, days: int, *, pause: float = _PAUSE) -> None:
        self._minutes = minutes
        self._days = days
        self._pause = pause

    async def run(self) -> None:
        """Works until it is cancelled."""
        while True:
            if self._days:
                await self._minutes.forget_option_minutes(self._days)
            await asyncio.sleep(self._pause)

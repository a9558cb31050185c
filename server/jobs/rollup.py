"""Keeps the larger bars equal to the minute bars."""

from __future__ import annotations

import asyncio
from typing import Protocol

_LIMIT = 200
_PAUSE = 1.0
_SETTLE = 5.0
"""Seconds that a quarter hour is left alone after its last change: a live one changes all the time."""


class Rollups(Protocol):
    """The queue of changed quarter hours."""

    async def roll_up(self, limit: int = 100, settle: float = 0.0) -> int:
        """Rolls up at most `limit` quarter hours. -> how many."""
        ...


class RollupJob:
    """Works the queue off, again and again. Several workers may: the store lets one at a time."""

    def __init__(self, rollups: Rollups, *, pause: float = _PAUSE, settle: float = _SETTLE) -> None:
        self._rollups = rollups
        self._pause = pause
        self._settle = settle

    async def run(self) -> None:
        """Works until it is cancelled."""
        while True:
            if await self._rollups.roll_up(_LIMIT, self._settle) < _LIMIT:
                await asyncio.sleep(self._pause)

"""Removes monitor sessions that are over: nobody sees or follows them any more."""

from __future__ import annotations

import asyncio
from typing import Protocol

_PAUSE = 60.0


class Sessions(Protocol):
    """Where they are kept (`server.store.monitor_sessions.MonitorSessionStore`)."""

    async def forget_expired(self) -> int:
        """Removes those that are over, of all users. -> how many."""
        ...


class MonitorSessionsJob:
    """Looks once a minute."""

    def __init__(self, sessions: Sessions, *, pause: float = _PAUSE) -> None:
        self._sessions = sessions
        self._pause = pause

    async def run(self) -> None:
        """Works until it is cancelled."""
        while True:
            await self._sessions.forget_expired()
            await asyncio.sleep(self._pause)

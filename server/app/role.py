"""What all roles have in common: they live while their context is entered."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from server.settings import Settings


class Role(ABC):
    """A role as an async context manager; what it entered is left in reverse order, also when starting fails."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stack = AsyncExitStack()
        self.metrics_port = 0
        """Loopback port of `/metrics`; 0 without one."""

    async def __aenter__(self) -> Self:
        async with self._stack:
            await self._start()
            self._stack = self._stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.drain()
        await self._stack.aclose()

    async def drain(self) -> None:
        """Finishes what runs before anything is closed. Roles that need nothing of the kind do nothing."""
        return

    @abstractmethod
    async def _start(self) -> None:
        """Enters everything that the role consists of."""

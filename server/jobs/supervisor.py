"""Background tasks of one process: restarted with back-off when they fail, and their state visible."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final

FIRST_DELAY: Final = 0.1
LONGEST_DELAY: Final = 5.0
STABLE_SECONDS: Final = 30.0
"""A task that ran for so long begins anew with the first delay."""

log = logging.getLogger(__name__)


@dataclass
class TaskState:
    """How one task is. `failures` counts since the start; `error` is the last one, empty when there was none."""

    running: bool = False
    failures: int = 0
    error: str = ""


class Supervisor:
    """Runs tasks for as long as its block lasts; leaving it cancels them all and waits for them."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []
        self.states: dict[str, TaskState] = {}

    async def __aenter__(self) -> Supervisor:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def start(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Runs `work` now, and again whenever it fails or ends."""
        state = self.states[name] = TaskState()
        self._tasks.append(asyncio.create_task(self._keep_running(name, work, state), name=name))

    async def _keep_running(self, name: str, work: Callable[[], Awaitable[None]], state: TaskState) -> None:
        delay = FIRST_DELAY
        while True:
            began = time.monotonic()
            state.running = True
            try:
                await work()
            except Exception as error:  # the border: whatever a task dies of, it is said and the task runs again
                log.exception("background task %s failed", name)
                state.failures += 1
                state.error = f"{type(error).__name__}: {error}"
            finally:
                state.running = False
            if time.monotonic() - began > STABLE_SECONDS:
                delay = FIRST_DELAY
            await asyncio.sleep(delay * random.uniform(0.5, 1.5))
            delay = min(delay * 2, LONGEST_DELAY)

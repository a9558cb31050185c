"""Background tasks that must run for ever: a failed one is started again, later each time, and everybody can see it."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Self

from server.domain.errors import Unavailable
from server.market.clock import Clock

_LOG = logging.getLogger(__name__)
_SHORTEST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0


def pause(failures: int, jitter: float) -> float:
    """Seconds before attempt number `failures` + 1; `jitter` in [0, 1) spreads those who wait together."""
    return min(_LONGEST_PAUSE, _SHORTEST_PAUSE * 2.0 ** min(failures - 1, 16)) * (0.5 + jitter / 2)


@dataclass
class TaskState:
    """How a task is: whether it runs, how often it failed in a row, and its last failure for people."""

    name: str
    running: bool = False
    failures: int = 0
    detail: str = ""


class Supervisor:
    """Owns tasks between entering and leaving its context."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tasks: list[asyncio.Task[None]] = []
        self._states: list[TaskState] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    @property
    def states(self) -> tuple[TaskState, ...]:
        """How the tasks are."""
        return tuple(self._states)

    def start(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Runs `work` until the context is left, again and again when it returns or fails."""
        state = TaskState(name)
        self._states.append(state)
        self._tasks.append(asyncio.create_task(self._run(state, work), name=name))

    async def _run(self, state: TaskState, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            state.running = True
            started = self._clock.monotonic()
            await self._attempt(state, work)
            state.running = False
            if self._clock.monotonic() - started > _LONGEST_PAUSE:
                state.failures = 0
            state.failures += 1
            await self._clock.sleep(pause(state.failures, random.random()))

    async def _attempt(self, state: TaskState, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except Unavailable as error:
            # Expected, and no fault of the task's: the error says what is away.
            state.detail = f"{type(error).__name__}: {error}"
            _LOG.warning("task waits: %s", error, extra={"task": state.name})
        except Exception as error:  # noqa: BLE001 - reported, and visible in the state
            state.detail = f"{type(error).__name__}: {error}"
            _LOG.exception("task failed and starts again", extra={"task": state.name})

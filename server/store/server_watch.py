"""What one pool learns of its database server: how long it takes, and whether it answers at all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from server.store.breaker import Breaker
from server.store.database_errors import CONNECTION_LOST
from server.store.timings import StatementTimes

T = TypeVar("T")

PAUSE: Final = 1.0
"""Seconds between two probes of a server that is away: it must be found soon after it is back."""

SILENCE: Final = 1.0
"""Seconds without an answer after which a caller that gives up proves that the server is away."""


class ServerWatch:
    """Counts answers and silence. `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.breaker = Breaker("the database", "DATABASE_UNAVAILABLE", pause=PAUSE, clock=clock)
        self.statements = StatementTimes()
        self.exhausted = 0
        """Callers that were refused because every connection was in use."""
        self._clock = clock

    async def answered(self, statement: str, answer: Awaitable[T]) -> T:
        """The answer to a statement."""
        durations, clock = self.statements.of(statement), self._clock
        began = clock()
        try:
            found = await answer
        except BaseException as error:
            self.failed(error, clock() - began)
            raise
        else:
            self.breaker.succeeded()
            return found
        finally:
            durations.add(clock() - began)

    def failed(self, error: BaseException, seconds: float) -> None:
        """A request to the server ended with that error after so long. An error of the server's is an answer."""
        if isinstance(error, CONNECTION_LOST):
            self.breaker.failed()
        elif isinstance(error, asyncio.CancelledError):
            if seconds >= SILENCE:
                self.breaker.failed()
        else:
            self.breaker.succeeded()

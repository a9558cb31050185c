"""Stops calling a dependency that is away, and finds out by single probes when it is back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Final

from server.domain.errors import Unavailable


class BreakerState(StrEnum):
    """CLOSED: calls pass. OPEN: calls are refused. HALF_OPEN: one probe is under way."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """Opens after `failures` failed calls in a row, for `pause` seconds; then one call probes.

    `reason` is the error reason of refused calls. `clock` gives monotonic seconds. For one event loop.
    """

    def __init__(
        self,
        name: str,
        reason: str,
        *,
        failures: int = 5,
        pause: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name: Final = name
        self._reason: Final = reason
        self._limit: Final = failures
        self._pause: Final = pause
        self._clock: Final = clock
        self._failed = 0
        self._probing = False
        self._next_probe: float | None = None

    @property
    def state(self) -> BreakerState:
        """The state now, for metrics."""
        if self._next_probe is None:
            return BreakerState.CLOSED
        return BreakerState.HALF_OPEN if self._probing else BreakerState.OPEN

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Around one call. Only Unavailable counts as a failure: other errors prove that the dependency answers.

        Raises Unavailable, with the time left, while the breaker is open.
        """
        probe = self.admit()
        try:
            yield
        except Unavailable:
            self.failed()
            raise
        except asyncio.CancelledError:
            if probe:
                self._probing, self._next_probe = False, self._clock()
            raise
        except Exception:
            self.succeeded()
            raise
        else:
            self.succeeded()

    def admit(self) -> bool:
        """A call begins. -> it is a probe: there is one in each pause, whether or not the one before it has ended.

        Raises Unavailable, with the time left, for all others while the breaker is open.
        """
        if self._next_probe is None:
            return False
        now = self._clock()
        left = self._next_probe - now
        if left > 0:
            # Of the reasons that breakers have, this one alone says which dependency it is.
            metadata = {"dependency": self._name} if self._reason == Unavailable.reason else {}
            raise Unavailable(
                f"{self._name} is away", reason=self._reason, metadata=metadata, retry_after=max(left, 1.0)
            )
        self._next_probe = now + self._pause
        self._probing = True
        return True

    def failed(self) -> None:
        """The dependency did not answer."""
        self._failed += 1
        self._probing = False
        if self._failed >= self._limit and self._next_probe is None:
            self._next_probe = self._clock() + self._pause

    def succeeded(self) -> None:
        """The dependency answered."""
        self._failed = 0
        self._next_probe = None
        self._probing = False

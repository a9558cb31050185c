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
        self._opened_at: float | None = None
        self._probing = False

    @property
    def state(self) -> BreakerState:
        """The state now, for metrics."""
        if self._opened_at is None:
            return BreakerState.CLOSED
        return BreakerState.HALF_OPEN if self._probing else BreakerState.OPEN

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Around one call. Only Unavailable counts as a failure: other errors prove that the dependency answers.

        Raises Unavailable, with the time left, while the breaker is open.
        """
        probe = self._admit()
        try:
            yield
        except Unavailable:
            self._fail()
            raise
        except asyncio.CancelledError:
            raise
        except Exception:
            self._succeed()
            raise
        else:
            self._succeed()
        finally:
            if probe:
                self._probing = False

    def _admit(self) -> bool:
        if self._opened_at is None:
            return False
        left = self._opened_at + self._pause - self._clock()
        if left > 0 or self._probing:
            raise Unavailable(f"{self._name} is away", reason=self._reason, retry_after=max(left, 1.0))
        self._probing = True
        return True

    def _fail(self) -> None:
        self._failed += 1
        if self._failed >= self._limit or self._opened_at is not None:
            self._opened_at = self._clock()

    def _succeed(self) -> None:
        self._failed = 0
        self._opened_at = None

"""Stops asking a dependency that does not answer."""

from __future__ import annotations

from collections.abc import Callable


class Breaker:
    """Opens after a row of failures; after a pause one caller at a time may probe whether the dependency is back."""

    def __init__(self, clock: Callable[[], float], *, failures: int = 5, pause: float = 60.0) -> None:
        self._clock = clock
        self._limit = failures
        self._pause = pause
        self._failures = 0
        self._retry_at = float("-inf")

    @property
    def state(self) -> str:
        """`closed`, `open` or `half_open`."""
        if self._failures < self._limit:
            return "closed"
        return "half_open" if self._clock() >= self._retry_at else "open"

    def allows(self) -> bool:
        """Whether the dependency may be asked now. A yes while half open is that caller's probe."""
        if self._failures < self._limit:
            return True
        if self._clock() < self._retry_at:
            return False
        self._retry_at = self._clock() + self._pause
        return True

    def succeeded(self) -> None:
        """The dependency answered."""
        self._failures = 0

    def failed(self) -> None:
        """The dependency did not answer."""
        self._failures += 1
        if self._failures >= self._limit:
            self._retry_at = self._clock() + self._pause

"""The streams and sockets that are open: counted, and told when the gateway goes down."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator


class OpenStreams:
    """Every open stream is registered with a function that ends it."""

    def __init__(self) -> None:
        self._ends: set[Callable[[], None]] = set()
        self.draining = False

    def __len__(self) -> int:
        return len(self._ends)

    @contextlib.contextmanager
    def opened(self, end: Callable[[], None]) -> Iterator[None]:
        """Registers a stream for the block. `end` must only start its end, and may be called once."""
        self._ends.add(end)
        try:
            yield
        finally:
            self._ends.discard(end)

    def drain(self) -> None:
        """Ends all, so that their clients resume elsewhere."""
        self.draining = True
        for end in tuple(self._ends):
            end()

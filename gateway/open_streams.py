"""The streams and sockets that are open: counted, and told when the gateway goes down."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator

_POLL_SECONDS = 0.02


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

    async def drain(self, grace: float) -> None:
        """Ends all, so that their clients resume elsewhere, and waits at most `grace` seconds until they have ended."""
        self.draining = True
        for end in tuple(self._ends):
            end()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                while self._ends:
                    await asyncio.sleep(_POLL_SECONDS)

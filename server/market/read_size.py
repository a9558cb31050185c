"""How many entries of a stream to read at a time, when some are a thousand times as large as others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

READ_BYTES: Final = 2_000_000
"""About as much as is read at a time: more would take Redis and this process too long to pass over."""

_FIRST: Final = 8
"""Entries that are read while their size is not known."""


class ReadSize:
    """Of one reader of one stream: a count that follows the size of the entries that came before."""

    def __init__(self) -> None:
        self._most = _FIRST

    def of(self, count: int) -> int:
        """How many to ask for, at most `count`."""
        return min(count, self._most)

    def learn(self, payloads: Iterable[bytes]) -> None:
        """These were read."""
        sizes = [len(payload) for payload in payloads]
        if sizes:
            self._most = max(1, READ_BYTES * len(sizes) // max(sum(sizes), 1))

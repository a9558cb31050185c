"""Runs of feeds: each has its own market time, so that an older day may follow a newer one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import orjson
from numpy.typing import NDArray

NO_RUN = -1
"""Index of no run: nobody has touched the instrument yet."""

_REMEMBERED = 64
"""Ended runs beyond these are forgotten; nothing asks for them."""


@dataclass
class Run:
    """One run. `index` grows with each start.

    `market_time` is its highest event time, nanoseconds since 1970 UTC; 0 before the first.
    """

    name: str
    source: str
    index: int
    market_time: int = 0
    live: bool = True


class Runs:
    """All runs that the log told of. A run ends by its end marker, or when its source starts another one."""

    def __init__(self) -> None:
        self._runs: dict[str, Run] = {}
        self._next = 0

    def start(self, name: str, source: str) -> Run:
        """A run begins; its source's earlier ones are over. A repeated start changes nothing."""
        known = self._runs.get(name)
        if known is not None:
            return known
        for run in self._runs.values():
            run.live = run.live and run.source != source
        run = self._runs[name] = Run(name, source, self._next)
        self._next += 1
        self._forget()
        return run

    def end(self, name: str) -> Run | None:
        """The run is over; absent when it is not known."""
        run = self._runs.get(name)
        if run is not None:
            run.live = False
        return run

    def advance(self, name: str, source: str, market_time: int) -> Run:
        """Moves the run's market time, which never goes back. A run of unknown start starts here."""
        run = self._runs.get(name) or self.start(name, source)
        run.market_time = max(run.market_time, market_time)
        return run

    def get(self, name: str) -> Run | None:
        """The run of that name; absent when it is not known."""
        return self._runs.get(name)

    def live(self, indices: NDArray[np.signedinteger]) -> NDArray[np.bool_]:
        """Which of the run indices belong to runs that are not over."""
        return np.isin(indices, [run.index for run in self._runs.values() if run.live])

    def family(self, run: Run) -> list[int]:
        """Indices of the run and of its source's runs that are over: it goes on where they stopped."""
        kin = (other for other in self._runs.values() if other.source == run.source and not other.live)
        return sorted({run.index, *(other.index for other in kin)})

    @property
    def next_index(self) -> int:
        """The index of the run that starts next."""
        return self._next

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs.values())

    def dump(self) -> bytes:
        """All runs, for a checkpoint."""
        rows = [[run.name, run.source, run.index, run.market_time, run.live] for run in self._runs.values()]
        return orjson.dumps({"next": self._next, "runs": rows})

    def load(self, payload: bytes) -> None:
        """Replaces all runs by those of a checkpoint."""
        stored = orjson.loads(payload)
        self._next = stored["next"]
        self._runs = {row[0]: Run(*row) for row in stored["runs"]}

    def _forget(self) -> None:
        over = [run.name for run in self._runs.values() if not run.live]
        for name in over[: max(0, len(over) - _REMEMBERED)]:
            del self._runs[name]

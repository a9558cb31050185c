"""Several recordings as one sequence in the order of their event times, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from server.market.records import TICK

_BEFORE_ALL: Final = -(2**62)
_AFTER_ALL: Final = 2**62

Ticks = NDArray[np.void]


class _Recording:
    """What is read and not yet passed on of one recording.

    `keys` are its highest event time so far, so that a late tick stays where its file has it.
    """

    def __init__(self, chunks: Iterator[Ticks]) -> None:
        self._chunks = chunks
        self.ticks: Ticks = np.empty(0, dtype=TICK)
        self.keys = np.empty(0, dtype=np.int64)
        self.exhausted = False
        self.bound = _BEFORE_ALL

    def read(self) -> None:
        """Appends the next chunk; `bound` is what no unread tick comes before."""
        chunk = next(self._chunks, None)
        if chunk is None:
            self.exhausted, self.bound = True, _AFTER_ALL
            return
        keys = np.maximum.accumulate(np.maximum(chunk["event_time"], self.bound))
        self.ticks = np.concatenate((self.ticks, chunk))
        self.keys = np.concatenate((self.keys, keys))
        self.bound = int(keys[-1]) if len(keys) else self.bound

    def take_before(self, key: int) -> tuple[Ticks, NDArray[np.int64]]:
        """Removes the ticks before a key and gives them with their keys."""
        count = int(np.searchsorted(self.keys, key))
        taken = self.ticks[:count], self.keys[:count]
        self.ticks, self.keys = self.ticks[count:], self.keys[count:]
        return taken


def merge(recordings: Sequence[Iterator[Ticks]]) -> Iterator[Ticks]:
    """All ticks by event time; of one event time, in the order of the recordings and of their rows.

    What a recording has late (an event time below an earlier one of its own) follows its predecessor in that recording.
    All ticks of one event time come in one array.
    """
    waiting = [_Recording(chunks) for chunks in recordings]
    while waiting:
        bound = min(recording.bound for recording in waiting)
        taken = [recording.take_before(bound) for recording in waiting]
        ticks = np.concatenate([ticks for ticks, _ in taken])
        if len(ticks):
            yield ticks[np.argsort(np.concatenate([keys for _, keys in taken]), kind="stable")]
        for recording in waiting:
            if recording.bound == bound:
                recording.read()
        waiting = [recording for recording in waiting if len(recording.keys) or not recording.exhausted]

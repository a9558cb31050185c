"""The newest events of a channel, shared by all its readers: a reader's queue is its place in here, not a copy.

Events are kept as columns: what a reader selects by, what conflation keeps one of, and the encoded bytes.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from server.market.hub.position import Position, pack
from server.market.hub.wire import timestamp

Integers = NDArray[np.int64]
Chunks = NDArray[np.object_]
"""Encoded events: each element is the `bytes` of one repeated field of the batch, ready to be joined."""

SUPERSEDED = -1
"""Key of an event that conflation drops."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A place in a channel: `index` entries came before it, it includes everything up to `position`.

    `market_time` is nanoseconds since 1970 UTC; 0 before the first event.
    """

    index: int
    position: Position
    packed: bytes
    market_time: int
    stamp: bytes
    """`market_time` as the body of a Timestamp message; empty for 0."""

    @classmethod
    def of(cls, index: int, position: Position, market_time: int) -> Moment:
        """Encodes the position and the time once for all envelopes that will carry them."""
        return cls(index, position, pack(position), market_time, timestamp(market_time))


@dataclass(frozen=True, slots=True)
class Events:
    """Encoded events of one log entry, in order.

    `items` are the numbers that subscriptions name (instruments, strategies). Of the events with one `keys` value only
    the last survives conflation, of those with `SUPERSEDED` none: they were older than their predecessor. `newest`
    marks those that are their item's present state. `sizes` are bytes, `size` all of them.
    """

    items: Integers
    keys: Integers
    newest: NDArray[np.bool_]
    chunks: Chunks
    sizes: Integers
    size: int

    def __len__(self) -> int:
        return len(self.items)

    @classmethod
    def of(cls, items: Integers, keys: Integers, newest: NDArray[np.bool_], chunks: list[bytes]) -> Events:
        """Columns from a list of encoded events."""
        column = np.empty(len(chunks), dtype=np.object_)
        column[:] = chunks
        sizes = np.fromiter(map(len, chunks), np.int64, len(chunks))
        return cls(items, keys, newest, column, sizes, int(sizes.sum()))

    @classmethod
    def concatenated(cls, parts: list[Events]) -> Events:
        """All events of several entries in their order."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            np.concatenate([part.items for part in parts]),
            np.concatenate([part.keys for part in parts]),
            np.concatenate([part.newest for part in parts]),
            np.concatenate([part.chunks for part in parts]),
            np.concatenate([part.sizes for part in parts]),
            sum(part.size for part in parts),
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """Events that one log entry caused. `after` is the place behind it, `time` the monotonic time of its arrival."""

    after: Moment
    time: float
    serial: int
    events: Events


class Journal:
    """A window over the latest entries, numbered without gaps from `first` to `last` (excluded)."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque()
        self._windows: OrderedDict[tuple[int, int], Events] = OrderedDict()
        self.first = 0
        self.last = 0
        self.event_count = 0
        self.byte_count = 0

    def append(self, entry: Entry) -> None:
        """Adds an entry, whose place must be the next."""
        self._entries.append(entry)
        self.last += 1
        self.event_count += len(entry.events)
        self.byte_count += entry.events.size

    def pop(self) -> Entry:
        """Forgets the oldest entry."""
        entry = self._entries.popleft()
        self.first += 1
        self.event_count -= len(entry.events)
        self.byte_count -= entry.events.size
        return entry

    def entry(self, index: int) -> Entry:
        """The entry of that number, which must still be held."""
        return self._entries[index - self.first]

    def window(self, start: int, end: int) -> Events:
        """The events of the entries from `start` to `end` (excluded, not empty). Readers that are in step share it."""
        events = self._windows.get((start, end))
        if events is None:
            events = Events.concatenated([self.entry(index).events for index in range(start, end)])
            self._windows[(start, end)] = events
            if len(self._windows) > _KEPT_WINDOWS:
                self._windows.popitem(last=False)
        return events

    def forget_windows(self) -> None:
        """Some entry has changed."""
        self._windows.clear()


_KEPT_WINDOWS = 8

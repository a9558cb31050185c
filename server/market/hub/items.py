"""What subscriptions want: sets of item numbers that select rows of event columns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from server.market.hub.journal import SUPERSEDED, Events, Integers


@dataclass(eq=False)
class Selection:
    """The events of a window that one item set wants. `count` events of together `size` bytes."""

    events: Events
    mask: NDArray[np.bool_] | None
    count: int

    @cached_property
    def size(self) -> int:
        """Bytes of the payload."""
        return self.events.size if self.mask is None else int(self.events.sizes[self.mask].sum())

    def fits(self, limit: int) -> bool:
        """The payload has at most `limit` bytes."""
        return self.events.size <= limit or self.size <= limit

    @cached_property
    def payload(self) -> bytes:
        """The events as the body of a batch message, joined once for all who want the same."""
        chunks = self.events.chunks if self.mask is None else self.events.chunks[self.mask]
        return b"".join(chunks.tolist())

    def latest(self) -> Integers:
        """Rows of the last event of each key, in the order of those events."""
        chosen = np.arange(len(self.events)) if self.mask is None else np.flatnonzero(self.mask)
        backwards = self.events.keys[chosen][::-1]
        _, places = np.unique(backwards, return_index=True)
        rows: Integers = chosen[np.sort(len(chosen) - 1 - places)]
        return np.asarray(rows[self.events.keys[rows] != SUPERSEDED], np.int64)


class ItemSet:
    """One distinct set of items. Subscriptions with equal sets share it, and with it what was selected last."""

    def __init__(self, items: frozenset[int], capacity: int) -> None:
        self.items = items
        self.users = 0
        self.numbers: Integers = np.array(sorted(items), dtype=np.int64)
        self._member = np.zeros(capacity, dtype=np.bool_)
        self._member[self.numbers] = True
        self._memo: tuple[Events, Selection] | None = None

    def grow(self, capacity: int) -> None:
        """Makes room for larger item numbers."""
        member = np.zeros(capacity, dtype=np.bool_)
        member[: len(self._member)] = self._member
        self._member = member

    def contains(self, items: NDArray[np.signedinteger]) -> NDArray[np.bool_]:
        """Which of the items are in this set; items beyond its capacity are not."""
        inside = items < len(self._member)
        mask: NDArray[np.bool_] = inside & self._member[np.where(inside, items, 0)]
        return mask

    def select(self, events: Events) -> Selection:
        """The events that this set wants."""
        if self._memo is not None and self._memo[0] is events:
            return self._memo[1]
        mask = self._member[events.items]
        count = int(np.count_nonzero(mask))
        selection = Selection(events, None if count == len(events) else mask, count)
        self._memo = (events, selection)
        return selection


class Wanted:
    """How many open subscriptions want each item: what nobody wants is not encoded."""

    def __init__(self, capacity: int) -> None:
        self._counts = np.zeros(capacity, dtype=np.int32)
        self._sets: dict[frozenset[int], ItemSet] = {}

    @property
    def capacity(self) -> int:
        """Item numbers are below this."""
        return len(self._counts)

    def __len__(self) -> int:
        return len(self._sets)

    def mask(self, items: NDArray[np.signedinteger]) -> NDArray[np.bool_]:
        """Which of the items somebody wants; items beyond the capacity are wanted by nobody."""
        if len(items) and int(items.max()) >= self.capacity:
            inside = items < self.capacity
            return inside & (self._counts[np.where(inside, items, 0)] > 0)
        wanted: NDArray[np.bool_] = self._counts[items] > 0
        return wanted

    def wants(self, item: int) -> bool:
        """Somebody wants the item."""
        return item < self.capacity and bool(self._counts[item])

    def add(self, items: frozenset[int]) -> ItemSet:
        """The set of these items, counted once more."""
        if items and max(items) >= self.capacity:
            self._grow(max(items) + 1)
        found = self._sets.get(items)
        if found is None:
            found = self._sets[items] = ItemSet(items, self.capacity)
        if not found.users:
            self._counts[found.numbers] += 1
        found.users += 1
        return found

    def remove(self, items: ItemSet) -> None:
        """Takes back one `add`."""
        items.users -= 1
        if not items.users:
            self._counts[items.numbers] -= 1
            del self._sets[items.items]

    def _grow(self, needed: int) -> None:
        capacity = max(needed, 2 * self.capacity)
        self._counts = np.pad(self._counts, (0, capacity - self.capacity))
        for items in self._sets.values():
            items.grow(capacity)

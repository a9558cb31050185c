"""One kind of events on its way to subscribers: the newest ones, who reads them, and what a slow reader gets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from server.domain.errors import ResourceExhausted, Unavailable
from server.market.clock import Clock
from server.market.hub.items import ItemSet, Selection, Wanted
from server.market.hub.journal import Chunks, Entry, Events, Integers, Journal, Moment
from server.market.hub.notices import Notices
from server.market.hub.position import ORIGIN, Position
from server.market.hub.pulse import Pulse

FLUSH_INTERVALS = (0.0, 0.05, 0.1, 0.25, 1.0)
"""Seconds between cuts that a client may choose from."""

LARGEST_BATCH = 160_000
"""Bytes of a batch above which it is sent in several, each of whole log entries; gRPC clients accept 4 MB."""

_INITIAL_CAPACITY = 1024


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """What may wait for one reader before it counts as slow: events, bytes, seconds.

    The journal as a whole holds `shared` times as many events and bytes, for readers that want different things.
    """

    events: int
    size: int
    age: float
    shared: int = 20


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """Events and bytes that are held for readers, and how many entries the last of the readers is behind."""

    events: int
    size: int
    behind: int


Restate = Callable[[int, int, list[int], list[bytes]], list[bytes]]
"""Rewrites events that do not stand for themselves, for a reader that missed some of those before them.

Given how many entries it has and will have (`Moment.index`), and items and encodings of the latest events in between.
"""


@dataclass(frozen=True, slots=True)
class Frame:
    """Events for one reader, and the place up to which it then has everything.

    `replaced` counts the events that newer ones of the same key stand for; 0: every event is there.
    """

    selection: Selection | None
    payload: bytes
    events: int
    moment: Moment
    replaced: int = 0

    def body(self) -> bytes:
        """The batch message."""
        return self.payload if self.selection is None else self.selection.payload


@dataclass(frozen=True, slots=True)
class _Lost:
    """Where a reader stood when the journal left it behind: events of its items until then, the next event's number."""

    events: int
    serial: int


@dataclass(eq=False)
class Cursor:
    """A reader's place in the journal."""

    items: ItemSet
    index: int
    lost: _Lost | None = field(default=None)


class Channel:
    """Takes in encoded events and hands each reader those that it wants.

    Not thread-safe; everything happens on one event loop.
    """

    def __init__(self, limits: QueueLimits, clock: Clock, streams: int, largest_batch: int = LARGEST_BATCH) -> None:
        self.wanted = Wanted(_INITIAL_CAPACITY)
        self.head = Moment.of(0, (ORIGIN,) * streams, 0)
        self.notices = Notices(self.head)
        self.pulses = MappingProxyType({interval: Pulse(interval, self.head) for interval in FLUSH_INTERVALS})
        self.epoch = 0
        self.restate: Restate | None = None
        self._limits = limits
        self._largest_batch = largest_batch
        self._clock = clock
        self._journal = Journal()
        self._cursors: set[Cursor] = set()
        self._arrivals: dict[asyncio.Future[None], Position] = {}
        self._serial = 0
        self._settle: Callable[[], None] | None = None
        self._latest = np.empty(_INITIAL_CAPACITY, dtype=np.object_)
        self._last_serial = np.full(_INITIAL_CAPACITY, -1, dtype=np.int64)
        self._counts = np.zeros(_INITIAL_CAPACITY, dtype=np.int64)
        self._evicted = np.zeros(_INITIAL_CAPACITY, dtype=np.int64)

    @property
    def waiting_events(self) -> int:
        """Events in the journal."""
        return self._journal.event_count

    @property
    def depth(self) -> QueueDepth:
        """What waits for readers."""
        behind = max((self.head.index - cursor.index for cursor in self._cursors), default=0)
        return QueueDepth(self._journal.event_count, self._journal.byte_count, behind)

    @property
    def readers(self) -> int:
        """Open cursors."""
        return len(self._cursors)

    def append(
        self, position: Position, market_time: int, events: Events | None, settle: Callable[[], None] | None = None
    ) -> None:
        """The channel has come to `position`; `events` are those of the entry there that somebody wants.

        With `settle`, their `keys` and `newest` are known only later: it is called before anybody needs them, or the
        caller calls `settled` before the next entry.
        """
        market_time = market_time or self.head.market_time
        if events is None or not len(events):
            self.head = Moment.of(self.head.index, position, market_time)
        else:
            self.head = Moment.of(self.head.index + 1, position, market_time)
            self._journal.append(Entry(self.head, self._clock.monotonic(), self._serial, events))
            self._count(events)
            self._settle = settle
            if settle is None:
                self._remember(events)
            self._bound()
        self.pulses[0.0].fire(self.head)
        if self._arrivals:
            self._announce()

    def settled(self, events: Events, keys: Integers, newest: NDArray[np.bool_]) -> None:
        """What `append` did not know yet of the newest entry."""
        self._settle = None
        if not newest.all():
            events.keys[:], events.newest[:] = keys, newest
            self._journal.forget_windows()
        self._remember(events)

    async def reached(self, position: Position, timeout: float = 5.0) -> None:
        """Returns when the channel has come to that position. Raises Unavailable when it does not in time."""
        if _covers(self.head.position, position):
            return
        arrival = asyncio.get_running_loop().create_future()
        self._arrivals[arrival] = position
        try:
            async with asyncio.timeout(timeout):
                await arrival
        except TimeoutError as error:
            raise Unavailable(
                "this server has not yet seen that position", metadata={"dependency": "log"}, retry_after=1.0
            ) from error
        finally:
            self._arrivals.pop(arrival, None)

    def restart(self) -> None:
        """Entries were lost on the way: every reader gets a new snapshot instead of a gap."""
        self.epoch += 1

    def attach(self, items: ItemSet) -> Cursor:
        """A reader that begins with the next entry."""
        cursor = Cursor(items, self.head.index)
        self._cursors.add(cursor)
        return cursor

    def detach(self, cursor: Cursor) -> None:
        """Forgets a reader."""
        self._cursors.discard(cursor)

    def rewind(self, cursor: Cursor) -> None:
        """Lets a reader begin anew with the next entry."""
        cursor.index, cursor.lost = self.head.index, None

    def pending(self, cursor: Cursor, cut: Moment) -> bool:
        """The cut has events for a reader; without any, the reader moves on to it."""
        if cursor.lost is not None:
            return True
        if cursor.index < cut.index and self._select(cursor, cut.index).count:
            return True
        cursor.index = max(cursor.index, cut.index)
        return False

    def take(self, cursor: Cursor, pulse: Pulse, cut: Moment, *, conflate: bool) -> Frame | None:
        """The next frame of a reader on its way to a cut of its pulse, behind which it then stands; None at the cut.

        Raises ResourceExhausted (SLOW_CONSUMER) when it is slow and must not be conflated.
        """
        if cursor.lost is None and cut.index <= cursor.index:
            return None
        if cursor.lost is not None or self._is_slow(cursor, pulse, cut):
            return self._conflated(cursor, cut, conflate=conflate)
        return self._frame(cursor, cut)

    def trim(self) -> None:
        """Forgets entries that are older than any reader may fall behind."""
        oldest = self._clock.monotonic() - self._limits.age - max(FLUSH_INTERVALS)
        end = self._journal.first
        while end < self._journal.last and self._journal.entry(end).time < oldest:
            end += 1
        self._evict(end)

    def _announce(self) -> None:
        for arrival, position in self._arrivals.items():
            if not arrival.done() and _covers(self.head.position, position):
                arrival.set_result(None)

    def _select(self, cursor: Cursor, end: int) -> Selection:
        return cursor.items.select(self._journal.window(cursor.index, end))

    def _is_slow(self, cursor: Cursor, pulse: Pulse, cut: Moment) -> bool:
        due = min(pulse.previous.index, cut.index)
        if cursor.index >= due:
            return False
        age = self._clock.monotonic() - self._journal.entry(cursor.index).time
        backlog = self._select(cursor, due)
        limits = self._limits
        return bool(backlog.count) and (
            age > limits.age + pulse.interval or backlog.count > limits.events or not backlog.fits(limits.size)
        )

    def _frame(self, cursor: Cursor, cut: Moment) -> Frame | None:
        """As many whole entries as fit a batch; None when none of those before the cut is for this reader."""
        start, end = cursor.index, cut
        selection = self._select(cursor, end.index)
        while not selection.fits(self._largest_batch) and end.index - start > 1:
            end = self._journal.entry((start + end.index) // 2 - 1).after
            selection = self._select(cursor, end.index)
        cursor.index = end.index
        if selection.count:
            return Frame(selection, b"", selection.count, end)
        return self._frame(cursor, cut) if end.index < cut.index else None

    def _conflated(self, cursor: Cursor, cut: Moment, *, conflate: bool) -> Frame | None:
        if self._settle is not None:
            self._settle()
        if cursor.lost is not None:
            cut, count, items, chunks = self.head, *self._overtaken(cursor, cursor.lost)
        else:
            selection = self._select(cursor, cut.index)
            rows = selection.latest()
            count, items, chunks = selection.count, selection.events.items[rows], selection.events.chunks[rows]
        if not conflate:
            raise ResourceExhausted(
                "the stream is read too slowly", reason="SLOW_CONSUMER", metadata={"waiting_events": str(count)}
            )
        latest: list[bytes] = chunks.tolist()
        if self.restate is not None:
            latest = self.restate(cursor.index, cut.index, items.tolist(), latest)
        cursor.index, cursor.lost = cut.index, None
        if not latest:
            return None
        return Frame(None, b"".join(latest), len(latest), cut, count - len(latest))

    def _overtaken(self, cursor: Cursor, lost: _Lost) -> tuple[int, Integers, Chunks]:
        numbers = cursor.items.numbers
        count = int(self._counts[numbers].sum()) - lost.events
        changed = numbers[self._last_serial[numbers] >= lost.serial]
        ordered = changed[np.argsort(self._last_serial[changed])]
        return count, ordered, self._latest[ordered]

    def _count(self, events: Events) -> None:
        if len(self._latest) < self.wanted.capacity:
            self._grow(self.wanted.capacity)
        np.add.at(self._counts, events.items, 1)
        self._serial += len(events)

    def _remember(self, events: Events) -> None:
        newest = events.items[events.newest]
        self._latest[newest] = events.chunks[events.newest]
        self._last_serial[newest] = self._serial - len(events) + np.flatnonzero(events.newest)

    def _bound(self) -> None:
        limits, journal = self._limits, self._journal
        most_events, most_bytes = limits.events * limits.shared, limits.size * limits.shared
        while journal.event_count > most_events or journal.byte_count > most_bytes:
            if journal.last - journal.first == 1:
                return
            self._evict(journal.first + 1)

    def _evict(self, end: int) -> None:
        if end == self._journal.first:
            return
        for cursor in self._cursors:
            if cursor.lost is None and cursor.index < end:
                self._leave_behind(cursor)
        while self._journal.first < end:
            np.add.at(self._evicted, self._journal.pop().events.items, 1)

    def _leave_behind(self, cursor: Cursor) -> None:
        first = self._journal.first
        before = int(self._evicted[cursor.items.numbers].sum())
        if cursor.index > first:
            before += cursor.items.select(self._journal.window(first, cursor.index)).count
        cursor.lost = _Lost(before, self._journal.entry(cursor.index).serial)

    def _grow(self, capacity: int) -> None:
        grown = np.empty(capacity, dtype=np.object_)
        grown[: len(self._latest)] = self._latest
        more = capacity - len(self._latest)
        self._latest = grown
        self._last_serial = np.pad(self._last_serial, (0, more), constant_values=-1)
        self._counts = np.pad(self._counts, (0, more))
        self._evicted = np.pad(self._evicted, (0, more))


def _covers(position: Position, other: Position) -> bool:
    return all(mine >= its for mine, its in zip(position, other, strict=True))

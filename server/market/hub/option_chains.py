"""The streams of option chains: every valuation of the chosen strikes, encoded once for all who watch them.

Items are views (an expiry by date or label, and a range of strikes), numbered while somebody follows them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from zlib import crc32

import numpy as np

from server.domain.expiries import LabelledExpiry
from server.market.chain_messages import ChainMessages
from server.market.hub.chain_past import board_at
from server.market.hub.chain_views import (
    NOTHING,
    ChainView,
    Shown,
    Surroundings,
    advance,
    present,
    restated,
    snapshot,
)
from server.market.hub.chains import ChainBoard, ChainChanges, Key
from server.market.hub.channel import Channel, Frame
from server.market.hub.expiry_labels import ExpiryLabels
from server.market.hub.items import ItemSet
from server.market.hub.journal import Events, Moment
from server.market.hub.position import EntryId, Position, replace
from server.market.hub.steps import check_steps_held, entry_before, pages_from, whole, within
from server.market.hub.streams import Entry, Stream
from server.market.hub.wire import EnvelopeLayout
from strikeline.internal.v1 import log_pb2
from strikeline.v1 import option_stream_pb2

CHAIN_METHOD = "strikeline.v1.OptionService/StreamOptionChain"
STRIKE_METHOD = "strikeline.v1.OptionService/StreamStrike"

LARGEST_BATCH = 100_000
"""Bytes of a batch above which it is sent in several. As JSON it is five times as long, and WebSocket clients accept
messages of 1 MiB."""

_REMEMBERED = 512
"""Changes of a view's selection that are remembered for slow readers: minutes, even when each valuation brings one."""


@dataclass
class _Followed:
    """A view that somebody follows; `changes` of what is shown, each with the index of the channel behind it."""

    view: ChainView
    changes: deque[tuple[int, Shown]] = field(default_factory=partial(deque[tuple[int, Shown]], maxlen=_REMEMBERED))
    users: int = 0

    @property
    def shown(self) -> Shown:
        """What was shown last."""
        return self.changes[-1][1]

    def show(self, index: int, shown: Shown) -> None:
        """From that index of the channel on, this is shown."""
        if shown is not self.shown:
            self.changes.append((index, shown))

    def shown_at(self, index: int) -> Shown:
        """What a reader has seen that has so many entries."""
        known = next((shown for since, shown in reversed(self.changes) if since <= index), None)
        return Shown(self.shown.expiry) if known is None else known


@dataclass
class _Step:
    """What one step of an entry shows: events with their items, and what has been shown then."""

    at: int
    events: list[tuple[int, bytes]] = field(default_factory=list)
    shown: dict[int, Shown] = field(default_factory=dict)


class OptionChainsTopic:
    """Passes valuations on. `channel` has one stream for each slot of the worker; the board is kept by the intake."""

    layout = EnvelopeLayout.of(option_stream_pb2.StreamOptionChainResponse.DESCRIPTOR)

    def __init__(self, slots: Sequence[Stream], channel: Channel, board: ChainBoard, labels: ExpiryLabels) -> None:
        self.channel = channel
        self.labels = labels
        self._slots = slots
        self._board = board
        self._numbers: dict[ChainView, int] = {}
        self._followed: dict[int, _Followed] = {}
        self._free: list[int] = []
        channel.restate = self._restated

    @property
    def followed(self) -> int:
        """How many views somebody follows."""
        return len(self._followed)

    def time(self, underlying: str) -> int:
        """Market time up to which the underlying's chains are known; 0 before the first."""
        return self._board.time(underlying)

    def follow(self, view: ChainView) -> int:
        """The item of a view, which is followed until `unfollow`. The labels of its underlying are known."""
        item = self._numbers.get(view)
        if item is None:
            item = self._numbers[view] = self._free.pop() if self._free else len(self._numbers)
            followed = self._followed[item] = _Followed(view)
            around = _around(self._board, self.labels)
            shown = present(view, self._board.time(view.underlying), around)
            followed.changes.append((self.channel.head.index, shown))
        self._followed[item].users += 1
        return item

    def unfollow(self, item: int) -> None:
        """Takes back one `follow`."""
        followed = self._followed[item]
        followed.users -= 1
        if not followed.users:
            del self._followed[item], self._numbers[followed.view]
            self._free.append(item)

    async def learn(self, entry: log_pb2.ChainsEntry) -> None:
        """Reads what the expiries are called whose chains an entry has, where somebody follows them."""
        for name in self._names & {state.key.underlying for state in entry.chains}:
            expiries = [date.fromisoformat(state.key.expiry) for state in entry.chains if state.key.underlying == name]
            await self.labels.refresh(name, expiries, entry.market_time)

    def apply(self, slot: int, place: EntryId, market_time: int, steps: Iterable[ChainChanges]) -> None:
        """Takes in an entry of one slot; the board moves with the steps."""
        for number, step in enumerate(self._shown_by(steps), start=1):
            if step.events:
                position = replace(self.channel.head.position, slot, within(place, number))
                self.channel.append(position, step.at, _events(step.events))
            for item, now in step.shown.items():
                self._followed[item].show(self.channel.head.index, now)
        self.skip(slot, place, market_time)

    def _shown_by(self, steps: Iterable[ChainChanges]) -> list[_Step]:
        """What the steps of an entry show. All of it or, if one fails, nothing is passed on."""
        around = _around(self._board, self.labels)
        latest: dict[int, Shown] = {}
        found: list[_Step] = []
        for changes in steps:
            step = _Step(changes.at)
            for item, view in self._views_of(changes.underlyings, self._followed):
                before = latest.get(item, self._followed[item].shown)
                updates, latest[item] = advance(view, before, changes, around)
                step.shown[item] = latest[item]
                step.events += ((item, update) for update in updates)
            found.append(step)
        return found

    def skip(self, slot: int, place: EntryId, market_time: int = 0) -> None:
        """The slot's log up to a place says no more."""
        self.channel.append(replace(self.channel.head.position, slot, whole(place)), market_time, None)

    def retain(self, items: ItemSet) -> None:
        """They are followed already."""

    def release(self, items: ItemSet) -> None:
        """They are followed until `unfollow`."""

    async def prepare(self, items: ItemSet) -> None:
        """The board has every chain anyway."""

    def snapshot(self, items: ItemSet) -> list[bytes]:
        """The present chain of each view that has one."""
        around = _around(self._board, self.labels)
        chosen = (self._followed[item] for item in items.numbers.tolist())
        shown = (
            snapshot(it.view, it.shown, self._board.time(it.view.underlying), around) for it in chosen
        )  # fmt: skip
        return [event for event in shown if event is not None]

    async def check_held(self, position: Position) -> None:
        """Raises OutOfRange when valuations behind the position are gone."""
        for stream, place in zip(self._slots, position, strict=True):
            await check_steps_held(stream, place)

    async def replay(self, after: Position, until: Position, items: ItemSet) -> AsyncIterator[Frame]:
        """The valuations between two positions, slot by slot: an underlying belongs to one slot."""
        position = after
        for slot, stream in enumerate(self._slots):
            names = {name for name in self._names if slot_of(name, len(self._slots)) == slot}
            views = dict(self._views_of(names, items.numbers.tolist()))
            if not views or after[slot] >= until[slot]:
                continue
            past = await self._past(slot, entry_before(after[slot]), views)
            async for page in pages_from(stream, after[slot], until[slot]):
                chunks: list[bytes] = []
                market_time = 0
                for here, at, events in past.steps(page):
                    if not after[slot] < here:
                        continue
                    position, market_time = replace(position, slot, here), at
                    chunks += events
                    if sum(map(len, chunks)) >= LARGEST_BATCH:
                        yield Frame(None, b"".join(chunks), len(chunks), Moment.of(-1, position, market_time))
                        chunks = []
                if chunks:
                    yield Frame(None, b"".join(chunks), len(chunks), Moment.of(-1, position, market_time))

    @property
    def _names(self) -> set[str]:
        return {followed.view.underlying for followed in self._followed.values()}

    def _views_of(self, underlyings: Collection[str], items: Iterable[int]) -> list[tuple[int, ChainView]]:
        """Those of the items that are about some underlyings, in an order that does not depend on their numbers."""
        views = ((item, self._followed[item].view) for item in items)
        chosen = ((item, view) for item, view in views if view.underlying in underlyings)
        return sorted(chosen, key=lambda pair: (pair[1].underlying, pair[1].item))

    async def _past(self, slot: int, place: EntryId, views: Mapping[int, ChainView]) -> _Past:
        """The views as they were at a place of a slot's log."""
        names = {view.underlying for view in views.values()}

        def is_enough(board: ChainBoard) -> bool:
            around = _around(board, self.labels)
            return all(present(view, board.time(view.underlying), around) is not NOTHING for view in views.values())

        board = await board_at(self._slots[slot], place, self._board, names, is_enough)
        return _Past(board, self.labels, views)

    def _restated(self, index: int, _: int, items: list[int], events: list[bytes]) -> list[bytes]:
        """Events for a reader that has so many entries: compared with what it was shown last."""
        shown = {item: self._followed[item].shown_at(index) for item in set(items)}
        told = []
        for item, event in zip(items, events, strict=True):
            other, shown[item] = restated(event, shown[item])
            told.append(other)
        return told


class _Past:
    """Views on the way from an earlier place of the log."""

    def __init__(self, board: ChainBoard, labels: ExpiryLabels, views: Mapping[int, ChainView]) -> None:
        self._board = board
        self._around = _around(board, labels)
        self._views = views
        self._shown = {item: self._begin(view) for item, view in views.items()}

    def steps(self, page: list[Entry]) -> Iterator[tuple[EntryId, int, list[bytes]]]:
        """What the next entries show, as they did when they were live: place, market time and events of each step."""
        for place, payloads in page:
            entry = log_pb2.ChainsEntry.FromString(payloads[0])
            for number, changes in enumerate(self._board.apply(place, entry), start=1):
                yield within(place, number), changes.at, self._advance(changes)
            yield whole(place), entry.market_time, []

    def _advance(self, changes: ChainChanges) -> list[bytes]:
        events: list[bytes] = []
        for item, view in self._views.items():
            if view.underlying in changes.underlyings:
                updates, self._shown[item] = advance(view, self._shown[item], changes, self._around)
                events += updates
        return events

    def _begin(self, view: ChainView) -> Shown:
        shown = present(view, self._board.time(view.underlying), self._around)
        return Shown(view.expiry) if shown is NOTHING and view.expiry is not None else shown


def slot_of(underlying: str, slots: int) -> int:
    """The slot that keeps an underlying's chains; see `server.domain.instruments.shard_of`."""
    return crc32(underlying.encode()) % slots


def _around(board: ChainBoard, labels: ExpiryLabels) -> Surroundings:
    def find(key: Key) -> ChainMessages | None:
        return board.messages(*key)

    def called(underlying: str, at: int) -> Sequence[LabelledExpiry]:
        return labels.at(underlying, at)

    return Surroundings(find, called)


def _events(events: list[tuple[int, bytes]]) -> Events | None:
    if not events:
        return None
    items = np.array([item for item, _ in events], dtype=np.int64)
    last = {item: place for place, (item, _) in enumerate(events)}
    newest = np.array([last[item] == place for place, (item, _) in enumerate(events)], dtype=np.bool_)
    return Events.of(items, items.copy(), newest, [event for _, event in events])

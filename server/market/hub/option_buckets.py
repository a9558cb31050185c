"""The stream of closed buckets of options: minutes as the worker publishes them, longer ones folded from them.

Items are underlyings, numbered by this process. An underlying is folded while somebody follows it, beginning with what
the log still tells and with what is stored before that, so that every replica closes the same buckets.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np

from server.domain.calendar import MarketCalendar
from server.domain.timeframes import MINUTE_NS, Timeframe
from server.market.chains import MinuteChain
from server.market.hub.bucket_folding import Bucket, BucketFolder, stored_rows
from server.market.hub.bucket_messages import bucket_message
from server.market.hub.chains import ChainBoard
from server.market.hub.channel import Channel, Frame
from server.market.hub.expiry_labels import ExpiryLabels
from server.market.hub.items import ItemSet
from server.market.hub.journal import Events, Moment
from server.market.hub.option_chains import LARGEST_BATCH, slot_of
from server.market.hub.position import ORIGIN, EntryId, Position, replace
from server.market.hub.streams import PAGE, Stream, check_held
from server.market.hub.wire import EnvelopeLayout, delimited, key_of
from strikeline.internal.v1 import log_pb2
from strikeline.v1 import option_stream_pb2

METHOD = "strikeline.v1.OptionService/StreamOptionBuckets"
TIMEFRAMES = ("1min", "5min", "15min")

_BUCKET = key_of(option_stream_pb2.ExpiryBucketBatch.DESCRIPTOR, "buckets")


@dataclass(frozen=True, slots=True)
class Pieces:
    """Reads what is stored of buckets that have begun; see `server.store.option_pieces.OptionPieceStore`."""

    of_contracts: Callable[[Sequence[int], int, int], Awaitable[Mapping[int, Mapping[str, float | int | None]]]]
    minutes: Callable[[str, Sequence[date], int, int], Awaitable[Mapping[date, int]]]


@dataclass(frozen=True, slots=True)
class BucketSources:
    """Where buckets come from: the chains logs by slot, chains as they are now, stored minutes, and calendars."""

    logs: Sequence[Stream]
    board: ChainBoard
    labels: ExpiryLabels
    pieces: Pieces
    calendar_of: Callable[[int], MarketCalendar]


@dataclass(frozen=True, slots=True)
class _Told:
    """An entry of the log, as far as it is about one underlying."""

    place: EntryId
    run: str
    market_time: int
    minutes: list[MinuteChain]


@dataclass
class _Followed:
    """An underlying that somebody follows. `folder` is None until its past is known; `lost`: not known any more.

    `newest` has the newest bucket of each expiry, encoded, with the index of the channel behind it.
    """

    name: str
    users: int = 0
    folder: BucketFolder | None = None
    lost: bool = False
    newest: dict[date, tuple[int, bytes]] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class OptionBucketsTopic:
    """Closed buckets of one timeframe. `channel` has one stream for each slot of the worker."""

    layout = EnvelopeLayout.of(option_stream_pb2.StreamOptionBucketsResponse.DESCRIPTOR)

    def __init__(self, timeframe: Timeframe, channel: Channel, sources: BucketSources) -> None:
        self.channel = channel
        self._timeframe = timeframe
        self._sources = sources
        self._numbers: dict[str, int] = {}
        self._followed: dict[int, _Followed] = {}
        channel.restate = self._restated

    @property
    def timeframe(self) -> str:
        """Length of its buckets."""
        return self._timeframe.name

    def follow(self, underlying: str) -> int:
        """The item of an underlying, which is followed until `unfollow`. Its labels are known."""
        item = self._numbers.setdefault(underlying, len(self._numbers))
        self._followed.setdefault(item, _Followed(underlying)).users += 1
        return item

    def unfollow(self, item: int) -> None:
        """Takes back one `follow`."""
        self._followed[item].users -= 1
        if not self._followed[item].users:
            del self._followed[item]

    def forget(self) -> None:
        """Entries were trimmed away unread: what is folded may lack some of them."""
        for followed in self._followed.values():
            followed.lost = followed.lost or followed.folder is not None
            followed.folder = None

    async def recover(self, entry: log_pb2.ChainsEntry) -> None:
        """Folds anew what `forget` has forgotten, before the next entry is taken in."""
        for followed in [it for it in self._followed.values() if it.lost]:
            told = _told(followed.name, ORIGIN, entry)
            async with followed.lock:
                await self._catch_up(followed, min((it.open_time for it in told.minutes), default=entry.market_time))
                followed.lost = False

    async def apply(self, slot: int, place: EntryId, entry: log_pb2.ChainsEntry) -> None:
        """Takes in an entry of one slot; the board has it already."""
        done: set[int] = set()
        events: list[tuple[int, date, bytes]] = []
        while fresh := [item for item in self._ready(slot) if item not in done]:
            done.update(fresh)
            closed = [(item, bucket) for item in fresh for bucket in self._fold(self._followed[item], place, entry)]
            for item, bucket in closed:
                events.append((item, bucket.key[1], self._encoded(bucket)))
                # A minute of a whole market must not keep subscribers and calls waiting.
                await asyncio.sleep(0)
        position = replace(self.channel.head.position, slot, place)
        self.channel.append(position, entry.market_time, _events([(item, event) for item, _, event in events]))
        for item, expiry, event in events:
            if item in self._followed:
                self._followed[item].newest[expiry] = (self.channel.head.index, event)

    def skip(self, slot: int, place: EntryId) -> None:
        """The slot's log up to a place says no more."""
        self.channel.append(replace(self.channel.head.position, slot, place), 0, None)

    def retain(self, items: ItemSet) -> None:
        """They are followed already."""

    def release(self, items: ItemSet) -> None:
        """They are followed until `unfollow`."""

    async def prepare(self, items: ItemSet) -> None:
        """Reads what of the present buckets was told before their underlyings were followed."""
        for item in items.numbers.tolist():
            followed = self._followed[item]
            async with followed.lock:
                if followed.folder is None:
                    await self._catch_up(followed, self._sources.board.time(followed.name))

    def snapshot(self, items: ItemSet) -> list[bytes]:
        """The newest bucket of each expiry."""
        return self._newest(items.numbers.tolist(), -1, self.channel.head.index)

    async def check_held(self, position: Position) -> None:
        """Raises OutOfRange when buckets behind the position are gone."""
        for stream, place in zip(self._sources.logs, position, strict=True):
            await check_held(stream, place)

    async def replay(self, after: Position, until: Position, items: ItemSet) -> AsyncIterator[Frame]:
        """The buckets that closed between two positions, slot by slot: an underlying belongs to one slot."""
        position = after
        for slot in range(len(self._sources.logs)):
            names = [self._followed[item].name for item in items.numbers.tolist() if self._slot(item) == slot]
            closed: list[tuple[EntryId, int, Bucket]] = []
            for name in names:
                folder, told = await self._past(slot, name, until[slot], self._sources.board.time(name))
                for it in told:
                    buckets = folder.apply(it.run, it.market_time, it.minutes)
                    if after[slot] < it.place:
                        closed += ((it.place, it.market_time, bucket) for bucket in buckets)
            chunks: list[bytes] = []
            for number, (place, market_time, bucket) in enumerate(sorted(closed, key=lambda item: item[0])):
                chunks.append(self._encoded(bucket))
                position = replace(position, slot, place)
                is_last = number + 1 == len(closed)
                if is_last or (sum(map(len, chunks)) >= LARGEST_BATCH and closed[number + 1][0] != place):
                    yield Frame(None, b"".join(chunks), len(chunks), Moment.of(-1, position, market_time))
                    chunks = []

    def _slot(self, item: int) -> int:
        return slot_of(self._followed[item].name, len(self._sources.logs))

    def _ready(self, slot: int) -> list[int]:
        return [item for item, it in self._followed.items() if it.folder is not None and self._slot(item) == slot]

    def _fold(self, followed: _Followed, place: EntryId, entry: log_pb2.ChainsEntry) -> list[Bucket]:
        told = _told(followed.name, place, entry)
        return [] if followed.folder is None else followed.folder.apply(told.run, told.market_time, told.minutes)

    def _encoded(self, bucket: Bucket) -> bytes:
        underlying, expiry = bucket.key
        labelled = self._sources.labels.at(underlying, bucket.chain.open_time)
        labels = next((item.labels for item in labelled if item.expiry == expiry), ())
        live = self._sources.board.get(underlying, expiry)
        ladder = np.empty(0) if live is None else live.strikes
        message = bucket_message(bucket, self._timeframe.name, labels, ladder)
        return delimited(_BUCKET, message.SerializeToString())

    def _newest(self, items: Iterable[int], after: int, upto: int) -> list[bytes]:
        """The newest bucket of each expiry, where it came between two indices of the channel, in order."""
        newest = [known for item in items for known in self._followed[item].newest.values()]
        found = [known for known in newest if after < known[0] <= upto]
        return [event for _, event in sorted(found, key=lambda known: known[0])]

    async def _catch_up(self, followed: _Followed, now: int) -> None:
        """Folds what the log still tells, up to where the channel has come to. `now` is market time there."""
        slot = slot_of(followed.name, len(self._sources.logs))
        head = self.channel.head.position[slot]
        folder, told = await self._past(slot, followed.name, head, now)
        while True:
            for it in told:
                for bucket in folder.apply(it.run, it.market_time, it.minutes):
                    followed.newest[bucket.key[1]] = (self.channel.head.index, self._encoded(bucket))
            if head == self.channel.head.position[slot]:
                break
            before, head = head, self.channel.head.position[slot]
            told = await self._read(slot, followed.name, before, head)
        followed.folder = folder

    async def _past(self, slot: int, name: str, until: EntryId, now: int) -> tuple[BucketFolder, list[_Told]]:
        """A folder as it was where the log begins, and what the log tells of an underlying up to a place."""
        told = await self._read(slot, name, ORIGIN, until)
        folder = BucketFolder(self._timeframe, self._sources.calendar_of)
        times = [minute.open_time for it in told for minute in it.minutes]
        begin = min(times, default=now // MINUTE_NS * MINUTE_NS)
        if begin:
            await self._begin(folder, name, begin)
        return folder, told

    async def _begin(self, folder: BucketFolder, name: str, minute: int) -> None:
        """Gives a folder what is stored of the buckets that a minute lies in, without that minute."""
        for expiry, found in dict(self._sources.board.of(name)).items():
            rows = found.chain.rows
            ids = [number for side in ("call", "put") for number in rows[side]["instrument"].tolist() if number > 0]
            start = folder.start_of(ids[0], minute) if ids else None
            if start is None or start >= minute:
                continue
            stored = await self._sources.pieces.of_contracts(ids, start, minute)
            counts = await self._sources.pieces.minutes(name, [expiry], start, minute)
            if stored:
                folder.begin((name, expiry), start, stored_rows(rows, stored), counts.get(expiry, 0))

    async def _read(self, slot: int, name: str, after: EntryId, until: EntryId) -> list[_Told]:
        told: list[_Told] = []
        while after < until:
            page = await self._sources.logs[slot].range(after, until, PAGE)
            if not page:
                break
            told += (_told(name, place, log_pb2.ChainsEntry.FromString(payloads[0])) for place, payloads in page)
            after = page[-1][0]
        return told

    def _restated(self, index: int, upto: int, items: list[int], _: list[bytes]) -> list[bytes]:
        """What a reader gets instead of several buckets: the newest one of each expiry, not of each underlying."""
        return self._newest(dict.fromkeys(items), index, upto)


def _told(name: str, place: EntryId, entry: log_pb2.ChainsEntry) -> _Told:
    minutes = [MinuteChain.parse(minute) for minute in entry.minutes if minute.key.underlying == name]
    return _Told(place, entry.run, entry.market_time, minutes)


def _events(events: list[tuple[int, bytes]]) -> Events | None:
    if not events:
        return None
    items = np.array([item for item, _ in events], dtype=np.int64)
    newest = np.ones(len(items), dtype=np.bool_)
    return Events.of(items, items.copy(), newest, [event for _, event in events])

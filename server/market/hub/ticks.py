"""The stream of ticks: the log's batches, encoded once for those instruments that somebody wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from server.market.book import Book
from server.market.hub.channel import LARGEST_BATCH, Channel, Frame
from server.market.hub.directory import Directory
from server.market.hub.items import ItemSet
from server.market.hub.journal import SUPERSEDED, Events, Moment
from server.market.hub.position import EntryId, Position
from server.market.hub.streams import Stream, check_held, pages
from server.market.hub.tick_codec import encode_ticks
from server.market.hub.wire import EnvelopeLayout
from server.market.records import ABSENT, DEPTH, TICK
from strikeline.internal.v1 import log_pb2
from strikeline.v1 import market_data_service_pb2

Rows = NDArray[np.void]

METHOD = "strikeline.v1.MarketDataService/StreamTicks"
MONITOR_METHOD = "strikeline.v1.MarketDataService/StreamMonitor"

_TURNS_OF_CLIENTS = 2
"""Turns of the event loop before the book's: a pulse wakes some clients in each, and more turns would make a crowd of
clients hold up the next entry."""


def ticks_of(entries: list[log_pb2.LogEntry]) -> Rows:
    """The ticks of one log entry, given its part of each shard, in the order of their source."""
    parts = [np.frombuffer(entry.ticks, TICK) for entry in entries]
    if len(parts) == 1:
        return parts[0]
    ticks = np.concatenate(parts)
    return ticks[np.argsort(ticks["row"], kind="stable")]


def depths_of(entries: list[log_pb2.LogEntry]) -> Rows:
    """The depths of one log entry, given its part of each shard."""
    return np.concatenate([np.frombuffer(entry.depths, DEPTH) for entry in entries])


@dataclass(frozen=True, slots=True)
class _Unsettled:
    """A log entry that was passed on and is not in the book yet; `events` are those of its `wanted` ticks."""

    run: str
    source: str
    market_time: int
    ticks: Rows
    depths: Rows
    wanted: NDArray[np.bool_]
    events: Events | None


class TicksTopic:
    """Keeps the book of latest ticks and passes ticks on. `log` is the merged log, the only stream of `channel`."""

    layout = EnvelopeLayout.of(market_data_service_pb2.StreamTicksResponse.DESCRIPTOR)

    def __init__(self, log: Stream, channel: Channel, book: Book, directory: Directory) -> None:
        self.channel = channel
        self._log = log
        self._book = book
        self._directory = directory
        self._unsettled: _Unsettled | None = None

    async def apply(self, place: EntryId, entries: list[log_pb2.LogEntry]) -> Rows:
        """Takes in a log entry with ticks, given its part of each shard. -> its order books, which the book has."""
        ticks, depths, head = ticks_of(entries), depths_of(entries), entries[0]
        if len(ticks):
            ticks = ticks[await self._directory.learn(ticks["instrument"])]
        if len(depths):
            depths = depths[await self._directory.learn(depths["instrument"])]
        market_time = max(entry.market_time for entry in entries)
        wanted = self.channel.wanted.mask(ticks["instrument"])
        events = self._events(ticks[wanted])
        self._unsettled = _Unsettled(head.run, head.source, market_time, ticks, depths, wanted, events)
        self.channel.append((place,), market_time, events, self.settle)
        # Who waits for these ticks is served first; then the book has a turn of the event loop's time.
        for _ in range(_TURNS_OF_CLIENTS):
            await asyncio.sleep(0)
        self.settle()
        return depths

    def settle(self) -> None:
        """Brings the book up to the newest entry."""
        if self._unsettled is None:
            return
        it, self._unsettled = self._unsettled, None
        moved = self._book.apply(it.run, it.source, it.market_time, it.ticks, it.depths)
        if it.events is not None:
            newest = moved[it.wanted]
            self.channel.settled(it.events, np.where(newest, it.events.items, SUPERSEDED), newest)

    def _events(self, ticks: Rows) -> Events | None:
        if not len(ticks):
            return None
        items = ticks["instrument"].astype(np.int64)
        chunks = encode_ticks(ticks, self._directory.key)
        return Events.of(items, items.copy(), np.ones(len(items), np.bool_), chunks)

    def retain(self, items: ItemSet) -> None:
        """The book has every instrument anyway."""

    def release(self, items: ItemSet) -> None:
        """The book has every instrument anyway."""

    async def prepare(self, items: ItemSet) -> None:
        """The book has every instrument anyway."""

    def snapshot(self, items: ItemSet) -> list[bytes]:
        """The latest tick of each instrument that has one, ordered by event time."""
        self.settle()
        records = self._book.records
        rows = records[items.numbers[items.numbers < len(records)]]
        rows = rows[rows["event_time"] != ABSENT]
        rows = rows[np.lexsort((rows["row"], rows["event_time"]))]
        return encode_ticks(rows, self._directory.key)

    async def check_held(self, position: Position) -> None:
        """Raises OutOfRange when ticks behind the position are gone."""
        await check_held(self._log, position[0])

    async def replay(self, after: Position, until: Position, items: ItemSet) -> AsyncIterator[Frame]:
        """The ticks between two positions."""
        chunks: list[bytes] = []
        size = 0
        moment = None
        async for page in pages(self._log, after[0], until[0]):
            for place, payloads in page:
                entries = [log_pb2.LogEntry.FromString(payload) for payload in payloads]
                fresh = await self._encoded(entries, items)
                moment = Moment.of(-1, (place,), max(entry.market_time for entry in entries))
                chunks += fresh
                size += sum(map(len, fresh))
                if size >= LARGEST_BATCH:
                    yield Frame(None, b"".join(chunks), len(chunks), moment)
                    chunks, size = [], 0
            if chunks and moment is not None:
                yield Frame(None, b"".join(chunks), len(chunks), moment)
                chunks, size = [], 0

    async def _encoded(self, entries: list[log_pb2.LogEntry], items: ItemSet) -> list[bytes]:
        ticks = ticks_of(entries)
        ticks = ticks[items.contains(ticks["instrument"])]
        if not len(ticks):
            return []
        return encode_ticks(ticks[await self._directory.learn(ticks["instrument"])], self._directory.key)

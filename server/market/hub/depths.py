"""The stream of order books: encoded once for those instruments that somebody wants, with their analysis or without."""

from __future__ import annotations

from collections.abc import AsyncIterator

import numpy as np
from numpy.typing import NDArray

from server.domain.calendar import NANOSECONDS
from server.market.book import Book
from server.market.depth_messages import DepthAnalyses, books_of_records, depth_of
from server.market.hub.channel import Channel, Frame
from server.market.hub.directory import Directory
from server.market.hub.items import ItemSet
from server.market.hub.journal import SUPERSEDED, Events, Moment
from server.market.hub.position import EntryId, Position
from server.market.hub.streams import Stream, check_held, pages
from server.market.hub.ticks import depths_of
from server.market.hub.wire import EnvelopeLayout, delimited, key_of
from server.market.records import ABSENT
from strikeline.internal.v1 import log_pb2
from strikeline.v1 import depth_pb2

Rows = NDArray[np.void]

METHOD = "strikeline.v1.MarketDataService/StreamDepth"

_BOOK_KEY = key_of(depth_pb2.DepthBatch.DESCRIPTOR, "books")


class DepthTopic:
    """Passes order books on. `log` is the merged log, the only stream of `channel`; `book` keeps the newest ones."""

    layout = EnvelopeLayout.of(depth_pb2.StreamDepthResponse.DESCRIPTOR)

    def __init__(self, log: Stream, channel: Channel, book: Book, directory: Directory, *, analysis: bool) -> None:
        self.channel = channel
        self._log = log
        self._book = book
        self._directory = directory
        self._analysis = analysis

    def apply(self, place: EntryId, market_time: int, depths: Rows) -> None:
        """Takes in the order books of a log entry; the book has them already, and the directory their instruments."""
        wanted = depths[self.channel.wanted.mask(depths["instrument"])]
        self.channel.append((place,), market_time, self._events(wanted) if len(wanted) else None)

    def retain(self, items: ItemSet) -> None:
        """The book has every instrument anyway."""

    def release(self, items: ItemSet) -> None:
        """The book has every instrument anyway."""

    async def prepare(self, items: ItemSet) -> None:
        """The book has every instrument anyway."""

    def snapshot(self, items: ItemSet) -> list[bytes]:
        """The newest order book of each instrument that has one, ordered by event time."""
        depths = self._book.depths
        rows = depths[items.numbers[items.numbers < len(depths)]]
        rows = rows[rows["event_time"] != ABSENT]
        return self._encoded(rows[np.lexsort((rows["row"], rows["event_time"]))])

    async def check_held(self, position: Position) -> None:
        """Raises OutOfRange when books behind the position are gone."""
        await check_held(self._log, position[0])

    async def replay(self, after: Position, until: Position, items: ItemSet) -> AsyncIterator[Frame]:
        """The books between two positions."""
        async for page in pages(self._log, after[0], until[0]):
            chunks: list[bytes] = []
            market_time = 0
            for _, payloads in page:
                entries = [log_pb2.LogEntry.FromString(payload) for payload in payloads]
                market_time = max(entry.market_time for entry in entries)
                depths = depths_of(entries)
                depths = depths[items.contains(depths["instrument"])]
                if len(depths):
                    chunks += self._encoded(depths[await self._directory.learn(depths["instrument"])])
            if chunks:
                moment = Moment.of(-1, (page[-1][0],), market_time)
                yield Frame(None, b"".join(chunks), len(chunks), moment)

    def _events(self, depths: Rows) -> Events:
        items = depths["instrument"].astype(np.int64)
        known = self._book.depths[items]
        newest = (known["event_time"] == depths["event_time"]) & (known["row"] == depths["row"])
        return Events.of(items, np.where(newest, items, SUPERSEDED), newest, self._encoded(depths))

    def _encoded(self, depths: Rows) -> list[bytes]:
        if not len(depths):
            return []
        books = books_of_records(depths)
        instruments = [self._directory.known_instrument(number) for number in depths["instrument"].tolist()]
        analyses = DepthAnalyses(instruments, books) if self._analysis else None
        chunks = []
        for row, event_time in enumerate(depths["event_time"].tolist()):
            if analyses is None:
                message = depth_pb2.DepthAnalysis(instrument=instruments[row].key, depth=depth_of(books, row))
            else:
                message = analyses.message(row)
            message.event_time.seconds, message.event_time.nanos = divmod(event_time, NANOSECONDS)
            chunks.append(delimited(_BOOK_KEY, message.SerializeToString()))
        return chunks

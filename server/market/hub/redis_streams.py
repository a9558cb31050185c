"""The store's logs as streams of the hub.

What cannot be read would stop every reader for ever. It is passed over: in its place stand empty payloads, of which
nothing comes. The worker makes a dead letter of an entry of the log; of its own output this process's log tells alone.
"""

from __future__ import annotations

import logging

from google.protobuf.message import DecodeError, Message

from server.market.entries import Entry as LogEntry
from server.market.entries import EntryUnreadable
from server.market.hub.position import EntryId
from server.market.hub.streams import Entry
from server.market.read_size import ReadSize
from server.market.record_fields import cut_off_fields
from server.store.market_log import MarketLog, OutputLog

_LOG = logging.getLogger(__name__)


class ShardedLog:
    """The log that the worker acts on. All shards have the same ids, appended at once: the first one leads."""

    def __init__(self, log: MarketLog, shards: int) -> None:
        self._log = log
        self._shards = shards
        self._size = ReadSize()

    async def read(self, after: EntryId, count: int, block: float) -> list[Entry]:
        """See Stream."""
        first = await self._log.read(0, str(after), self._size.of(count), round(block * 1_000))
        self._size.learn(payload for _, payload in first)
        return await self._joined(after, first)

    async def range(self, after: EntryId, until: EntryId, count: int) -> list[Entry]:
        """See Stream."""
        first = await self._log.range(0, str(after), str(until), self._size.of(count))
        self._size.learn(payload for _, payload in first)
        return await self._joined(after, first)

    async def first_id(self) -> EntryId | None:
        """See Stream."""
        return _parsed(await self._log.first_id())

    async def last_id(self) -> EntryId:
        """See Stream."""
        return EntryId.parse(await self._log.last_id())

    async def is_whole(self) -> bool:
        """See Stream."""
        return await self._log.is_whole()

    async def _joined(self, after: EntryId, first: list[tuple[str, bytes]]) -> list[Entry]:
        if self._shards == 1 or not first:
            return [(EntryId.parse(place), _readable(place, (payload,))) for place, payload in first]
        last, count = first[-1][0], len(first)
        others = [await self._log.range(shard, str(after), last, count) for shard in range(1, self._shards)]
        parts = [dict(first), *map(dict, others)]
        places = [place for place, _ in first if all(place in part for part in parts)]
        return [(EntryId.parse(place), _readable(place, tuple(part[place] for part in parts))) for place in places]


class SlotLog:
    """What one slot of the worker publishes: messages of one type."""

    def __init__(self, log: OutputLog, message: type[Message]) -> None:
        self._log = log
        self._message = message
        self._size = ReadSize()

    async def read(self, after: EntryId, count: int, block: float) -> list[Entry]:
        """See Stream."""
        return self._entries(await self._log.read(str(after), self._size.of(count), round(block * 1_000)))

    async def range(self, after: EntryId, until: EntryId, count: int) -> list[Entry]:
        """See Stream."""
        return self._entries(await self._log.range(str(after), str(until), self._size.of(count)))

    async def first_id(self) -> EntryId | None:
        """See Stream."""
        return _parsed(await self._log.first_id())

    async def last_id(self) -> EntryId:
        """See Stream."""
        return EntryId.parse(await self._log.last_id())

    async def is_whole(self) -> bool:
        """See Stream."""
        return await self._log.is_whole()

    def _entries(self, answer: list[tuple[str, bytes]]) -> list[Entry]:
        self._size.learn(payload for _, payload in answer)
        return [(EntryId.parse(place), (self._readable(place, payload),)) for place, payload in answer]

    def _readable(self, place: str, payload: bytes) -> bytes:
        try:
            cut_off = list(cut_off_fields(self._message.FromString(payload)))
        except DecodeError as error:
            _LOG.error("entry %s is no %s and is passed over: %s", place, self._message.DESCRIPTOR.name, error)
            return b""
        if cut_off:
            _LOG.error("entry %s has records that are cut off and is passed over: %s", place, ", ".join(cut_off))
            return b""
        return payload


def _readable(place: str, payloads: tuple[bytes, ...]) -> tuple[bytes, ...]:
    try:
        LogEntry.parse(place, payloads)
    except EntryUnreadable as error:
        _LOG.error("log entry is passed over: %s", error)
        return (b"",) * len(payloads)
    return payloads


def _parsed(place: str | None) -> EntryId | None:
    return None if place is None else EntryId.parse(place)

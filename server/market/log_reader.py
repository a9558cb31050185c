"""Reads the log for one slot: one shard, or all of them merged by id."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from server.market.entries import Entry, EntryUnreadable
from server.market.read_size import ReadSize
from server.store.market_log import id_key

_LOG = logging.getLogger(__name__)


class Log(Protocol):
    """What is read: streams of (id, payload), one for each shard."""

    async def read(self, shard: int, after_id: str, count: int, block_ms: int = 0) -> list[tuple[str, bytes]]:
        """At most `count` entries behind `after_id`; waits up to `block_ms` for the first one."""
        ...

    async def range(self, shard: int, after: str, until: str, count: int) -> list[tuple[str, bytes]]:
        """At most `count` entries behind `after` up to and including `until`."""
        ...


class Unread(Protocol):
    """Where payloads go that cannot be read (`server.market.dead_letters.DeadLetters`)."""

    async def put(
        self, source: str, place: str, reason: str, payload: bytes, received_ns: int, *, once: str = ""
    ) -> None:
        """Keeps one, of the same `once` only the first."""
        ...


class ShardsDisagree(Exception):
    """An entry is missing from a shard, although entries are appended to all shards at once."""


class LogReader:
    """Entries of some shards. Every entry is on every shard under the same id, so the first shard leads.

    How many are read at a time depends on the size of those before. What cannot be read is passed over, and goes to
    `unread`, once for all the slots that meet it.
    """

    def __init__(self, log: Log, shards: Sequence[int], unread: Unread | None = None) -> None:
        self._log = log
        self._shards = tuple(shards)
        self._unread = unread
        self._size = ReadSize()

    async def read(self, after_id: str, count: int, block_ms: int) -> list[Entry]:
        """At most `count` entries behind `after_id`; waits up to `block_ms` for the first one.

        Raises ShardsDisagree.
        """
        first, *others = self._shards
        leading = await self._log.read(first, after_id, self._size.of(count), block_ms)
        if not leading:
            return []
        self._size.learn(payload for _, payload in leading)
        ids = [entry_id for entry_id, _ in leading]
        columns = [[payload for _, payload in leading]]
        for shard in others:
            rows = await self._log.range(shard, after_id, ids[-1], len(ids))
            if [entry_id for entry_id, _ in rows] != ids:
                raise ShardsDisagree(f"shards {first} and {shard} differ behind {after_id}")
            columns.append([payload for _, payload in rows])
        return [await self._parsed(entry_id, parts) for entry_id, *parts in zip(ids, *columns, strict=True)]

    async def _parsed(self, entry_id: str, parts: Sequence[bytes]) -> Entry:
        """The entry. One that cannot be read is passed over: it would stop the slot for ever."""
        try:
            return Entry.parse(entry_id, parts)
        except EntryUnreadable as error:
            _LOG.exception("log entry is passed over")
            await self._bury(entry_id, parts, str(error))
            return Entry.nothing(entry_id)

    async def _bury(self, entry_id: str, parts: Sequence[bytes], reason: str) -> None:
        if self._unread is None:
            return
        appended_ns = id_key(entry_id)[0] * 1_000_000
        for shard, part in zip(self._shards, parts, strict=True):
            if not _readable(entry_id, part):
                place = f"{entry_id} of shard {shard}"
                await self._unread.put("log", place, reason, part, appended_ns, once=f"log:{shard}:{entry_id}")


def _readable(entry_id: str, part: bytes) -> bool:
    try:
        Entry.parse(entry_id, [part])
    except EntryUnreadable:
        return False
    return True

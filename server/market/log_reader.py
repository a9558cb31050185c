"""Reads the log for one slot: one shard, or all of them merged by id."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from server.market.entries import Entry, EntryUnreadable

_LOG = logging.getLogger(__name__)


class Log(Protocol):
    """What is read: streams of (id, payload), one for each shard."""

    async def read(self, shard: int, after_id: str, count: int, block_ms: int = 0) -> list[tuple[str, bytes]]:
        """At most `count` entries behind `after_id`; waits up to `block_ms` for the first one."""
        ...

    async def range(self, shard: int, after: str, until: str, count: int) -> list[tuple[str, bytes]]:
        """At most `count` entries behind `after` up to and including `until`."""
        ...


class ShardsDisagree(Exception):
    """An entry is missing from a shard, although entries are appended to all shards at once."""


class LogReader:
    """Entries of some shards. Every entry is on every shard under the same id, so the first shard leads."""

    def __init__(self, log: Log, shards: Sequence[int]) -> None:
        self._log = log
        self._shards = tuple(shards)

    async def read(self, after_id: str, count: int, block_ms: int) -> list[Entry]:
        """At most `count` entries behind `after_id`; waits up to `block_ms` for the first one.

        Raises ShardsDisagree.
        """
        first, *others = self._shards
        leading = await self._log.read(first, after_id, count, block_ms)
        if not leading:
            return []
        ids = [entry_id for entry_id, _ in leading]
        columns = [[payload for _, payload in leading]]
        for shard in others:
            rows = await self._log.range(shard, after_id, ids[-1], len(ids))
            if [entry_id for entry_id, _ in rows] != ids:
                raise ShardsDisagree(f"shards {first} and {shard} differ behind {after_id}")
            columns.append([payload for _, payload in rows])
        return [_parsed(entry_id, parts) for entry_id, *parts in zip(ids, *columns, strict=True)]


def _parsed(entry_id: str, parts: Sequence[bytes]) -> Entry:
    """The entry. One that cannot be read is passed over: it would stop the slot for ever."""
    try:
        return Entry.parse(entry_id, parts)
    except EntryUnreadable:
        _LOG.exception("log entry is passed over")
        return Entry.nothing(entry_id)

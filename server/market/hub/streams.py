"""Redis streams as the hub sees them: entries after a place, and whether a place is still held."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from server.domain.errors import OutOfRange
from server.market.hub.position import ORIGIN, EntryId

PAGE = 200
"""Entries of one read."""

Entry = tuple[EntryId, tuple[bytes, ...]]
"""Id of an entry, and its payload in each shard; a stream without shards has one."""


class Stream(Protocol):
    """One Redis stream of entries."""

    async def read(self, after: EntryId, count: int, block: float) -> list[Entry]:
        """The next entries behind a place, waiting up to `block` seconds for the first."""
        ...

    async def range(self, after: EntryId, until: EntryId, count: int) -> list[Entry]:
        """The entries behind one place up to and including another, at most `count` of them."""
        ...

    async def first_id(self) -> EntryId | None:
        """The oldest entry that is held."""
        ...

    async def last_id(self) -> EntryId:
        """The newest entry that there ever was; ORIGIN for none."""
        ...

    async def is_whole(self) -> bool:
        """No entry was ever removed."""
        ...


async def held(stream: Stream, place: EntryId) -> bool:
    """Everything behind the place can still be read: it is the newest one, or itself still there."""
    newest = await stream.last_id()
    if place == newest:
        return True
    if place == ORIGIN:
        return await stream.is_whole()
    first = await stream.first_id()
    return place < newest and first is not None and first <= place


async def check_held(stream: Stream, place: EntryId) -> None:
    """Raises OutOfRange (RESUME_TOKEN_EXPIRED) when entries behind the place are gone."""
    if not await held(stream, place):
        raise expired()


def expired() -> OutOfRange:
    """The error of a position that is no longer held."""
    return OutOfRange("the position is no longer held: start again without the token", reason="RESUME_TOKEN_EXPIRED")


async def pages(stream: Stream, after: EntryId, until: EntryId) -> AsyncIterator[list[Entry]]:
    """The entries behind one place up to and including another.

    Raises OutOfRange (RESUME_TOKEN_EXPIRED) when entries are trimmed away meanwhile.
    """
    while after < until:
        page = await stream.range(after, until, PAGE)
        await check_held(stream, after)
        if not page:
            return
        yield page
        after = page[-1][0]

"""Places within entries of a log: one that spans market time is delivered in steps, and resumed behind any of them.

A place of a channel with steps is an entry id with room for a step number: `whole` entries come behind all their steps.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from server.market.hub.position import ORIGIN, EntryId
from server.market.hub.streams import Entry, Stream, check_held, expired, pages

_BITS = 16
_ALL = (1 << _BITS) - 1
_LAST_NUMBER = 2**32 - 1


def whole(entry: EntryId) -> EntryId:
    """The place behind an entry."""
    return EntryId(entry.milliseconds, entry.number << _BITS | _ALL)


def within(entry: EntryId, steps: int) -> EntryId:
    """The place behind so many steps of an entry, from 1."""
    return EntryId(entry.milliseconds, entry.number << _BITS | steps)


def entry_before(place: EntryId) -> EntryId:
    """The id behind which reading must begin, to go on at a place."""
    if place == ORIGIN:
        return ORIGIN
    milliseconds, number, steps = place.milliseconds, place.number >> _BITS, place.number & _ALL
    if steps == _ALL:
        return EntryId(milliseconds, number)
    return EntryId(milliseconds, number - 1) if number else EntryId(milliseconds - 1, _LAST_NUMBER)


def entry_upto(place: EntryId) -> EntryId:
    """The id of the last entry of which something lies before a place."""
    return ORIGIN if place == ORIGIN else EntryId(place.milliseconds, place.number >> _BITS)


def is_within(place: EntryId) -> bool:
    """The place lies within an entry."""
    return place != ORIGIN and place.number & _ALL != _ALL


async def check_steps_held(stream: Stream, place: EntryId) -> None:
    """Raises OutOfRange (RESUME_TOKEN_EXPIRED) when something behind a place is gone."""
    if not is_within(place):
        await check_held(stream, entry_upto(place))
    elif not await stream.range(entry_before(place), entry_upto(place), 1):
        raise expired()


async def pages_from(stream: Stream, after: EntryId, until: EntryId) -> AsyncIterator[list[Entry]]:
    """The entries of which something lies between two places.

    Raises OutOfRange (RESUME_TOKEN_EXPIRED) when entries are trimmed away meanwhile.
    """
    if is_within(after):
        begun = await stream.range(entry_before(after), entry_upto(after), 1)
        if not begun:
            raise expired()
        yield begun
    async for page in pages(stream, entry_upto(after), entry_upto(until)):
        yield page

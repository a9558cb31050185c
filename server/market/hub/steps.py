"""Places within entries of a log: one that spans market time is delivered in steps, and resumed behind any of them.

A place of a channel with steps is an entry id with room for a step number: `whole` entries come behind all their steps.
"""

from __future__ import annotations

from server.market.hub.position import ORIGIN, EntryId

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

"""What was known of chains at an earlier place of a log: where a resumed stream stood."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable

from server.market.hub.chains import ChainBoard
from server.market.hub.position import EntryId
from server.market.hub.streams import PAGE, Entry, Stream
from strikeline.internal.v1 import log_pb2

_LOOKS_BACK = (2_000, 8_000, 32_000, 128_000)
"""Milliseconds of the log before the place that are read, until enough is known. A chain that is traded is valued
several times a second."""


async def board_at(
    stream: Stream,
    place: EntryId,
    live: ChainBoard,
    underlyings: Iterable[str],
    is_enough: Callable[[ChainBoard], bool],
) -> ChainBoard:
    """The chains of some underlyings as they were at a place, as far as the log still tells.

    What has not changed since then is taken from the live board. The instruments of the entries are known.
    """
    names = tuple(underlyings)
    board = live.forked(names, place)
    for span in _LOOKS_BACK:
        start = EntryId(max(0, place.milliseconds - span), 0)
        board = live.forked(names, place)
        async for before, payloads in _between(stream, start, place):
            board.take(before, log_pb2.ChainsEntry.FromString(payloads[0]))
        first = await stream.first_id()
        if is_enough(board) or first is None or start < first:
            break
    return board


async def _between(stream: Stream, after: EntryId, until: EntryId) -> AsyncIterator[Entry]:
    while after < until:
        page = await stream.range(after, until, PAGE)
        for entry in page:
            yield entry
        if not page:
            return
        after = page[-1][0]

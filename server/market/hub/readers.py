"""Reading Redis streams for ever: nothing is read twice, and nothing is left out unnoticed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from server.domain.errors import Unavailable
from server.market.clock import Clock
from server.market.hub.position import ORIGIN, EntryId
from server.market.hub.streams import PAGE, Stream, held
from server.market.hub.streams import Entry as StreamEntry
from server.market.supervisor import pause

BLOCK = 0.5
"""Seconds that one read waits for the next entry."""

_LONG_SILENCE = 20.0
"""Seconds between two reads after which entries may have been trimmed away unread."""


class Health(Protocol):
    """Who wants to know whether what is needed answers."""

    def away(self, reader: str) -> None:
        """Reading failed."""
        ...

    def back(self, reader: str) -> None:
        """Reading works."""
        ...


@dataclass(frozen=True, slots=True)
class Source:
    """A stream and what is done with it.

    `skip` is told of a place up to which everything is known or gone, at start. `lost` is called when entries were
    trimmed away before they were read.
    """

    name: str
    stream: Stream
    handle: Callable[[EntryId, tuple[bytes, ...]], Awaitable[None]]
    skip: Callable[[EntryId], None]
    lost: Callable[[], None]


class Reader:
    """Reads one stream from `place` on, in one task that is supervised; it goes on where it stopped."""

    def __init__(self, source: Source, place: EntryId, health: Health, clock: Clock) -> None:
        self.place = place
        self._source = source
        self._health = health
        self._clock = clock
        self._failures = 0
        self._read_at = clock.monotonic()

    async def newest(self) -> EntryId:
        """The place of the newest entry that there is; the reader's own while what it reads is away."""
        try:
            return max(self.place, await self._source.stream.last_id())
        except Unavailable:
            self._health.away(self._source.name)
            return self.place

    async def catch_up(self, until: EntryId) -> None:
        """Handles the entries up to a place. What is away is left to `run`."""
        self._source.skip(self.place)
        stream = self._source.stream
        while self.place < until and await self._take(stream.range(self.place, until, PAGE)):
            pass
        if self.place < until and not self._failures:
            # The newest entries are trimmed already, and what they said is in the database.
            self.place = until
            self._source.skip(until)

    async def run(self) -> None:
        """Reads until it is cancelled."""
        while True:
            await self._take(self._source.stream.read(self.place, PAGE, BLOCK))

    async def _take(self, reading: Awaitable[list[StreamEntry]]) -> bool:
        """One read and what follows from it. -> there were entries. Waits a little when something is away."""
        try:
            entries = await reading
            await self._look_for_loss()
            for place, payloads in entries:
                await self._source.handle(place, payloads)
                self.place = place
                # A backlog must not keep subscribers and calls waiting.
                await asyncio.sleep(0)
        except Unavailable:
            self._failures += 1
            self._health.away(self._source.name)
            await self._clock.sleep(pause(self._failures, random.random()))
            return False
        self._failures = 0
        self._health.back(self._source.name)
        return bool(entries)

    async def _look_for_loss(self) -> None:
        now = self._clock.monotonic()
        suspicious = self._failures > 0 or now - self._read_at > _LONG_SILENCE
        self._read_at = now
        if suspicious and self.place != ORIGIN and not await held(self._source.stream, self.place):
            if await self._source.stream.last_id() < self.place:
                self.place = ORIGIN  # Redis lost its data: what it has is all new
            self._source.lost()

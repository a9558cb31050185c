"""One run of the ticker feed: listens, decodes, appends to the log, and keeps its books."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from server.domain.calendar import NANOSECONDS, MarketCalendar, exchange_date
from server.domain.errors import StrikelineError, Unavailable
from server.market.feeds.directory import Directory
from server.market.feeds.ports import Clock
from server.market.feeds.ticker.batches import Placed, depths_of, ticks_of
from server.market.feeds.ticker.decoder import Decoder
from server.market.feeds.ticker.following import Following
from server.market.feeds.ticker.inbox import Inbox
from server.market.feeds.ticker.listener import Listener
from server.market.feeds.ticker.outages import OutageLog
from server.market.feeds.writer import BatchWriter, Ticks
from server.store.feed_runs import OutageReason

_SLICE: Final = 256
_MOST_A_BATCH: Final = 4_096
_END_SECONDS: Final = 2.0
_KEEP_SECONDS: Final = 1.0
_SAVE_EVERY: Final = 5
_GIVE_UP_SECONDS: Final = 60.0
_SILENT_SECONDS: Final = 30.0
_CLOSED_AFTER_NS: Final = 10 * NANOSECONDS
_LOG: Final = logging.getLogger("strikeline.feed")


@dataclass(frozen=True)
class TickerParts:
    """What a run is made of."""

    inbox: Inbox
    listener: Listener
    decoder: Decoder
    directory: Directory
    writer: BatchWriter
    outages: OutageLog
    following: Following
    calendar: MarketCalendar
    clock: Clock


@dataclass(frozen=True)
class TickerTiming:
    """Seconds: between batches; and of the publisher's silence after which the run gives no sign of life itself."""

    flush_interval: float
    stale_after: float


class Ticker:
    """Runs until cancelled. With a publisher that is silent in a session the run is silent too: streams then say so."""

    def __init__(self, parts: TickerParts, timing: TickerTiming) -> None:
        self._parts = parts
        self._timing = timing
        self._ticked_at = parts.clock.monotonic()
        self._newest = 0

    async def run(self) -> None:
        """Runs until cancelled, or until log or master were away for too long, which raises Unavailable."""
        parts = self._parts
        await parts.outages.start()
        await parts.writer.start()
        try:
            async with asyncio.TaskGroup() as group:
                for work in (parts.listener.run, self._pump, self._keep):
                    group.create_task(_forever(work))
        except ExceptionGroup as failed:
            expected, others = failed.split(StrikelineError)
            if expected is None or others is not None:
                raise
            raise expected.exceptions[0] from None
        finally:
            async with asyncio.timeout(_END_SECONDS):
                await parts.writer.end()
                await parts.outages.save(ended=True)

    async def _pump(self) -> None:
        while True:
            if not await self.turn():
                await self._parts.clock.sleep(self._timing.flush_interval)

    async def turn(self) -> bool:
        """Appends what waits, or a sign of life. -> more messages wait already."""
        parts = self._parts
        if parts.inbox.take_dropped():
            parts.outages.lost(OutageReason.OVERFLOWED)
        placed: list[Placed] = []
        while len(placed) < _MOST_A_BATCH and (messages := parts.inbox.take(_SLICE)):
            placed += await parts.decoder.placed(messages)
            # Decoding takes time, and the listener must not wait for all of it.
            await asyncio.sleep(0)
        if placed:
            await self._send(placed)
        else:
            await self._idle()
        return len(parts.inbox) >= _SLICE

    async def _send(self, placed: list[Placed]) -> None:
        parts = self._parts
        ticks, depths = ticks_of(placed), depths_of(placed)
        await self._known(ticks)
        self._newest = max(self._newest, int(ticks["event_time"].max()))
        self._follow_clock()
        parts.outages.heard(item.event_time for item in placed)
        await parts.writer.send(parts.directory.instruments(ticks), parts.directory.instruments(depths))
        self._ticked_at = parts.clock.monotonic()

    async def _known(self, ticks: Ticks) -> None:
        """Makes instruments known to the master; while the database is away, messages wait in the inbox."""
        clock, directory = self._parts.clock, self._parts.directory
        started, day = clock.monotonic(), exchange_date(int(ticks["event_time"].max()))
        while True:
            try:
                await directory.resolve(day)
                await directory.seen(day, ticks["instrument"])
            except Unavailable as error:
                if clock.monotonic() - started > _GIVE_UP_SECONDS:
                    raise
                _LOG.warning("the instrument master is away: %s", error.message)
                await clock.sleep(1.0)
            else:
                return

    async def _idle(self) -> None:
        parts = self._parts
        over = self._session_over()
        if over is not None:
            await parts.writer.advance(over)
        elif parts.clock.monotonic() - parts.listener.heard_at < self._timing.stale_after or not self._in_session():
            self._follow_clock()
            await parts.writer.beat()

    def _follow_clock(self) -> None:
        """Lets market time follow the clock within the newest second of a source that gives whole seconds.

        Whatever waits for market time to pass would wait for the next second otherwise. Of a source that is behind
        the clock, as a recording is, market time stays where its ticks are. So it does outside of sessions: what is
        stamped with a close is of that instant.
        """
        newest, now = self._newest, self._parts.clock.wall_ns()
        if self._parts.calendar.session_at(newest) is None:
            return
        if newest % NANOSECONDS == 0 and newest <= now < newest + self._timing.stale_after * NANOSECONDS:
            passed = min(now, newest + NANOSECONDS - 1)
            self._parts.writer.market_time = max(self._parts.writer.market_time, passed)

    def _in_session(self) -> bool:
        return self._parts.calendar.session_at(self._parts.clock.wall_ns()) is not None

    def _session_over(self) -> int | None:
        """A second behind the session that market time is in, when clock and silence say that nothing more will come.

        The closing instant is part of the session: what is stamped with it counts until market time is beyond it.
        """
        parts = self._parts
        newest = parts.writer.market_time
        session = (parts.calendar.session_at(newest) or parts.calendar.session_at(newest - 1)) if newest else None
        silent = parts.clock.monotonic() - self._ticked_at >= _SILENT_SECONDS
        if session is None or not silent or parts.clock.wall_ns() < session.close_ns + _CLOSED_AFTER_NS:
            return None
        return session.close_ns + NANOSECONDS

    async def _keep(self) -> None:
        """Follows subscriptions, tells the publisher of them, and puts outages on record."""
        parts, turn, told = self._parts, 0, 0
        while True:
            try:
                if parts.listener.connections != told:
                    told = parts.listener.connections
                    await parts.following.repeat(parts.clock.wall_ns())
                await parts.following.renew(parts.clock.wall_ns())
            except StrikelineError as error:
                _LOG.warning("feed subscriptions are not renewed: %s", error.message)
            if turn % _SAVE_EVERY == 0:
                await parts.outages.save()
            turn += 1
            await parts.clock.sleep(_KEEP_SECONDS)


async def _forever(work: Callable[[], Awaitable[None]]) -> None:
    await work()

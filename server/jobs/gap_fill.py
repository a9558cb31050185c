"""Fills what backfills ask for: one instrument's day at a time, each claimed, so that several workers share the work.

A worker that dies leaves a claim that runs out, and another one goes on. Filling a minute twice changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from server.brokers.market_data import HistoryBars, MarketDataSource, SourceRefused
from server.domain.calendar import MarketCalendar, calendar_of, to_nanoseconds
from server.domain.errors import Unavailable
from server.domain.gaps import Minutes, Stretch, missing_minutes, session_minutes
from server.domain.instruments import Instrument
from server.domain.timeframes import MINUTE_NS, ONE_MINUTE
from server.store.backfills import BackfillDay
from server.store.feed_runs import KnownOutage

_PAUSE: Final = 1.0
_LEASE_SHARE: Final = 0.8
_SETTLE_SECONDS: Final = 60
_RETRY_SECONDS: Final = 5.0
_LOG: Final = logging.getLogger("strikeline.backfill")


class Days(Protocol):
    """Days to be filled (`server.store.backfills.BackfillStore`)."""

    async def claim(self, owner: str, lease: float) -> BackfillDay | None:
        """The next day that nobody works on, for `lease` seconds."""

    async def note(self, day: BackfillDay, missing: int) -> None:
        """So many minutes are missing."""

    async def finish(self, day: BackfillDay, lacking: int) -> None:
        """The day is done; the source lacks so many of the missing minutes."""

    async def fail(self, day: BackfillDay, description: str) -> None:
        """The day cannot be filled."""

    async def retry(self, day: BackfillDay, description: str, pause: float) -> None:
        """The day is tried again in `pause` seconds."""


class Instruments(Protocol):
    """The instrument master."""

    async def by_numbers(self, numbers: Sequence[int]) -> list[Instrument]:
        """Those that exist."""


class Stored(Protocol):
    """Minutes that have bars (`server.store.gaps.StoredMinutes`)."""

    async def minutes(self, instrument_id: int, start: int, end: int) -> list[int]:
        """When each bar begins in [start, end), nanoseconds."""


class Outages(Protocol):
    """What feeds may have missed (`server.store.feed_runs.FeedRunStore`)."""

    async def between(self, start_ns: int, end_ns: int) -> list[KnownOutage]:
        """Outages that overlap [start, end)."""


class HistoryLog(Protocol):
    """The log, as a way for past minutes into the bars (`server.market.feeds.history_writer.HistoryWriter`)."""

    async def fill(self, instrument: Instrument, day: HistoryBars, minutes: Minutes) -> int:
        """Appends those of the day's bars that begin the minutes. -> how many, once the worker has stored them."""


class WallClock(Protocol):
    """Wall time: minutes that are not over cannot be filled."""

    def wall(self) -> float:
        """Seconds since 1970 UTC."""

    async def sleep(self, seconds: float) -> None:
        """Returns after that time."""


@dataclass(frozen=True)
class GapFillPorts:
    """What the job works with. `calendars` are by name."""

    days: Days
    instruments: Instruments
    stored: Stored
    outages: Outages
    source: MarketDataSource
    log: HistoryLog
    calendars: Mapping[str, MarketCalendar]


class GapFill:
    """Works off the days of all backfills, again and again. `lease` is how many seconds a claim holds."""

    def __init__(self, ports: GapFillPorts, owner: str, lease: float, clock: WallClock) -> None:
        self._ports = ports
        self._owner = owner
        self._lease = lease
        self._clock = clock

    async def run(self) -> None:
        """Works until it is cancelled."""
        while True:
            if not await self.step():
                await self._clock.sleep(_PAUSE)

    async def step(self) -> bool:
        """Works on one day. -> there was one."""
        day = await self._ports.days.claim(self._owner, self._lease)
        if day is None:
            return False
        try:
            async with asyncio.timeout(self._lease * _LEASE_SHARE):
                lacking = await self._fill(day)
        except SourceRefused as error:
            await self._ports.days.fail(day, error.message)
        except Unavailable as error:
            _LOG.warning("backfill %s, %s: %s", day.backfill, day.day, error.message)
            await self._ports.days.retry(day, error.message, error.retry_after or _RETRY_SECONDS)
        except TimeoutError:
            await self._ports.days.retry(day, "the source took too long", _RETRY_SECONDS)
        else:
            await self._ports.days.finish(day, lacking)
        return True

    async def _fill(self, day: BackfillDay) -> int:
        """-> how many of the missing minutes the source lacks."""
        (instrument,) = await self._ports.instruments.by_numbers([day.instrument_id])
        minutes = session_minutes(self._calendar(instrument).session_on(day.day))
        missing = await self._missing(day, minutes) if len(minutes) else minutes
        if not len(missing):
            return 0
        await self._ports.days.note(day, len(missing))
        # From the day's first minute on: volumes are cumulative, so those before a gap count.
        until = int(missing[-1]) + MINUTE_NS
        bars = await self._ports.source.history(instrument, int(minutes[0]), until, ONE_MINUTE)
        return len(missing) - await self._ports.log.fill(instrument, bars, missing)

    async def _missing(self, day: BackfillDay, minutes: Minutes) -> Minutes:
        start, end = int(minutes[0]), int(minutes[-1]) + MINUTE_NS
        known = await self._ports.stored.minutes(day.instrument_id, start, end)
        outages = [(item.started_at, item.ended_at) for item in await self._ports.outages.between(start, end)]
        return missing_minutes(minutes, known, outages, self._within(day.start, day.end))

    def _within(self, start: datetime, end: datetime) -> Stretch:
        # The worker may not have stored a live minute yet that has only just passed.
        now = (int(self._clock.wall()) - _SETTLE_SECONDS) * 1_000_000_000
        return to_nanoseconds(start), min(to_nanoseconds(end), now)

    def _calendar(self, instrument: Instrument) -> MarketCalendar:
        try:
            return self._ports.calendars[calendar_of(instrument.exchange)]
        except (ValueError, KeyError) as error:
            raise SourceRefused(f"the market of {instrument.key} has no calendar") from error

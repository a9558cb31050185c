"""Looks for gaps and begins backfills for them: outages of feeds, and holes in what is subscribed to."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final, Protocol

from server.domain.calendar import MarketCalendar, Session, calendar_of, exchange_date
from server.domain.gaps import session_minutes
from server.domain.instruments import Instrument
from server.domain.timeframes import MINUTE_NS
from server.jobs.gap_fill import WallClock
from server.store.feed_runs import KnownOutage

SMALLEST_GAP: Final = 3
"""Minutes of an instrument's day that must lack bars before they are asked for."""

COOLDOWN_SECONDS: Final = 1_800.0
"""An instrument's day is not asked for again so soon: the source may have none of what is missing."""

_SETTLE_SECONDS: Final = 120
_MOST_INSTRUMENTS: Final = 5_000
_MOST_OUTAGES: Final = 20
_LONGEST_DAYS: Final = 10
_LOG: Final = logging.getLogger("strikeline.backfill")

Pair = tuple[int, date]
Gap = tuple[int, date, datetime]


class Outages(Protocol):
    """Outages on record (`server.store.feed_runs.FeedRunStore`)."""

    async def unfilled(self, limit: int) -> list[KnownOutage]:
        """Those that no backfill was begun for."""


class Subscriptions(Protocol):
    """Feed subscriptions (`server.store.feed_subscriptions.FeedSubscriptionStore`)."""

    async def instruments(self) -> list[Instrument]:
        """Every instrument that a subscription names."""


class Stored(Protocol):
    """Minutes that have bars (`server.store.gaps.StoredMinutes`)."""

    async def counts(self, instruments: Sequence[int], start: int, end: int) -> Mapping[int, int]:
        """How many bars each of the instruments has."""

    async def with_bars(self, start: int, end: int, limit: int) -> list[int]:
        """Instruments that have a bar."""


class Backfills(Protocol):
    """Where backfills begin (`server.store.backfills.BackfillStore`)."""

    async def begin_for_outage(self, outage: int, start: datetime, end: datetime, pairs: Sequence[Pair]) -> str | None:
        """A new backfill, unless another worker was faster."""

    async def begin_for_gaps(self, start: datetime, end: datetime, gaps: Sequence[Gap], cooldown: float) -> str | None:
        """A new backfill of those that were not tried lately."""


@dataclass(frozen=True)
class GapScanPorts:
    """What the job works with. `calendars` are by name; outages are judged by NSE's."""

    outages: Outages
    subscriptions: Subscriptions
    stored: Stored
    backfills: Backfills
    calendars: Mapping[str, MarketCalendar]


class GapScan:
    """Looks again and again, `interval` seconds apart: for holes in the two latest trading days."""

    def __init__(self, ports: GapScanPorts, interval: float, clock: WallClock) -> None:
        self._ports = ports
        self._interval = interval
        self._clock = clock

    async def run(self) -> None:
        """Works until it is cancelled."""
        while True:
            await self.look()
            await self._clock.sleep(self._interval)

    async def look(self) -> None:
        """Begins backfills for all that is found now."""
        subscribed = await self._ports.subscriptions.instruments()
        for outage in await self._ports.outages.unfilled(_MOST_OUTAGES):
            await self._outage(outage, subscribed)
        await self._holes(subscribed)

    async def _outage(self, outage: KnownOutage, subscribed: Sequence[Instrument]) -> None:
        """Everything that had bars on the days of an outage, and everything that is subscribed to."""
        pairs: list[Pair] = []
        for session in self._sessions(outage):
            found = await self._ports.stored.with_bars(session.open_ns, session.close_ns, _MOST_INSTRUMENTS)
            wanted = dict.fromkeys([*found, *(instrument.instrument_id for instrument in subscribed)])
            pairs += [(number, session.date) for number in wanted]
        start, end = _minute_floor(outage.started_at), _minute_ceiling(outage.ended_at)
        name = await self._ports.backfills.begin_for_outage(outage.outage, start, end, list(dict.fromkeys(pairs)))
        _LOG.info("outage %d is filled by backfill %s: %d days", outage.outage, name, len(pairs))

    def _sessions(self, outage: KnownOutage) -> list[Session]:
        last = exchange_date(outage.ended_at)
        first = max(exchange_date(outage.started_at), last - timedelta(days=_LONGEST_DAYS))
        sessions = self._ports.calendars["NSE"].sessions_between(first, last)
        return [item for item in sessions if item.open_ns < outage.ended_at and item.close_ns > outage.started_at]

    async def _holes(self, subscribed: Sequence[Instrument]) -> None:
        today = exchange_date(int(self._clock.wall() * 1e9))
        gaps: list[Gap] = []
        for name, calendar in self._ports.calendars.items():
            own = [item for item in subscribed if _has_calendar(item, name)]
            latest = calendar.latest_trading_day(today)
            for day in (calendar.previous_trading_day(latest), latest) if own else ():
                gaps += await self._holes_of(own, calendar, day)
        if gaps:
            start = min(day for _, day, _ in gaps) - timedelta(days=1)
            since = datetime(start.year, start.month, start.day, tzinfo=UTC)
            until = datetime.fromtimestamp(self._clock.wall(), UTC)
            await self._ports.backfills.begin_for_gaps(since, until, gaps, COOLDOWN_SECONDS)

    async def _holes_of(self, instruments: Sequence[Instrument], calendar: MarketCalendar, day: date) -> list[Gap]:
        """Instruments that lack bars of a day up to now; those that were subscribed to late lack its beginning."""
        minutes = session_minutes(calendar.session_on(day))
        passed = int((minutes + MINUTE_NS <= (self._clock.wall() - _SETTLE_SECONDS) * 1e9).sum())
        end = int(minutes[-1]) + MINUTE_NS
        living = [item.instrument_id for item in instruments if item.expiry is None or item.expiry >= day]
        counts = await self._ports.stored.counts(living, int(minutes[0]), end)
        over = datetime.fromtimestamp(end / 1e9 + _SETTLE_SECONDS, UTC)
        return [(number, day, over) for number in living if passed - counts.get(number, 0) >= SMALLEST_GAP]


def _has_calendar(instrument: Instrument, name: str) -> bool:
    try:
        return calendar_of(instrument.exchange) == name
    except ValueError:
        return False


def _minute_floor(instant: int) -> datetime:
    return datetime.fromtimestamp(instant // MINUTE_NS * 60, UTC)


def _minute_ceiling(instant: int) -> datetime:
    return datetime.fromtimestamp(-(-instant // MINUTE_NS) * 60, UTC)

"""What a run of the ticker feed may have missed, in event time, and how far it came: on record also after a crash."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from typing import Final, Protocol

from server.domain.calendar import NANOSECONDS, MarketCalendar, exchange_date
from server.domain.errors import StrikelineError
from server.market.feeds.metrics import TickerMetrics
from server.store.feed_runs import Outage, OutageReason

_LOG: Final = logging.getLogger("strikeline.feed")
_MOST_PENDING: Final = 1_000
_LONGEST_DAYS: Final = 10


class FeedRuns(Protocol):
    """Runs and outages on record (`server.store.feed_runs.FeedRunStore`)."""

    async def begin(self, run: str, source: str) -> int | None:
        """Notes a run. -> market time that the source's run before came to, nanoseconds; None without one."""

    async def progress(self, run: str, market_time: int, *, ended: bool = False) -> None:
        """Notes how far a run has come."""

    async def note(self, outage: Outage) -> None:
        """Keeps an outage."""


class OutageLog:
    """Notes outages of one run. An outage ends with the first tick behind it; what lies out of sessions is none."""

    def __init__(
        self,
        runs: FeedRuns,
        calendar: MarketCalendar,
        metrics: TickerMetrics,
        *,
        run: str,
        source: str,
        market_time: Callable[[], int],
    ) -> None:
        self._runs = runs
        self._calendar = calendar
        self._metrics = metrics
        self._run = run
        self._source = source
        self._market_time = market_time
        self._begun: tuple[OutageReason, int] | None = None
        self._pending: deque[Outage] = deque(maxlen=_MOST_PENDING)

    async def start(self) -> None:
        """Begins the run on record. Raises StrikelineError when the database is away."""
        before = await self._runs.begin(self._run, self._source)
        if before is not None:
            self._begun = (OutageReason.RESTARTED, before)

    def lost(self, reason: OutageReason) -> None:
        """Messages may be missing from now on; a reason that is already at work stays."""
        if self._begun is None and self._market_time():
            self._begun = (reason, self._market_time())

    def heard(self, event_time: int) -> None:
        """A tick came: what began is over."""
        if self._begun is None:
            return
        reason, since = self._begun
        self._begun = None
        if self._in_session(since, event_time):
            self._metrics.outages.labels(reason).inc()
            self._pending.append(Outage(self._run, self._source, reason, since, event_time))

    async def save(self, *, ended: bool = False) -> None:
        """Puts on record what is not yet; while the database is away it is kept for the next time."""
        try:
            if self._market_time():
                await self._runs.progress(self._run, self._market_time(), ended=ended)
            while self._pending:
                await self._runs.note(self._pending[0])
                self._pending.popleft()
        except StrikelineError as error:
            _LOG.warning("outages are not on record yet: %s", error.message)

    def _in_session(self, since: int, until: int) -> bool:
        """Some trading lies between. What is longer than ten days is judged by its last ten."""
        if until <= since:
            return False
        last = exchange_date(until)
        first = max(exchange_date(since), last - timedelta(days=_LONGEST_DAYS))
        sessions = self._calendar.sessions_between(first, last)
        return any(min(until, session.close_ns) - max(since, session.open_ns) >= NANOSECONDS for session in sessions)

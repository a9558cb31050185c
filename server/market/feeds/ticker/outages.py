"""What a run of the ticker feed may have missed, in event time, and how far it came: on record also after a crash."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Final, Protocol

from server.domain.calendar import MarketCalendar, exchange_date
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
    """Notes outages of one run: from the market time at which messages were lost to that of the first tick behind.

    What lies out of sessions is none.
    """

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

    def heard(self, event_times: Iterable[int]) -> None:
        """Ticks came: what began is over with the first that is newer than its beginning."""
        if self._begun is None:
            return
        reason, since = self._begun
        until = min((time for time in event_times if time > since), default=None)
        if until is None:
            return
        self._begun = None
        if self._in_session(since, until):
            self._metrics.outages.labels(reason).inc()
            self._pending.append(Outage(self._run, self._source, reason, since, until))

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
        last = exchange_date(until)
        first = max(exchange_date(since), last - timedelta(days=_LONGEST_DAYS))
        sessions = self._calendar.sessions_between(first, last)
        return any(min(until, session.close_ns) > max(since, session.open_ns) for session in sessions)

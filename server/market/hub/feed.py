"""Whether the market data lives: runs of feeds, their silence, and dependencies that are away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from server.domain.calendar import MarketCalendar
from server.market.clock import Clock
from server.market.hub.notices import Condition
from server.market.runs import Runs
from strikeline.internal.v1 import log_pb2
from strikeline.v1 import stream_pb2

_LONGEST_AGE = 3_600.0


class FeedState(Enum):
    """What the feed does; values are those of strikeline.v1.FeedState."""

    NONE = 0
    LIVE = 1
    STALE = 2
    ENDED = 3


@dataclass(slots=True)
class _Run:
    name: str
    source: str
    market_time: int
    heard: float
    inside: bool = False
    """Market time lies within a session."""
    ended: bool = False


_CONDITIONS = MappingProxyType(
    {
        FeedState.LIVE: (stream_pb2.STREAM_CONDITION_LIVE, ""),
        FeedState.STALE: (stream_pb2.STREAM_CONDITION_STALE, "the feed is silent"),
        FeedState.ENDED: (stream_pb2.STREAM_CONDITION_MARKET_CLOSED, "the session is over"),
    }
)


class FeedWatch:
    """Follows the log's runs. `tell` is called with each change of condition."""

    def __init__(
        self, calendar: MarketCalendar, clock: Clock, stale_after: float, tell: Callable[[Condition, str], None]
    ) -> None:
        self._calendar = calendar
        self._clock = clock
        self._stale_after = stale_after
        self._tell = tell
        self._runs: dict[str, _Run] = {}
        self._present: _Run | None = None
        self._away: set[str] = set()
        self._told: Condition | None = None

    @property
    def market_time(self) -> int:
        """Market time of the latest run that lives, else of the latest; nanoseconds, 0 before the first tick.

        A run that has told no time (it may bring only bars) counts from its first time on.
        """
        run = self._present
        return run.market_time if run else 0

    def present(self, newest: str) -> str:
        """The run that market time is of; `newest` while that one has not been heard of here."""
        return self._present.name if self._present is not None and newest in self._runs else newest

    @property
    def source(self) -> str:
        """Which feed the latest run is of, such as `synthetic`; empty before the first."""
        run = self._present
        return run.source if run else ""

    @property
    def state(self) -> FeedState:
        """What the feed does."""
        run = self._present
        if run is None or not run.market_time:
            return FeedState.NONE
        if run.ended or not run.inside:
            return FeedState.ENDED
        silent = self._clock.monotonic() - run.heard >= self._stale_after
        return FeedState.STALE if silent else FeedState.LIVE

    @property
    def run_ended(self) -> bool:
        """The run is over, wherever in the session that was."""
        run = self._present
        return run is not None and run.ended

    @property
    def degraded(self) -> bool:
        """Something that is needed is away."""
        return bool(self._away)

    def restore(self, runs: Runs) -> None:
        """Takes over runs of a checkpoint. One that lives has the usual time to show it."""
        for run in runs:
            self._runs[run.name] = _Run(
                run.name, run.source, run.market_time, self._clock.monotonic(), ended=not run.live
            )
        for known in self._runs.values():
            self._locate(known)

    def hear(self, entry: log_pb2.LogEntry) -> None:
        """Takes in a log entry of a run, before its ticks are passed on."""
        run = self._runs.get(entry.run)
        if run is None or entry.kind == log_pb2.LOG_ENTRY_KIND_RUN_STARTED:
            run = self._start(entry)
        if entry.market_time and not run.market_time:
            self._forget(run)
        run.market_time = max(run.market_time, entry.market_time)
        run.heard = self._clock.monotonic() - self._age(entry)
        if entry.kind == log_pb2.LOG_ENTRY_KIND_RUN_ENDED:
            self._end(run)
        self._locate(run)

    def away(self, reader: str) -> None:
        """Reading failed."""
        self._away.add(reader)
        self.look()

    def back(self, reader: str) -> None:
        """Reading works."""
        if reader in self._away:
            self._away.discard(reader)
            self.look()

    def look(self) -> None:
        """Tells when the condition has changed."""
        condition, detail = self._condition()
        if condition is not None and condition != self._told:
            self._told = condition
            self._tell(condition, detail)

    def _condition(self) -> tuple[Condition | None, str]:
        if self._away:
            return stream_pb2.STREAM_CONDITION_DEGRADED, "what is sent may be late"
        state = self.state
        if state is FeedState.NONE:
            return (None if self._told is None else stream_pb2.STREAM_CONDITION_LIVE), ""
        return _CONDITIONS[state]

    def _start(self, entry: log_pb2.LogEntry) -> _Run:
        """What came before stays until the run tells a time, but for earlier runs that never told one."""
        self._runs.pop(entry.run, None)
        for name, known in list(self._runs.items()):
            if not known.market_time and (known.ended or known.source == entry.source):
                del self._runs[name]
        run = self._runs[entry.run] = _Run(entry.run, entry.source, 0, self._clock.monotonic())
        return run

    def _forget(self, begun: _Run) -> None:
        """What ended, or what the source has begun anew, is of the past when a run tells its first time."""
        for name, run in list(self._runs.items()):
            if run is not begun and (run.ended or run.source == begun.source):
                del self._runs[name]

    def _end(self, run: _Run) -> None:
        """The source's earlier runs are over too: one that died has no end mark."""
        names = list(self._runs)
        for name in names[: names.index(run.name) + 1]:
            self._runs[name].ended = self._runs[name].ended or self._runs[name].source == run.source

    def _age(self, entry: log_pb2.LogEntry) -> float:
        """Seconds since it was appended: a backlog that is read at start is no sign of life."""
        if not entry.appended_at:
            return 0.0
        return min(max(0.0, self._clock.wall() - entry.appended_at / 1e9), _LONGEST_AGE)

    def _locate(self, run: _Run) -> None:
        """Settles what each call asks for: whether the run is within a session, and which run is the present one."""
        run.inside = self._calendar.session_at(run.market_time) is not None
        runs = list(self._runs.values())
        timed = [other for other in runs if other.market_time]
        living = [other for other in timed if not other.ended]
        self._present = next(reversed(living or timed or runs), None)

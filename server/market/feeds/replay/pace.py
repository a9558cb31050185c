"""How fast recorded time passes in a replay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from server.domain.calendar import NANOSECONDS, MarketCalendar, exchange_date
from server.market.feeds.ports import Clock
from server.market.feeds.writer import BEAT_SECONDS, BatchWriter, Ticks

_LONGEST_SLEEP: Final = BEAT_SECONDS / 4


class TradingTime:
    """Seconds of trading between the first tick and another: nights and holidays take no time."""

    def __init__(self, calendar: MarketCalendar) -> None:
        self._calendar = calendar
        self._last: int | None = None
        self._seconds = 0.0

    def seconds(self, times: NDArray[np.int64]) -> NDArray[np.float64]:
        """Trading seconds from the first tick ever asked for to each time. `times` ascend, from call to call too."""
        start = int(times[0]) if self._last is None else self._last
        bounds, passed = self._sessions(start, int(times[-1]))
        seconds = self._seconds + np.interp((times - start) / NANOSECONDS, bounds, passed)
        self._last, self._seconds = int(times[-1]), float(seconds[-1])
        return seconds

    def _sessions(self, first: int, last: int) -> tuple[Sequence[float], Sequence[float]]:
        """Session bounds as seconds from `first`, and the trading time passed at each."""
        bounds, passed = [0.0], [0.0]
        for session in self._calendar.sessions_between(exchange_date(first), exchange_date(last)):
            opening, closing = (max(bound, first) for bound in (session.open_ns, session.close_ns))
            if closing > opening:
                bounds += [(opening - first) / NANOSECONDS, (closing - first) / NANOSECONDS]
                passed += [passed[-1], passed[-1] + (closing - opening) / NANOSECONDS]
        return bounds, passed


class Pacer:
    """Hands ticks to the writer when their time has come. `speed` is recorded seconds a second; None is no waiting."""

    def __init__(self, writer: BatchWriter, clock: Clock, calendar: MarketCalendar, speed: float | None) -> None:
        self._writer = writer
        self._clock = clock
        self._trading_time = TradingTime(calendar)
        self._speed = speed
        self._started: float | None = None
        self._market_time = 0

    async def send(self, ticks: Ticks, reports: Ticks | None = None) -> None:
        """Sends ticks in their order, each not before its time; the run gives signs of life while it waits.

        `reports` of open interest go with the ticks of their times.
        """
        if self._speed is None or not len(ticks):
            await self._writer.send(ticks, reports=reports)
            return
        market_times = np.maximum.accumulate(np.maximum(ticks["event_time"], self._market_time))
        self._market_time = int(market_times[-1])
        due = self._trading_time.seconds(market_times) / self._speed
        if self._started is None:
            self._started = self._clock.monotonic()
        sent = 0
        while sent < len(ticks):
            passed = self._clock.monotonic() - self._started
            ready = int(np.searchsorted(due, passed, "right"))
            if ready > sent:
                now, reports = _until(reports, int(market_times[ready - 1]), last=ready == len(ticks))
                await self._writer.send(ticks[sent:ready], reports=now)
                sent = ready
            else:
                await self._clock.sleep(min(due[sent] - passed, _LONGEST_SLEEP))
                await self._writer.beat()


def _until(reports: Ticks | None, time: int, *, last: bool) -> tuple[Ticks | None, Ticks | None]:
    """The reports up to a time, ascending as they are, and the others."""
    if reports is None:
        return None, None
    end = len(reports) if last else int(np.searchsorted(reports["event_time"], time, "right"))
    return reports[:end], reports[end:]

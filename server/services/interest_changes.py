"""How the open interest of a contract changed, over buckets of its history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from types import MappingProxyType
from typing import Final

import numpy as np

from server.domain.calendar import EXCHANGE_ZONE, MarketCalendar, to_nanoseconds
from server.domain.options.open_interest import open_interest_change, previous_close, window_baseline
from server.domain.timeframes import Timeframe
from server.services.history_requests import INSTANT
from server.store.option_minutes import OptionMinuteStore
from server.store.windows import Cut, windows_between

Change = tuple[float, float]
"""Absolute, units, and in per cent; NaN is absent."""

_DAY: Final = timedelta(days=1)
_MINUTE: Final = timedelta(minutes=1)
_LONGEST_BREAK: Final = timedelta(days=14)
"""No two trading days in a row are further apart."""


@dataclass(frozen=True)
class Changes:
    """Of one bucket: against the close of the trading day before, and against the bucket a window before."""

    by_day: Change
    by_window: Change


class InterestChanges:
    """Finds what open interest is compared with."""

    def __init__(self, minutes: OptionMinuteStore) -> None:
        self._minutes = minutes

    async def of(
        self,
        instrument_id: int,
        timeframe: Timeframe,
        calendar: MarketCalendar,
        levels: Mapping[datetime, int],
        window: timedelta,
    ) -> Mapping[datetime, Changes]:
        """Changes of open interest that is known, by the open time of its bucket; ascending."""
        if not levels:
            return MappingProxyType({})
        times, values = list(levels), np.array(list(levels.values()), np.float64)
        closes = await self._closes(instrument_id, calendar, times)
        days = [_day_of(moment) for moment in times]
        by_day = {day: previous_close(closes, calendar, day) for day in set(days)}
        before = await self._before(instrument_id, timeframe, calendar, times[0], window)
        known = np.array([to_nanoseconds(moment) for moment in (*before, *times)], np.int64)
        held = np.concatenate((np.array(list(before.values()), np.float64), values))
        span = window // timedelta(microseconds=1) * 1_000
        baselines = [window_baseline(known, held, int(moment), span) for moment in known[len(before) :]]
        day, past = open_interest_change(values, [by_day[day] for day in days]), open_interest_change(values, baselines)
        pairs = zip(
            zip(day.absolute.tolist(), day.percent.tolist(), strict=True),
            zip(past.absolute.tolist(), past.percent.tolist(), strict=True),
            strict=True,
        )
        return MappingProxyType({moment: Changes(*pair) for moment, pair in zip(times, pairs, strict=True)})

    async def _closes(
        self, instrument_id: int, calendar: MarketCalendar, times: Sequence[datetime]
    ) -> Mapping[date, float]:
        """Open interest at the close of the trading day before each of the times, where it is known."""
        days = sorted({calendar.previous_trading_day(_day_of(moment)) for moment in times})
        spans = [(midnight, midnight + _DAY) for midnight in map(_midnight, days)]
        found = await self._minutes.closing_open_interest(instrument_id, spans)
        return {_day_of(midnight): float(level) for midnight, level in found.items()}

    async def _before(
        self, instrument_id: int, timeframe: Timeframe, calendar: MarketCalendar, first: datetime, window: timedelta
    ) -> Mapping[datetime, int]:
        """Buckets that begin less than the window before the first one, and the last one that begins no later."""
        edge = first - window
        end = edge + (timeframe.length or _MINUTE)
        earlier = await self._minutes.open_interest_before([instrument_id], edge - _LONGEST_BREAK, end)
        found = {edge: earlier[instrument_id][1]} if earlier else {}
        windows = windows_between(timeframe, calendar, (edge + INSTANT, first), (edge, first))
        if windows:
            rows = await self._minutes.open_interest([instrument_id], Cut(timeframe, windows))
            found |= {row.open_time: row.open_interest for row in sorted(rows, key=lambda row: row.open_time)}
        return found


def _day_of(moment: datetime) -> date:
    """The exchange date."""
    return moment.astimezone(EXCHANGE_ZONE).date()


def _midnight(day: date) -> datetime:
    """When an exchange date begins."""
    return datetime.combine(day, time(), EXCHANGE_ZONE).astimezone(UTC)

"""Series of bars longer than a minute, aggregated session by session from what is already rolled up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from server.domain.calendar import MarketCalendar
from server.domain.timeframes import ONE_MINUTE, TIMEFRAMES, Timeframe, Unit
from server.store.database import Database, Row
from server.store.statements import Statements
from server.store.windows import (
    EARLIEST,
    LATEST,
    LONGEST_PERIOD,
    Window,
    portions,
    resolution,
    whole_days,
    windows_between,
)

_SQL = Statements.of("bars")
_DAY: Final = timedelta(days=1)
_MINUTE: Final = timedelta(minutes=1)


@dataclass(frozen=True)
class Bar:
    """One bar. Prices in rupees or points; `volume` units of this bar, None for an index; `open_interest` at its end.

    `partial`: it misses a part. `closed`: only a late tick can still change it.
    """

    open_time: datetime
    open: float
    high: float
    low: float
    close: float
    volume: int | None
    open_interest: int | None
    partial: bool
    closed: bool


@dataclass(frozen=True, kw_only=True)
class BarQuery:
    """Bars of one instrument that begin in [start, end); without an end, of what there was up to market time.

    `market_time` is the feed's: the bar that contains it is not closed. None when no feed ever ran: all bars.
    """

    instrument_id: int
    timeframe: Timeframe
    start: datetime | None = None
    end: datetime | None = None
    ascending: bool = True
    market_time: datetime | None = None


class SeriesReader:
    """Reads series for `BarStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(
        self, query: BarQuery, calendar: MarketCalendar, span: tuple[datetime, datetime], limit: int
    ) -> list[Bar]:
        """At most `limit` bars that begin within `span`, in the query's order."""
        span = max(span[0], EARLIEST), min(span[1], LATEST)
        stored = await self._stored_timeframes(query)
        windows = await self._windows(query, calendar, span, stored)
        bars: list[Bar] = []
        for part in portions(windows, query.timeframe, limit, ascending=query.ascending):
            found = await self._aggregate(query, part, stored)
            found = [bar for bar in found if span[0] <= bar.open_time < span[1]]
            bars.extend(found if query.ascending else reversed(found))
            if len(bars) >= limit:
                break
        return bars[:limit]

    async def _stored_timeframes(self, query: BarQuery) -> list[Timeframe]:
        """Recorded timeframes of the instrument that the asked one can be made of, longest first."""
        candidates = [item.name for item in recorded_parts(query.timeframe)]
        rows = await self._database.fetch(_SQL["stored_timeframes"], query.instrument_id, candidates)
        found = {row["timeframe"] for row in rows}
        return [Timeframe.parse(name) for name in candidates if name in found]

    async def _windows(
        self,
        query: BarQuery,
        calendar: MarketCalendar,
        span: tuple[datetime, datetime],
        stored: Sequence[Timeframe],
    ) -> list[Window]:
        """The sessions that matter, ascending: where data is, and where bars begin within the span."""
        length = query.timeframe.length or LONGEST_PERIOD
        names = [timeframe.name for timeframe in stored]
        row = await self._database.fetchrow(
            _SQL["extent"], query.instrument_id, span[0] - _DAY, span[1] + length, names
        )
        if row is None or row["first"] is None:
            return []
        windows = windows_between(query.timeframe, calendar, span, (row["first"], row["last"]))
        return windows if query.end is not None else _known_by(query.market_time, row["last"], windows)

    async def _aggregate(self, query: BarQuery, windows: Sequence[Window], stored: Sequence[Timeframe]) -> list[Bar]:
        """All bars of the windows, ascending."""
        length = query.timeframe.length
        bars = {row["open_time"]: bar_of(row) for row in await self._minutes(query, windows)}
        for timeframe in stored:
            given = windows if timeframe.intraday else whole_days(windows)
            for row in await self._fetch("from_stored", query, given, timeframe.name):
                known = bars.get(row["open_time"])
                # One that was recorded as it is knows more than one of minutes that misses a part.
                if known is None or (known.partial and timeframe == query.timeframe):
                    bars[row["open_time"]] = bar_of(row)
        ends = {window.origin: window.close for window in sorted(windows, key=lambda window: window.close)}
        return [
            _open_if_current(bar, ends[bar.open_time] if length is None else bar.open_time + length, query.market_time)
            for _, bar in sorted(bars.items())
        ]

    async def _minutes(self, query: BarQuery, windows: Sequence[Window]) -> list[Row]:
        """What minutes make, from the longest pieces; a bar that is cut is made minute by minute."""
        cut = {window.origin for window in windows if window.cut}
        whole = [window for window in windows if window.origin not in cut]
        rows: list[Row] = []
        if whole:
            rows += await self._fetch(f"from_{resolution(query.timeframe, whole)}m", query, whole)
        if cut:
            rows += await self._fetch("from_1m", query, [window for window in windows if window.origin in cut])
        return rows

    async def _fetch(self, statement: str, query: BarQuery, windows: Sequence[Window], *more: object) -> Sequence[Row]:
        columns = ([getattr(window, name) for window in windows] for name in ("open", "close", "origin"))
        return await self._database.fetch(_SQL[statement], query.instrument_id, *columns, query.timeframe.length, *more)


def bar_of(row: Row) -> Bar:
    """A bar from a row with the columns of `Bar`."""
    return Bar(**dict(row))


def _known_by(market_time: datetime | None, last: datetime, windows: list[Window]) -> list[Window]:
    """The windows without what comes behind the minute of market time, where anything does: an older run left it."""
    if market_time is None:
        return windows
    end = market_time.replace(second=0, microsecond=0) + _MINUTE
    if last < end:
        return windows
    known = (window for window in windows if window.open < end)
    return [replace(window, close=end, cut=True) if end < window.close else window for window in known]


def _open_if_current(bar: Bar, end: datetime, market_time: datetime | None) -> Bar:
    """A bar whose time still runs is not closed, even though all its minutes so far are."""
    runs = market_time is not None and bar.open_time <= market_time < end
    return replace(bar, closed=False) if runs else bar


def recorded_parts(timeframe: Timeframe) -> list[Timeframe]:
    """Lengths of recorded bars that bars of a timeframe can be made of, longest first."""
    return [item for item in reversed(TIMEFRAMES) if _makes(item, timeframe)]


def _makes(part: Timeframe, whole: Timeframe) -> bool:
    """Whether bars of `part`, longer than a minute, add up to bars of `whole` exactly."""
    if part == ONE_MINUTE:
        return False
    if part == whole:
        return True
    if whole.minutes is None:
        return part.intraday or part.unit is Unit.DAY
    return part.minutes is not None and whole.minutes % part.minutes == 0

"""Series of bars longer than a minute, aggregated session by session from what is already rolled up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from server.domain.calendar import EXCHANGE_ZONE, MarketCalendar, Session
from server.domain.timeframes import MINUTE_NS, ONE_MINUTE, TIMEFRAMES, Timeframe, Unit
from server.store.database import Database, Row
from server.store.records import to_datetime, to_nanoseconds
from server.store.statements import Statements

_SQL = Statements.of("bars")
_SESSIONS_AT_ONCE: Final = 400
_LONGEST_PERIOD: Final = timedelta(days=31)
_DAY: Final = timedelta(days=1)
_EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)
"""No bar lies outside; times around these can still be moved by a period and be told in nanoseconds."""


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


@dataclass(frozen=True)
class Window:
    """A stretch of time [open, close) whose pieces go into buckets from `origin`."""

    open: datetime
    close: datetime
    origin: datetime


@dataclass(frozen=True, kw_only=True)
class BarQuery:
    """Bars of one instrument that begin in [start, end); None is unbounded.

    `market_time` is the feed's: the bar that contains it is not closed. None when no feed runs.
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
        span = max(span[0], _EARLIEST), min(span[1], _LATEST)
        stored = await self._stored_timeframes(query)
        windows = await self._windows(query, calendar, span, stored)
        bars: list[Bar] = []
        for part in _parts(windows, query.timeframe, limit, ascending=query.ascending):
            found = await self._aggregate(query, part, stored)
            found = [bar for bar in found if span[0] <= bar.open_time < span[1]]
            bars.extend(found if query.ascending else reversed(found))
            if len(bars) >= limit:
                break
        return bars[:limit]

    async def _stored_timeframes(self, query: BarQuery) -> list[Timeframe]:
        """Recorded timeframes of the instrument that the asked one can be made of, longest first."""
        candidates = [item.name for item in reversed(TIMEFRAMES) if _makes(item, query.timeframe)]
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
        length = query.timeframe.length or _LONGEST_PERIOD
        names = [timeframe.name for timeframe in stored]
        row = await self._database.fetchrow(
            _SQL["extent"], query.instrument_id, span[0] - _DAY, span[1] + length, names
        )
        if row is None or row["first"] is None:
            return []
        around = timedelta(0) if query.timeframe.intraday else _LONGEST_PERIOD
        extent = (row["first"] - around, row["last"] + around)
        days = (moment.astimezone(EXCHANGE_ZONE).date() for moment in extent)
        sessions = calendar.sessions_between(*days)
        if query.timeframe.intraday:
            return [window for session in sessions for window in _clipped(session, query.timeframe, span)]
        return [window for window in _grouped(sessions, query.timeframe) if span[0] <= window.origin < span[1]]

    async def _aggregate(self, query: BarQuery, windows: Sequence[Window], stored: Sequence[Timeframe]) -> list[Bar]:
        """All bars of the windows, ascending."""
        length = query.timeframe.length
        rows = list(await self._fetch(_source(query.timeframe, windows), query, windows))
        bars = {row["open_time"]: bar_of(row) for row in rows}
        for timeframe in stored:
            given = windows if timeframe.intraday else _whole_days(windows)
            for row in await self._fetch("from_stored", query, given, timeframe.name):
                bars.setdefault(row["open_time"], bar_of(row))
        ends = {window.origin: window.close for window in sorted(windows, key=lambda window: window.close)}
        return [
            _open_if_current(bar, ends[bar.open_time] if length is None else bar.open_time + length, query.market_time)
            for _, bar in sorted(bars.items())
        ]

    async def _fetch(self, statement: str, query: BarQuery, windows: Sequence[Window], *more: object) -> Sequence[Row]:
        columns = ([getattr(window, name) for window in windows] for name in ("open", "close", "origin"))
        return await self._database.fetch(_SQL[statement], query.instrument_id, *columns, query.timeframe.length, *more)


def bar_of(row: Row) -> Bar:
    """A bar from a row with the columns of `Bar`."""
    return Bar(**dict(row))


def _open_if_current(bar: Bar, end: datetime, market_time: datetime | None) -> Bar:
    """A bar whose time still runs is not closed, even though all its minutes so far are."""
    runs = market_time is not None and bar.open_time <= market_time < end
    return replace(bar, closed=False) if runs else bar


def _makes(part: Timeframe, whole: Timeframe) -> bool:
    """Whether bars of `part`, longer than a minute, add up to bars of `whole` exactly."""
    if part == ONE_MINUTE:
        return False
    if part == whole:
        return True
    if whole.minutes is None:
        return part.intraday or part.unit is Unit.DAY
    return part.minutes is not None and whole.minutes % part.minutes == 0


def _source(timeframe: Timeframe, windows: Iterable[Window]) -> str:
    """The statement that reads the fewest rows and still sees bucket borders where the sessions have them."""
    for minutes in (15, 5):
        divides = timeframe.minutes is None or timeframe.minutes % minutes == 0
        if divides and all(to_nanoseconds(window.open) % (minutes * MINUTE_NS) == 0 for window in windows):
            return f"from_{minutes}m"
    return "from_1m"


def _clipped(session: Session, timeframe: Timeframe, span: tuple[datetime, datetime]) -> Iterator[Window]:
    """The session from its first to its last bucket that begins within the span; nothing when none does."""
    length = timeframe.length_ns or 0
    before = max(to_nanoseconds(span[0]) - session.open_ns, 0)
    behind = max(to_nanoseconds(span[1]) - session.open_ns, 0)
    first = session.open_ns + -(-before // length) * length
    last = min(session.close_ns, session.open_ns + -(-behind // length) * length)
    if first < last:
        yield Window(to_datetime(first), to_datetime(last), session.open)


def _grouped(sessions: Iterable[Session], timeframe: Timeframe) -> Iterator[Window]:
    """Sessions with the open of their day's, week's or month's first session as origin."""
    origins: dict[int, datetime] = {}
    for session in sessions:
        period = timeframe.bucket_start(session.open_ns, session.open_ns)
        yield Window(session.open, session.close, origins.setdefault(period, session.open))


def _whole_days(windows: Iterable[Window]) -> list[Window]:
    """For recorded day bars, which sources stamp with midnight or with the open: one window for each exchange day."""
    days: dict[datetime, Window] = {}
    for window in windows:
        local = window.open.astimezone(EXCHANGE_ZONE)
        midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
        days.setdefault(midnight, Window(midnight, midnight + _DAY, window.origin))
    return list(days.values())


def _parts(windows: Sequence[Window], timeframe: Timeframe, limit: int, *, ascending: bool) -> Iterator[list[Window]]:
    """The windows in portions that are about enough for `limit` bars; never splits what goes into one bar."""
    part: list[Window] = []
    expected = 0
    for window in windows if ascending else reversed(windows):
        full = expected >= limit or len(part) >= _SESSIONS_AT_ONCE
        if part and full and window.origin != part[-1].origin:
            yield part
            part, expected = [], 0
        length = timeframe.length
        expected += 1 if length is None else -(-(window.close - window.open) // length)
        part.append(window)
    if part:
        yield part

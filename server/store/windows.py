"""Stretches of trading time that make buckets: the sessions of a calendar, cut as a timeframe says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from server.domain.calendar import EXCHANGE_ZONE, MarketCalendar, Session, to_nanoseconds
from server.domain.timeframes import MINUTE_NS, Timeframe
from server.store.records import to_datetime

LONGEST_PERIOD: Final = timedelta(days=31)
EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)
"""Nothing recorded lies outside; times around these can still be moved by a period and be told in nanoseconds."""
_SESSIONS_AT_ONCE: Final = 400
_DAY: Final = timedelta(days=1)
_INSTANT: Final = timedelta(microseconds=1)


def up_to(market_time: datetime | None) -> datetime:
    """Where a series without end ends: what begins at market time is the last of it. None: no feed ever ran."""
    return LATEST if market_time is None else min(market_time + _INSTANT, LATEST)


@dataclass(frozen=True)
class Window:
    """A stretch of time [open, close) whose pieces go into buckets from `origin`. `cut`: it ends within a bucket."""

    open: datetime
    close: datetime
    origin: datetime
    cut: bool = False


def windows_between(
    timeframe: Timeframe,
    calendar: MarketCalendar,
    span: tuple[datetime, datetime],
    extent: tuple[datetime, datetime],
) -> list[Window]:
    """The sessions that matter, ascending: where data is (`extent`), and where buckets begin within the span."""
    around = timedelta(0) if timeframe.intraday else LONGEST_PERIOD
    days = (moment.astimezone(EXCHANGE_ZONE).date() for moment in (extent[0] - around, extent[1] + around))
    sessions = calendar.sessions_between(*days)
    if timeframe.intraday:
        return [window for session in sessions for window in _clipped(session, timeframe, span)]
    return [window for window in _grouped(sessions, timeframe) if span[0] <= window.origin < span[1]]


def resolution(timeframe: Timeframe, windows: Iterable[Window]) -> int:
    """Minutes of the pieces that make the fewest rows and still show bucket borders where the sessions have them."""
    for minutes in (15, 5):
        divides = timeframe.minutes is None or timeframe.minutes % minutes == 0
        if divides and all(to_nanoseconds(window.open) % (minutes * MINUTE_NS) == 0 for window in windows):
            return minutes
    return 1


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


def whole_days(windows: Iterable[Window]) -> list[Window]:
    """For recorded day bars, which sources stamp with midnight or with the open: one window for each exchange day."""
    days: dict[datetime, Window] = {}
    for window in windows:
        local = window.open.astimezone(EXCHANGE_ZONE)
        midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
        days.setdefault(midnight, Window(midnight, midnight + _DAY, window.origin))
    return list(days.values())


def portions(windows: Sequence[Window], timeframe: Timeframe, limit: int, *, ascending: bool) -> Iterator[list[Window]]:
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


@dataclass(frozen=True)
class Cut:
    """Windows of one timeframe, not none, as statements over pieces want them."""

    timeframe: Timeframe
    windows: Sequence[Window]

    @property
    def resolution(self) -> int:
        """Minutes of the longest pieces that fit: 1, 5 or 15."""
        return resolution(self.timeframe, self.windows)

    @property
    def columns(self) -> tuple[object, ...]:
        """Opens, closes and origins; length of a bucket or None; and the range that holds all windows."""
        opens, closes, origins = (
            [getattr(window, name) for window in self.windows] for name in ("open", "close", "origin")
        )
        return opens, closes, origins, self.timeframe.length, min(opens), max(closes)

    def is_closed(self, bucket: datetime, market_time: datetime | None) -> bool:
        """Market time has passed the bucket, or no feed runs."""
        length = self.timeframe.length
        if length is not None:
            end = bucket + length
        else:
            end = max(window.close for window in self.windows if window.origin == bucket)
        return market_time is None or not bucket <= market_time < end


def cuts(
    timeframe: Timeframe,
    calendar: MarketCalendar,
    span: tuple[datetime, datetime],
    extent: tuple[datetime, datetime],
    limit: int,
) -> Iterator[Cut]:
    """The windows of a span, ascending, in portions that are about enough for `limit` buckets."""
    windows = windows_between(timeframe, calendar, span, extent)
    for part in portions(windows, timeframe, limit, ascending=True):
        yield Cut(timeframe, part)

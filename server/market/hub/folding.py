"""Bars of any length from minute bars, as they change."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from server.domain.calendar import MarketCalendar, exchange_date
from server.domain.timeframes import MINUTE_NS, Timeframe
from server.market.records import ABSENT, BAR_CLOSED, BAR_PARTIAL


class BarRow(NamedTuple):
    """A row of the dtype `BAR`."""

    instrument: int
    flags: int
    open_time: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    open_interest: int

    @property
    def closed(self) -> bool:
        """Market time has passed its end."""
        return bool(self.flags & BAR_CLOSED)


def fold(start: int, minutes: Iterable[BarRow], *, closed: bool) -> BarRow:
    """The bar from `start` that consists of these minutes, of which there is at least one.

    Volume is absent when no minute has one, open interest is that of the last minute which has one. It is partial when
    one of them is.
    """
    rows = sorted(minutes, key=lambda row: row.open_time)
    volumes = [row.volume for row in rows if row.volume != ABSENT]
    interests = [row.open_interest for row in rows if row.open_interest != ABSENT]
    partial = any(row.flags & BAR_PARTIAL for row in rows)
    return BarRow(
        instrument=rows[0].instrument,
        flags=(BAR_CLOSED if closed else 0) | (BAR_PARTIAL if partial else 0),
        open_time=start,
        open=rows[0].open,
        high=max(row.high for row in rows),
        low=min(row.low for row in rows),
        close=rows[-1].close,
        volume=sum(volumes) if volumes else ABSENT,
        open_interest=interests[-1] if interests else ABSENT,
    )


def bucket_bounds(timeframe: Timeframe, minute: int, calendar: MarketCalendar) -> tuple[int, int]:
    """Start and end of the bar that holds a minute of a session, nanoseconds since 1970 UTC.

    Both are those of trading: a session's last bar ends with the session; a week begins with the open of its first day
    and ends with the close of its last. Raises ValueError when the minute lies outside of all sessions.
    """
    session = calendar.session_at(minute)
    if session is None:
        raise ValueError(f"no session of {calendar.name} at {minute}")
    period = timeframe.bucket_start(minute, session.open_ns)
    if timeframe.length_ns is not None:
        return period, min(period + timeframe.length_ns, session.close_ns)
    first = exchange_date(period)
    if not calendar.is_trading_day(first):
        first = calendar.next_trading_day(first)
    last = session.date
    while _in_period(timeframe, calendar, following := calendar.next_trading_day(last), period):
        last = following
    return calendar.session_on(first)[0].open_ns, calendar.session_on(last)[-1].close_ns


def _in_period(timeframe: Timeframe, calendar: MarketCalendar, day: date, period: int) -> bool:
    opening = calendar.session_on(day)[0].open_ns
    return timeframe.bucket_start(opening, opening) == period


@dataclass
class Bucket:
    """The minutes of one larger bar."""

    start: int
    end: int
    minutes: dict[int, BarRow] = field(default_factory=dict)
    closed: bool = False

    def row(self) -> BarRow:
        """The bar as it is now."""
        return fold(self.start, self.minutes.values(), closed=self.closed)

    def holds(self, minute: int) -> bool:
        """The minute belongs to this bar."""
        return self.start <= minute < self.end


@dataclass
class Series:
    """Present and previous bar of one instrument. `users` counts the subscriptions that need it."""

    run: str = ""
    users: int = 0
    current: Bucket | None = None
    previous: Bucket | None = None

    def newest(self, *, closed_only: bool) -> BarRow | None:
        """The newest bar, or the newest closed one."""
        for bucket in (self.current, self.previous):
            if bucket is not None and (bucket.closed or not closed_only):
                return bucket.row()
        return None


class Folder:
    """Folds minute bars into bars of one timeframe, for retained instruments only.

    Its two newest bars of an instrument are whole when what was stored of them is filled in (`complete`): what comes
    then is either of one of the two, or the first minute of its bar.
    """

    def __init__(self, timeframe: Timeframe, calendar_of: Callable[[int], MarketCalendar]) -> None:
        self.timeframe = timeframe
        self._calendar_of = calendar_of
        self._series: dict[int, Series] = {}

    def retain(self, instrument: int) -> bool:
        """The instrument is needed once more. -> it was not needed before."""
        series = self._series.setdefault(instrument, Series())
        series.users += 1
        return series.users == 1

    def release(self, instrument: int) -> bool:
        """Takes back one `retain`. -> the instrument is not needed any more."""
        series = self._series[instrument]
        series.users -= 1
        if not series.users:
            del self._series[instrument]
        return not series.users

    def newest(self, instrument: int, *, closed_only: bool) -> BarRow | None:
        """The newest bar of a retained instrument; None before its first minute."""
        return self._series[instrument].newest(closed_only=closed_only)

    def minutes(self, instrument: int) -> list[BarRow]:
        """The known minutes of a retained instrument's previous and present bar, in ascending order."""
        series = self._series[instrument]
        buckets = (bucket for bucket in (series.previous, series.current) if bucket is not None)
        return [bucket.minutes[start] for bucket in buckets for start in sorted(bucket.minutes)]

    def retains(self, instrument: int) -> bool:
        """The instrument is needed."""
        return instrument in self._series

    @property
    def instruments(self) -> list[int]:
        """The retained instruments."""
        return list(self._series)

    def complete(self, piece: BarRow, market_time: int) -> None:
        """Fills in a stored minute of an instrument that may be retained, without telling anybody.

        A minute that came since is newer.
        """
        series = self._series.get(piece.instrument)
        if series is None:
            return
        current, previous = series.current, series.previous
        bucket = self._bucket(series, piece)
        if bucket is None:
            return
        if series.current is not current and current is not None:
            current.closed = True
        is_new = bucket is not current and bucket is not previous
        is_last = piece.closed and piece.open_time + MINUTE_NS >= bucket.end and piece.open_time not in bucket.minutes
        bucket.closed = bucket.closed or is_last or (is_new and market_time >= bucket.end)
        bucket.minutes.setdefault(piece.open_time, piece)

    def begin(self, run: str, market_time: int) -> None:
        """A run begins: nothing is left of what comes after its market time, and the bar that holds that runs again."""
        for series in self._series.values():
            series.run = run
            current = series.current
            if current is not None and max(current.minutes) > market_time:
                series.current = series.previous = None
            elif current is not None:
                current.closed = current.closed and market_time >= current.end

    def follow(self, instrument: int, run: str) -> None:
        """Market time of that run closes the bars of a retained instrument."""
        self._series[instrument].run = run

    def empty(self) -> Folder:
        """Another one of the same timeframe that knows nothing."""
        return Folder(self.timeframe, self._calendar_of)

    def bars(self, instrument: int) -> list[BarRow]:
        """The previous and the present bar of a retained instrument, as far as they are known."""
        series = self._series[instrument]
        return [bucket.row() for bucket in (series.previous, series.current) if bucket is not None]

    def apply(self, run: str, market_time: int, rows: Iterable[BarRow]) -> list[BarRow]:
        """Takes in changed minutes. -> the bars that changed with them, closed ones first.

        A minute that is older than the previous bar changes nothing: only a query of stored bars shows it.
        """
        changed: dict[tuple[int, int], Bucket] = {}
        for row in rows:
            series = self._series.get(row.instrument)
            if series is None:
                continue
            if series.run != run:
                _change_run(series, run, row)
            before = series.current
            bucket = self._bucket(series, row)
            if bucket is None:
                continue
            if series.current is not before and before is not None and not before.closed:
                before.closed = True
                changed[(row.instrument, before.start)] = before
            bucket.minutes[row.open_time] = row
            last = row.closed and row.open_time + MINUTE_NS >= bucket.end
            bucket.closed = bucket.closed or last or market_time >= bucket.end
            changed[(row.instrument, bucket.start)] = bucket
        return [bucket.row() for bucket in changed.values()]

    def close(self, run: str, market_time: int, *, ended: bool = False) -> list[BarRow]:
        """-> the bars that are over, by market time or since session or run `ended`, and were not known to be."""
        closed = []
        for series in self._series.values():
            bucket = series.current
            if bucket is None or bucket.closed or series.run != run:
                continue
            if ended or market_time >= bucket.end:
                bucket.closed = True
                closed.append(bucket.row())
        return closed

    def _bucket(self, series: Series, row: BarRow) -> Bucket | None:
        for bucket in (series.current, series.previous):
            if bucket is not None and bucket.holds(row.open_time):
                return bucket
        start, end = bucket_bounds(self.timeframe, row.open_time, self._calendar_of(row.instrument))
        if series.current is not None and start < series.current.start:
            if series.previous is not None and start < series.previous.start:
                return None
            series.previous = Bucket(start, end, closed=True)
            return series.previous
        series.previous, series.current = series.current, Bucket(start, end)
        return series.current


def _change_run(series: Series, run: str, row: BarRow) -> None:
    """Another run goes on where the last one stopped, unless it is about earlier days."""
    series.run = run
    if series.current is not None and row.open_time < series.current.start:
        series.current = series.previous = None

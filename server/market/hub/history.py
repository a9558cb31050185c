"""Reads from the database what larger bars consist of that began before anybody asked for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

from server.domain.calendar import MarketCalendar, Session, exchange_date
from server.domain.timeframes import MINUTE_NS, Timeframe
from server.market.hub.folding import BarRow, bucket_bounds
from server.market.records import ABSENT, BAR_CLOSED, BAR_PARTIAL
from server.store.bars import Bar, BarQuery, BarStore
from server.store.records import STORED_BAR, Records, from_double, from_nullable, to_datetime, to_nanoseconds

_DAYS_OF_A_PERIOD = 31
_DAY = Timeframe.parse("1day")


class BarHistory:
    """Pieces of open bars, from stored minutes of the present day and stored days before it."""

    def __init__(self, bars: BarStore, calendar_of: Callable[[int], MarketCalendar]) -> None:
        self._bars = bars
        self._calendar_of = calendar_of

    async def pieces(self, instruments: Sequence[int], market_time: int, timeframe: str) -> list[BarRow]:
        """See bars.History."""
        spans: dict[tuple[int, int], list[int]] = {}
        for instrument in instruments:
            span = self._span(instrument, market_time, Timeframe.parse(timeframe))
            if span is not None:
                spans.setdefault(span, []).append(instrument)
        rows: list[BarRow] = []
        for (start, day), members in spans.items():
            for instrument in members if start < day else ():
                rows += await self._days(instrument, start, day)
            rows += minutes_of(await self._bars.day_bars(members, max(start, day), market_time + 1))
        return rows

    async def before(self, instrument: int, instant: int, timeframe: str, count: int) -> list[BarRow]:
        """At most `count` stored bars that begin before an instant, the newest first."""
        query = BarQuery(
            instrument_id=instrument,
            timeframe=Timeframe.parse(timeframe),
            end=to_datetime(instant),
            ascending=False,
            market_time=None,
        )
        page = await self._bars.list_bars(query, self._calendar_of(instrument), count)
        return [_stored_bar(instrument, bar) for bar in page.items]

    async def _days(self, instrument: int, start: int, end: int) -> list[BarRow]:
        query = BarQuery(
            instrument_id=instrument, timeframe=_DAY, start=to_datetime(start), end=to_datetime(end), market_time=None
        )
        page = await self._bars.list_bars(query, self._calendar_of(instrument), _DAYS_OF_A_PERIOD)
        return [_stored_bar(instrument, bar) for bar in page.items]

    def _span(self, instrument: int, market_time: int, timeframe: Timeframe) -> tuple[int, int] | None:
        """Start of the bar at market time, and the open of its day; None when the market has not traded yet."""
        calendar = self._calendar_of(instrument)
        session = _session_before(calendar, market_time)
        if session is None:
            return None
        minute = min(market_time, session.close_ns - MINUTE_NS)
        start, _ = bucket_bounds(timeframe, minute, calendar)
        return start, calendar.session_on(session.date)[0].open_ns


def minutes_of(stored: Records) -> list[BarRow]:
    """Stored minutes as bars."""
    names = STORED_BAR.names or ()
    return [_minute_of(dict(zip(names, row, strict=True))) for row in stored.tolist()]


def _minute_of(row: dict[str, int]) -> BarRow:
    highest, before = row["cumulative_max"], row["cumulative_before"]
    volume = ABSENT if ABSENT in (highest, before) else max(0, highest - before)
    prices = (row["open"], row["high"], row["low"], row["close"])
    return BarRow(row["instrument"], row["flags"], row["open_time"], *prices, volume, row["open_interest"])


def _stored_bar(instrument: int, bar: Bar) -> BarRow:
    flags = (BAR_PARTIAL if bar.partial else 0) | (BAR_CLOSED if bar.closed else 0)
    return BarRow(
        instrument,
        flags,
        to_nanoseconds(bar.open_time),
        from_double(bar.open),
        from_double(bar.high),
        from_double(bar.low),
        from_double(bar.close),
        from_nullable(bar.volume),
        from_nullable(bar.open_interest),
    )


def _session_before(calendar: MarketCalendar, instant: int) -> Session | None:
    """The session at an instant, or the last one before it within ten days."""
    day = exchange_date(instant)
    for _ in range(10):
        begun = [session for session in calendar.session_on(day) if session.open_ns <= instant]
        if begun:
            return begun[-1]
        day -= timedelta(days=1)
    return None

"""Reads from the database what the newest bars consist of that began before anybody asked for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from server.domain.calendar import MarketCalendar, Session, exchange_date, to_nanoseconds
from server.domain.timeframes import MINUTE_NS, Timeframe
from server.market.hub.folding import BarRow, bucket_bounds
from server.market.records import ABSENT, BAR_CLOSED, BAR_PARTIAL
from server.store.bars import Bar, BarQuery, BarStore
from server.store.records import STORED_BAR, Records, from_double, from_nullable, to_datetime

_DAYS_OF_A_PERIOD = 31
_DAY = Timeframe.parse("1day")
_INSTANT = 1_000
"""The shortest time that the database knows, nanoseconds."""
_AT_ONCE = 100
"""Instruments of one query: more minutes at once would keep the process from anything else for too long."""


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Where a bar lies that has something stored, [start, end). `day`: open of the last day with anything.

    `before` is a bound that only older bars come before.
    """

    instrument: int
    start: int
    day: int
    end: int
    before: int


class BarHistory:
    """Pieces of the newest bars, from stored minutes of their last day and stored days before it."""

    def __init__(self, bars: BarStore, calendar_of: Callable[[int], MarketCalendar]) -> None:
        self._bars = bars
        self._calendar_of = calendar_of

    async def pieces(self, instruments: Sequence[int], market_time: int, timeframe: str) -> list[BarRow]:
        """See bar_series.History."""
        rows: list[BarRow] = []
        for place in range(0, len(instruments), _AT_ONCE):
            bounds = dict.fromkeys(instruments[place : place + _AT_ONCE], market_time + _INSTANT)
            for _ in ("the newest bar", "the one before it"):
                stretches = await self._newest(bounds, Timeframe.parse(timeframe))
                if not stretches:
                    break
                rows += await self._pieces(stretches, Timeframe.parse(timeframe))
                bounds = {stretch.instrument: stretch.before for stretch in stretches}
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

    async def _newest(self, bounds: Mapping[int, int], timeframe: Timeframe) -> list[_Stretch]:
        """The newest bar of each instrument before its bound."""
        times = await self._bars.newest_before(bounds, timeframe)
        found = (self._stretch(number, time, bounds[number], timeframe) for number, time in times.items())
        return [stretch for stretch in found if stretch is not None]

    def _stretch(self, instrument: int, time: int, bound: int, timeframe: Timeframe) -> _Stretch | None:
        calendar = self._calendar_of(instrument)
        session = _session_of(calendar, time)
        if session is None:
            return None
        minute = min(max(time, session.open_ns), session.close_ns - MINUTE_NS)
        start, end = bucket_bounds(timeframe, minute, calendar)
        day = calendar.session_on(session.date)[0].open_ns
        before = timeframe.bucket_start(minute, session.open_ns)
        return _Stretch(instrument, start, max(start, day), min(end, bound), before)

    async def _pieces(self, stretches: Sequence[_Stretch], timeframe: Timeframe) -> list[BarRow]:
        """Minutes of the last day, and days before it; where there are no minutes, what was recorded."""
        minutes = await self._bars.stretches([(it.instrument, it.day, it.end) for it in stretches])
        rows, known = minutes_of(minutes), set(minutes["instrument"].tolist())
        for stretch in stretches:
            if stretch.instrument not in known:
                length = timeframe if timeframe.intraday else _DAY
                rows += await self._between(stretch.instrument, length, stretch.start, stretch.end)
            elif stretch.start < stretch.day:
                rows += await self._between(stretch.instrument, _DAY, stretch.start, stretch.day)
        return rows

    async def _between(self, instrument: int, length: Timeframe, start: int, end: int) -> list[BarRow]:
        query = BarQuery(
            instrument_id=instrument, timeframe=length, start=to_datetime(start), end=to_datetime(end), market_time=None
        )
        page = await self._bars.list_bars(query, self._calendar_of(instrument), _DAYS_OF_A_PERIOD)
        return [_stored_bar(instrument, bar) for bar in page.items]


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


def _session_of(calendar: MarketCalendar, time: int) -> Session | None:
    """The session that a stored bar is of: sources stamp bars of a day with midnight or with its open."""
    sessions = calendar.session_on(exchange_date(time))
    begun = [session for session in sessions if session.open_ns <= time]
    return begun[-1] if begun else next(iter(sessions), None)

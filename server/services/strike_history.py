"""ListStrikeHistory: both options of one strike over time, prices beside figures, and how open interest changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Final, cast

import numpy as np

from server.domain.calendar import MarketCalendar, exchange_date
from server.domain.errors import FieldViolation, NotFound
from server.domain.instruments import Instrument, InstrumentKind
from server.domain.options.open_interest import (
    OpenInterestChange,
    open_interest_change,
    previous_close,
    window_baseline,
)
from server.domain.timeframes import Timeframe
from server.services.history_requests import INSTANT, HistorySources, Span
from server.services.listed_expiries import symbol_of
from server.services.market_data_service import timeframe_of
from server.services.requests import SERIES_SIZE, page_size
from server.services.strike_buckets import SideBucket, strike_bucket
from server.store.bar_series import Bar, BarQuery
from server.store.bars import BarStore
from server.store.option_minutes import OptionBucket, OptionMinuteStore
from server.store.paging import cut, decode_token, encode_token
from server.store.records import to_datetime, to_nanoseconds
from strikeline.v1 import option_history_pb2 as pb

_DAY: Final = Timeframe.parse("1day")
_WINDOW: Final = timedelta(hours=1)
_LONGEST_BREAK: Final = timedelta(days=14)
"""No two trading days in a row are further apart."""


@dataclass(frozen=True)
class _Query:
    timeframe: Timeframe
    calendar: MarketCalendar
    span: Span
    window: timedelta
    size: int
    market_time: datetime | None


class StrikeHistory:
    """Reads bars and figures, and lays them side by side."""

    def __init__(self, sources: HistorySources, bars: BarStore, minutes: OptionMinuteStore) -> None:
        self._sources = sources
        self._bars = bars
        self._minutes = minutes

    async def list_strike_history(self, request: pb.ListStrikeHistoryRequest) -> pb.ListStrikeHistoryResponse:
        """Buckets in ascending order. Raises NotFound for an underlying, expiry or strike that is not on record."""
        timeframe, symbol = timeframe_of(request.timeframe), symbol_of(request.underlying)
        listing = await self._sources.expiry(symbol, request.underlying, request.expiry)
        strike = Decimal(repr(request.strike))
        contracts = await self._sources.contracts(symbol, listing)
        sides = {item.kind: item for item in contracts if item.strike == strike}
        if not sides:
            raise _unlisted(symbol, listing.expiry, request.strike)
        bound = (
            "strikeHistory", *sorted(item.key for item in sides.values()), timeframe.name, request.start_time,
            request.end_time,
        )  # fmt: skip
        after = decode_token(bound, request.page_token, int)
        start, end = self._sources.span(request)
        query = _Query(
            timeframe,
            self._sources.calendar(listing.exchange),
            (to_datetime(cast(int, after[0])) + INSTANT if after else start, end),
            request.oi_window.ToTimedelta() if request.HasField("oi_window") else _WINDOW,
            page_size(request.page_size, SERIES_SIZE),
            self._sources.market_time(),
        )
        times, last, found = await self._read(sides, query)
        return pb.ListStrikeHistoryResponse(
            underlying=symbol,
            expiry=listing.expiry.isoformat(),
            strike=request.strike,
            timeframe=timeframe.name,
            call_instrument=sides[InstrumentKind.CALL].key if InstrumentKind.CALL in sides else "",
            put_instrument=sides[InstrumentKind.PUT].key if InstrumentKind.PUT in sides else "",
            buckets=[
                strike_bucket(time, *(found[kind].get(time) for kind in (InstrumentKind.CALL, InstrumentKind.PUT)))
                for time in times
            ],
            next_page_token=encode_token(bound, [to_nanoseconds(last)]) if last else "",
        )

    async def _read(
        self, sides: Mapping[InstrumentKind, Instrument], query: _Query
    ) -> tuple[Sequence[datetime], datetime | None, Mapping[InstrumentKind, Mapping[datetime, SideBucket]]]:
        """The page's times, the last one when another page follows, and the buckets of each side by time."""
        numbers = {item.instrument_id: kind for kind, item in sides.items()}
        figures: dict[InstrumentKind, dict[datetime, OptionBucket]] = {kind: {} for kind in InstrumentKind}
        for bucket in await self._minutes.figures(
            list(numbers), query.timeframe, query.calendar, query.span, query.size + 1, query.market_time
        ):
            figures[numbers[bucket.instrument_id]][bucket.open_time] = bucket
        bars = {kind: await self._bars_of(item, query) for kind, item in sides.items()}
        known = {bar.open_time for rows in bars.values() for bar in rows}.union(*figures.values())
        times, last = cut(sorted(known), query.size)
        found: dict[InstrumentKind, Mapping[datetime, SideBucket]] = {kind: {} for kind in InstrumentKind}
        for kind, item in sides.items():
            wanted = [bar for bar in bars[kind] if times and bar.open_time <= times[-1]]
            changes = await self._changes(item, query, wanted)
            found[kind] = _merged(wanted, changes, figures[kind])
        return times, last, found

    async def _bars_of(self, item: Instrument, query: _Query) -> Sequence[Bar]:
        asked = BarQuery(
            instrument_id=item.instrument_id,
            timeframe=query.timeframe,
            start=query.span[0],
            end=query.span[1],
            market_time=query.market_time,
        )
        return (await self._bars.list_bars(asked, query.calendar, query.size + 1)).items

    async def _changes(
        self, item: Instrument, query: _Query, bars: Sequence[Bar]
    ) -> tuple[OpenInterestChange, OpenInterestChange]:
        """Of each bar against the close of the trading day before, and against the bar a window before."""
        now = _open_interest(bars)
        if not len(now):
            nothing = open_interest_change(now, now)
            return nothing, nothing
        closes = await self._closes(item, query, bars)
        days = [exchange_date(to_nanoseconds(bar.open_time)) for bar in bars]
        by_day = {day: previous_close(closes, query.calendar, day) for day in set(days)}
        before = await self._before(item, query, bars[0].open_time)
        times = np.array([to_nanoseconds(bar.open_time) for bar in (*before, *bars)], np.int64)
        levels = np.concatenate((_open_interest(before), now))
        window = query.window // timedelta(microseconds=1) * 1_000
        baselines = [window_baseline(times, levels, int(time), window) for time in times[len(before) :]]
        return open_interest_change(now, [by_day[day] for day in days]), open_interest_change(now, baselines)

    async def _closes(self, item: Instrument, query: _Query, bars: Sequence[Bar]) -> Mapping[date, float]:
        """Open interest at the close of each day around the bars that has one."""
        span = BarQuery(
            instrument_id=item.instrument_id,
            timeframe=_DAY,
            start=bars[0].open_time - _LONGEST_BREAK,
            end=bars[-1].open_time + INSTANT,
        )
        days = await self._bars.list_bars(span, query.calendar, len(bars) + _LONGEST_BREAK.days)
        return MappingProxyType(
            {
                exchange_date(to_nanoseconds(day.open_time)): float(day.open_interest)
                for day in days.items
                if day.open_interest is not None
            }
        )

    async def _before(self, item: Instrument, query: _Query, first: datetime) -> Sequence[Bar]:
        """Bars of the window before the page, and the last one before that."""
        edge = first - query.window + INSTANT

        async def read(start: datetime, end: datetime, limit: int, *, ascending: bool) -> Sequence[Bar]:
            asked = BarQuery(
                instrument_id=item.instrument_id,
                timeframe=query.timeframe,
                start=start,
                end=end,
                ascending=ascending,
            )
            return (await self._bars.list_bars(asked, query.calendar, limit)).items

        earlier = await read(first - query.window - _LONGEST_BREAK, edge, 1, ascending=False)
        return (*earlier, *await read(edge, first, 24 * 60, ascending=True))


def _open_interest(bars: Sequence[Bar]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([np.nan if bar.open_interest is None else bar.open_interest for bar in bars], np.float64)


def _merged(
    bars: Sequence[Bar],
    changes: tuple[OpenInterestChange, OpenInterestChange],
    figures: Mapping[datetime, OptionBucket],
) -> Mapping[datetime, SideBucket]:
    found = {time: SideBucket(None, None, None, bucket) for time, bucket in figures.items()}
    by_day, by_window = (
        list(zip(change.absolute.tolist(), change.percent.tolist(), strict=True)) for change in changes
    )
    for bar, day, window in zip(bars, by_day, by_window, strict=True):
        found[bar.open_time] = SideBucket(bar, day, window, figures.get(bar.open_time))
    return found


def _unlisted(symbol: str, expiry: date, strike: float) -> NotFound:
    return NotFound(
        f"no option of {symbol}, {expiry.isoformat()}, has the strike {strike}",
        reason="INSTRUMENT_NOT_FOUND",
        metadata={"instrument": f"{symbol} {expiry.isoformat()} {strike:g}"},
        violations=(FieldViolation("strike", "is not listed"),),
    )

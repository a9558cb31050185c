"""ListStrikeHistory: both options of one strike over time, prices beside figures, and how open interest changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Final, cast

from server.domain.calendar import MarketCalendar, to_nanoseconds
from server.domain.errors import FieldViolation, NotFound
from server.domain.instruments import Instrument, InstrumentKind
from server.domain.timeframes import Timeframe
from server.services.history_requests import INSTANT, HistorySources, Span
from server.services.interest_changes import InterestChanges
from server.services.listed_expiries import symbol_of
from server.services.market_data_service import timeframe_of
from server.services.requests import SERIES_SIZE, page_size
from server.services.strike_buckets import SideBucket, open_interest_of, strike_bucket
from server.store.bar_series import Bar, BarQuery
from server.store.bars import BarStore
from server.store.option_minutes import OptionBucket, OptionMinuteStore
from server.store.paging import cut, decode_token, encode_token
from server.store.records import to_datetime
from strikeline.v1 import option_history_pb2 as pb

_WINDOW: Final = timedelta(hours=1)
_SIDES: Final = (InstrumentKind.CALL, InstrumentKind.PUT)


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
        self._changes = InterestChanges(minutes)

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
        message = pb.ListStrikeHistoryResponse(
            underlying=symbol,
            expiry=listing.expiry.isoformat(),
            strike=request.strike,
            timeframe=timeframe.name,
            call_instrument=sides[InstrumentKind.CALL].key if InstrumentKind.CALL in sides else "",
            put_instrument=sides[InstrumentKind.PUT].key if InstrumentKind.PUT in sides else "",
            buckets=[
                strike_bucket(listing.expiry, time, *(found[kind].get(time) for kind in _SIDES)) for time in times
            ],
            next_page_token=encode_token(bound, [to_nanoseconds(last)]) if last else "",
        )
        self._sources.put_now(message)
        return message

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
            own = {bar.open_time: bar for bar in bars[kind]}
            found[kind] = await self._side(item, query, times, own, figures[kind])
        return times, last, found

    async def _side(
        self,
        item: Instrument,
        query: _Query,
        times: Sequence[datetime],
        bars: Mapping[datetime, Bar],
        figures: Mapping[datetime, OptionBucket],
    ) -> Mapping[datetime, SideBucket]:
        known = [time for time in times if time in bars or time in figures]
        levels = {time: open_interest_of(bars.get(time), figures.get(time)) for time in known}
        changes = await self._changes.of(
            item.instrument_id,
            query.timeframe,
            query.calendar,
            {time: level for time, level in levels.items() if level is not None},
            query.window,
        )
        return {time: SideBucket(bars.get(time), figures.get(time), changes.get(time)) for time in known}

    async def _bars_of(self, item: Instrument, query: _Query) -> Sequence[Bar]:
        asked = BarQuery(
            instrument_id=item.instrument_id,
            timeframe=query.timeframe,
            start=query.span[0],
            end=query.span[1],
            market_time=query.market_time,
        )
        return (await self._bars.list_bars(asked, query.calendar, query.size + 1)).items


def _unlisted(symbol: str, expiry: date, strike: float) -> NotFound:
    return NotFound(
        f"no option of {symbol}, {expiry.isoformat()}, has the strike {strike}",
        reason="INSTRUMENT_NOT_FOUND",
        metadata={"instrument": f"{symbol} {expiry.isoformat()} {strike:g}"},
        violations=(FieldViolation("strike", "is not listed"),),
    )

"""Position signals out of stored bars."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from server.domain.calendar import MarketCalendar, calendar_of, to_nanoseconds
from server.domain.futures import PositionMove, position_move
from server.domain.instruments import Instrument
from server.store.bar_series import Bar, BarQuery
from server.store.bars import BarStore
from server.store.paging import Page, cut, decode_token, encode_token
from server.store.records import to_datetime


@dataclass(frozen=True)
class SignalQuery:
    """Signals of contracts of one underlying; `bars` says timeframe, range and market time, of any instrument."""

    underlying: str
    contracts: Sequence[Instrument]
    bars: BarQuery
    threshold: float

    @property
    def bound(self) -> tuple[object, ...]:
        """What a page token belongs to."""
        keys = tuple(contract.key for contract in self.contracts)
        return (self.underlying, keys, self.bars.timeframe.name, self.bars.start, self.bars.end, self.threshold)


@dataclass(frozen=True)
class Signal:
    """One bar of a contract, and what it says against the bar before it."""

    contract: Instrument
    bar: Bar
    move: PositionMove


class SignalSeries:
    """Reads bars of several contracts side by side."""

    def __init__(self, bars: BarStore, calendars: Mapping[str, MarketCalendar]) -> None:
        self._bars = bars
        self._calendars = calendars

    async def page(self, query: SignalQuery, limit: int, page_token: str) -> Page[Signal]:
        """At most `limit` signals by time, then by expiry. Raises InvalidArgument for a token of another query."""
        after = decode_token(query.bound, page_token, int, int)
        position = None if after is None else (int(after[0] or 0), int(after[1] or 0))
        series = [await self._of_contract(query, place, position, limit + 1) for place in range(len(query.contracts))]
        ordered = heapq.merge(*series, key=lambda item: item[0])
        items, last = cut([item for item, _ in zip(ordered, range(limit + 1), strict=False)], limit)
        token = encode_token(query.bound, list(last[0])) if last else ""
        return Page(tuple(signal for _, signal in items), token)

    async def _of_contract(
        self, query: SignalQuery, place: int, after: tuple[int, int] | None, limit: int
    ) -> list[tuple[tuple[int, int], Signal]]:
        """The first signals of a contract behind a position, each with its own."""
        contract = query.contracts[place]
        calendar = self._calendars[calendar_of(contract.exchange)]
        own = replace(query.bars, instrument_id=contract.instrument_id)
        start = own.start if after is None else to_datetime(after[0])
        bars = (await self._bars.list_bars(replace(own, start=start), calendar, limit + 1)).items
        if not bars:
            return []
        before = await self._before(own, bars[0].open_time, calendar)
        found: list[tuple[tuple[int, int], Signal]] = []
        for bar in bars:
            position = (to_nanoseconds(bar.open_time), place)
            if after is None or position > after:
                found.append((position, Signal(contract, bar, _move(bar, before, query.threshold))))
            before = bar
        return found[:limit]

    async def _before(self, query: BarQuery, start: datetime, calendar: MarketCalendar) -> Bar | None:
        behind = replace(query, start=None, end=start, ascending=False)
        page = await self._bars.list_bars(behind, calendar, 1)
        return page.items[0] if page.items else None


def _move(bar: Bar, before: Bar | None, threshold: float) -> PositionMove:
    known = None if before is None else (before.close, before.open_interest)
    return position_move((bar.close, bar.open_interest), known, threshold)

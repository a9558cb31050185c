"""Bars: merging what the worker makes, and reading series of any timeframe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np

from server.domain.calendar import MarketCalendar, to_nanoseconds
from server.domain.timeframes import ONE_MINUTE, Timeframe
from server.store.bar_series import Bar, BarQuery, SeriesReader, bar_of, recorded_parts
from server.store.database import Database, Row, Transaction
from server.store.paging import Page, cut, decode_token, encode_token
from server.store.records import (
    CLOSED,
    PARTIAL,
    STORED_BAR,
    Records,
    from_double,
    from_nullable,
    to_datetime,
    to_datetimes,
    to_doubles,
    to_nullable,
)
from server.store.rollups import mark_dirty
from server.store.statements import Statements
from server.store.windows import up_to

__all__ = ["Bar", "BarQuery", "BarStore"]

_SQL = Statements.of("bars")
_AT_ONCE = 1_000
"""Bars in one statement: encoding more would keep the process from anything else for too long."""


class BarStore:
    """Bars of all instruments. They belong to nobody."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._series = SeriesReader(database)

    async def merge_bars(self, transaction: Transaction, rows: Records) -> None:
        """Merges `STORED_BAR` rows, at most one of each (instrument, open_time), and marks what is to be rolled up.

        Merging is commutative and idempotent: in whatever order and however often versions of a bar come, it ends
        the same.
        """
        if not len(rows):
            return
        for start in range(0, len(rows), _AT_ONCE):
            await transaction.execute(_SQL["merge"], *_merge_columns(rows[start : start + _AT_ONCE]))
        await mark_dirty(transaction, rows["open_time"])

    async def day_bars(self, instrument_ids: Sequence[int], start_ns: int, end_ns: int) -> Records:
        """`STORED_BAR` rows of the instruments that begin in [start, end), by instrument and time: one query."""
        found = await self._database.fetch(
            _SQL["day"], list(instrument_ids), to_datetime(start_ns), to_datetime(end_ns)
        )
        return np.array([_stored(row) for row in found], STORED_BAR)

    async def newest_before(self, bounds: Mapping[int, int], timeframe: Timeframe) -> Mapping[int, int]:
        """By instrument, the newest time before its bound (nanoseconds) at which it has anything to make bars of."""
        names = [part.name for part in recorded_parts(timeframe)]
        found = await self._database.fetch(
            _SQL["newest_before"], list(bounds), [to_datetime(bound) for bound in bounds.values()], names
        )
        times = {row["instrument_id"]: [time for time in (row["minute"], row["recorded"]) if time] for row in found}
        return {number: to_nanoseconds(max(known)) for number, known in times.items() if known}

    async def stretches(self, stretches: Sequence[tuple[int, int, int]]) -> Records:
        """`STORED_BAR` rows of (instrument, start, end) stretches, nanoseconds: one query."""
        found = await self._database.fetch(
            _SQL["stretches"],
            [instrument for instrument, _, _ in stretches],
            [to_datetime(start) for _, start, _ in stretches],
            [to_datetime(end) for _, _, end in stretches],
        )
        return np.array([_stored(row) for row in found], STORED_BAR)

    async def days_with_bars(self, days: Sequence[tuple[int, int, int]]) -> frozenset[tuple[int, int, int]]:
        """Those of the (instrument, day's start, day's end) triples, nanoseconds, that have at least one bar."""
        rows = await self._database.fetch(
            _SQL["days_with_bars"],
            [instrument for instrument, _, _ in days],
            [to_datetime(start) for _, start, _ in days],
            [to_datetime(end) for _, _, end in days],
        )
        return frozenset(days[row["position"] - 1] for row in rows)

    async def store_larger(self, transaction: Transaction, timeframe: Timeframe, source: str, rows: Records) -> None:
        """Keeps `LARGER_BAR` rows as the source gives them; a second version of a bar replaces the first."""
        await transaction.execute(
            _SQL["store_larger"],
            timeframe.name,
            source,
            rows["instrument"].tolist(),
            to_datetimes(rows["open_time"]),
            *(to_doubles(rows[name]) for name in ("open", "high", "low", "close")),
            to_nullable(rows["volume"]),
            to_nullable(rows["open_interest"]),
        )

    async def list_bars(self, query: BarQuery, calendar: MarketCalendar, limit: int, page_token: str = "") -> Page[Bar]:
        """At most `limit` bars in order of time. Buckets begin at each session's open; empty ones have no bar.

        A bar of a day, week or month begins with its first session. Bars made of minutes come before recorded ones.
        """
        bound = (query.instrument_id, query.timeframe.name, query.start, query.end, query.ascending)
        after = decode_token(bound, page_token, int)
        position = int(after[0] or 0) if after else None
        start, end = _behind(query, position)
        if query.timeframe == ONE_MINUTE:
            bars = await self._minutes(query, start, end, limit + 1)
        else:
            bars = await self._series.read(query, calendar, (start, end), limit + 1)
        items, last = cut(bars, limit)
        return Page(items, encode_token(bound, [to_nanoseconds(last.open_time)]) if last else "")

    async def _minutes(self, query: BarQuery, start: datetime, end: datetime, limit: int) -> list[Bar]:
        statement = "minutes_ascending" if query.ascending else "minutes_descending"
        rows = await self._database.fetch(_SQL[statement], query.instrument_id, start, end, limit)
        return [bar_of(row) for row in rows]


_FIRST = datetime.fromisoformat("1990-01-01T00:00:00+00:00")


def _behind(query: BarQuery, position: int | None) -> tuple[datetime, datetime]:
    """The range [start, end) that is left behind a page's last bar."""
    start, end = query.start or _FIRST, query.end or up_to(query.market_time)
    if position is None:
        return start, end
    if query.ascending:
        return to_datetime(position + 1_000), end
    return start, to_datetime(position)


def _stored(row: Row) -> tuple[int, ...]:
    flags = (PARTIAL if row["partial"] else 0) | (CLOSED if row["closed"] else 0)
    prices = (from_double(row[name]) for name in ("open", "high", "low", "close"))
    keys = (row[name] for name in ("first_time", "first_row", "last_time", "last_row"))
    counts = (from_nullable(row[name]) for name in ("cumulative_max", "cumulative_before"))
    opened = to_nanoseconds(row["open_time"])
    return (row["instrument_id"], flags, opened, *prices, from_nullable(row["open_interest"]), *keys, *counts)


def _merge_columns(rows: Records) -> list[Sequence[object]]:
    """The parameters of `merge`."""
    return [
        rows["instrument"].tolist(),
        to_datetimes(rows["open_time"]),
        *(to_doubles(rows[name]) for name in ("open", "high", "low", "close")),
        to_nullable(rows["open_interest"]),
        (rows["flags"] & PARTIAL != 0).tolist(),
        (rows["flags"] & CLOSED != 0).tolist(),
        *(rows[name].tolist() for name in ("first_time", "first_row", "last_time", "last_row")),
        to_nullable(rows["cumulative_max"]),
        to_nullable(rows["cumulative_before"]),
    ]

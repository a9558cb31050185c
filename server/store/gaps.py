"""Which minutes have bars, for whoever looks for those that have none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from server.store.database import Database
from server.store.records import to_datetime, to_nanoseconds
from server.store.statements import Statements

_SQL = Statements.of("backfills")


@dataclass(frozen=True)
class Span:
    """How many minute bars an instrument has in a range, and when the first and the last begin, nanoseconds."""

    instrument_id: int
    bars: int
    first: int
    last: int


class StoredMinutes:
    """Stored minute bars by their times alone. Ranges are [start, end), nanoseconds since 1970 UTC."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def minutes(self, instrument_id: int, start: int, end: int) -> list[int]:
        """When each bar of an instrument begins, ascending."""
        rows = await self._database.fetch(_SQL["minutes"], instrument_id, to_datetime(start), to_datetime(end))
        return [to_nanoseconds(row["open_time"]) for row in rows]

    async def spans(self, instruments: Sequence[int], start: int, end: int) -> list[Span]:
        """Of those instruments that have bars in the range."""
        rows = await self._database.fetch(_SQL["spans"], list(instruments), to_datetime(start), to_datetime(end))
        return [
            Span(row["instrument_id"], row["bars"], to_nanoseconds(row["first"]), to_nanoseconds(row["last"]))
            for row in rows
        ]

    async def with_bars(self, start: int, end: int, limit: int) -> list[int]:
        """Instruments that have a bar in the range, at most so many, by number."""
        rows = await self._database.fetch(_SQL["with_bars"], to_datetime(start), to_datetime(end), limit)
        return [row["instrument_id"] for row in rows]

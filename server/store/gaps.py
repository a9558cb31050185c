"""Which minutes have bars, for whoever looks for those that have none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from server.domain.calendar import to_nanoseconds
from server.store.database import Database
from server.store.records import to_datetime
from server.store.statements import Statements

_SQL = Statements.of("backfills")


class StoredMinutes:
    """Stored minute bars by their times alone. Ranges are [start, end), nanoseconds since 1970 UTC."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def minutes(self, instrument_id: int, start: int, end: int) -> list[int]:
        """When each bar of an instrument begins, ascending."""
        rows = await self._database.fetch(_SQL["minutes"], instrument_id, to_datetime(start), to_datetime(end))
        return [to_nanoseconds(row["open_time"]) for row in rows]

    async def counts(self, instruments: Sequence[int], start: int, end: int) -> Mapping[int, int]:
        """How many bars each of the instruments has in the range; those without any are left out."""
        rows = await self._database.fetch(_SQL["counts"], list(instruments), to_datetime(start), to_datetime(end))
        return {row["instrument_id"]: row["bars"] for row in rows}

    async def with_bars(self, start: int, end: int, limit: int) -> list[int]:
        """Instruments that have a bar in the range, at most so many, by number."""
        rows = await self._database.fetch(_SQL["with_bars"], to_datetime(start), to_datetime(end), limit)
        return [row["instrument_id"] for row in rows]

"""What is stored of buckets of options that are not over: the part that is older than whoever goes on with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from server.store.database import Database
from server.store.records import to_datetime
from server.store.statements import Statements

Figures = Mapping[str, float | int | None]
"""Figures by name; None is not known."""

_SQL = Statements.of("option_pieces")


class OptionPieceStore:
    """Reads sums, counts and last values of contracts. Times are nanoseconds since 1970 UTC."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_contracts(self, instrument_ids: Sequence[int], start: int, end: int) -> Mapping[int, Figures]:
        """Figures over the minutes that begin within [start, end), by contract; without those that have none.

        Columns are named as in `MINUTE_CONTRACT` of `server.market.records`; `close` is rupees, NULL is not known.
        """
        span = (to_datetime(start), to_datetime(end))
        rows = await self._database.fetch(_SQL["of_contracts"], list(instrument_ids), *span)
        return {row["instrument_id"]: dict(row) for row in rows}

    async def minutes(self, underlying: str, expiries: Sequence[date], start: int, end: int) -> Mapping[date, int]:
        """In how many minutes within [start, end) each expiry was valued; without those that were not."""
        span = (to_datetime(start), to_datetime(end))
        rows = await self._database.fetch(_SQL["minutes"], underlying, list(expiries), *span)
        return {row["expiry"]: row["minutes"] for row in rows}

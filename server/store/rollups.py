"""Keeps what is made of minutes equal to them, in both editions of TimescaleDB, from one queue.

Rolled up to 5 and 15 minutes are bars, figures of options and metrics of expiries. Minutes of options go when their
time is over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt

from server.store.database import Database, Transaction
from server.store.records import to_datetimes
from server.store.statements import Statements

_SQL = Statements.of("rollups")
_QUARTER_NS: Final = 900_000_000_000
_QUARTER: Final = timedelta(minutes=15)
_AT_ONCE: Final = 4
"""Quarter hours in one statement: a whole market's options make hundreds of thousands of rows in one."""
_ROLLUPS: Final = tuple(
    f"{source}_{minutes}m" for source in ("bars", "option_minutes", "expiry_metrics") for minutes in (5, 15)
)
_FORGOTTEN: Final = frozenset({"option_minutes_5m", "option_minutes_15m"})
"""What outlives the minutes that it was made of."""


class Edition(StrEnum):
    """Which TimescaleDB runs: Apache-2 keeps roll-ups in tables, Community in continuous aggregates."""

    APACHE = "apache"
    COMMUNITY = "community"


async def mark_dirty(transaction: Transaction, times_ns: npt.NDArray[np.int64]) -> None:
    """Puts the quarter hours of these instants on the queue, in the transaction that changes their minute bars."""
    quarters = np.unique(times_ns // _QUARTER_NS * _QUARTER_NS)
    if len(quarters):
        await transaction.execute(_SQL["mark"], to_datetimes(quarters))


class RollupStore:
    """Works the queue off. Any number of workers may; one at a time does."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def edition(self) -> Edition:
        """The edition of the server."""
        row = await self._database.fetchrow(_SQL["edition"])
        return Edition.COMMUNITY if row is not None and row["community"] else Edition.APACHE

    async def mark_dirty(self, transaction: Transaction, times_ns: npt.NDArray[np.int64]) -> None:
        """Puts the quarter hours of these instants on the queue. `BarStore.merge_bars` does it by itself."""
        await mark_dirty(transaction, times_ns)

    async def waiting(self) -> int:
        """How many quarter hours are on the queue, for metrics."""
        row = await self._database.fetchrow(_SQL["waiting"])
        return row[0] if row else 0

    async def roll_up(self, limit: int = 100, settle: float = 0.0) -> int:
        """Rolls up at most `limit` quarter hours. -> how many; 0 also when another worker is at it.

        `settle` leaves those alone that were marked within the last `settle` seconds: they are still filling, and
        readers take them from the minute bars. A crash repeats work and loses none.
        """
        if await self.edition() is Edition.COMMUNITY:
            return await self._refresh(limit, settle)
        return await self._database.run(lambda transaction: self._aggregate(transaction, limit, settle))

    async def forget_option_minutes(self, days: int) -> int:
        """Drops minutes of options that were recorded more than `days` (1 or more) ago. -> how many chunks went.

        What counts is when they were recorded, so that a replayed old day stays as long as a new one. What was rolled
        up of them stays.
        """
        row = await self._database.fetchrow(_SQL["forget_option_minutes"], timedelta(days=days))
        return row["chunks"] if row else 0

    async def _aggregate(self, transaction: Transaction, limit: int, settle: float) -> int:
        if not await transaction.fetchval(_SQL["lock"]):
            return 0
        buckets, marks = await self._pending(transaction, limit, settle)
        for start in range(0, len(buckets), _AT_ONCE):
            for rollup in _ROLLUPS:
                await transaction.execute(_SQL[f"roll_up_{rollup}"], buckets[start : start + _AT_ONCE])
        if marks:
            await transaction.execute(_SQL["done"], marks)
        return len(buckets)

    async def _refresh(self, limit: int, settle: float) -> int:
        """Refreshing commits by itself, so the queue is shortened afterwards.

        One worker at a time: newer releases of TimescaleDB refuse a refresh beside another one of the same range.
        """
        async with self._database.session() as session:
            if not await session.fetchval(_SQL["take_turn"]):
                return 0
            try:
                buckets, marks = await self._pending(session, limit, settle)
                for start in range(0, len(buckets), _AT_ONCE):
                    await self._refresh_portion(session, buckets[start : start + _AT_ONCE])
                if marks:
                    await session.execute(_SQL["done"], marks)
            finally:
                await session.execute(_SQL["leave_turn"])
            return len(buckets)

    async def _refresh_portion(self, session: Transaction, buckets: Sequence[datetime]) -> None:
        whole = [row["bucket"] for row in await session.fetch(_SQL["unforgotten"], buckets)]
        await session.execute(_SQL["take_rollup_role"])
        try:
            for rollup in _ROLLUPS:
                for start, end in _ranges(whole if rollup in _FORGOTTEN else buckets):
                    await session.execute(_SQL[f"refresh_{rollup}"], start, end)
        finally:
            await session.execute(_SQL["leave_rollup_role"])

    async def _pending(self, transaction: Transaction, limit: int, settle: float) -> tuple[list[datetime], list[int]]:
        rows = await transaction.fetch(_SQL["pending"], limit, timedelta(seconds=settle))
        return [row["bucket"] for row in rows], [mark for row in rows for mark in row["marks"]]


def _ranges(buckets: Sequence[datetime]) -> Iterator[tuple[datetime, datetime]]:
    """Ascending quarter hours as the fewest ranges [start, end)."""
    first = 0
    for position in range(1, len(buckets) + 1):
        if position == len(buckets) or buckets[position] > buckets[position - 1] + _QUARTER:
            yield buckets[first], buckets[position - 1] + _QUARTER
            first = position

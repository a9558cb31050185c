"""Backfills: what is to be filled, one instrument's day at a time, and how far that is."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final

from server.domain.errors import NotFound
from server.store.database import Database, Row, Transaction
from server.store.statements import Statements

_SQL = Statements.of("backfills")
_ERRORS: Final = 20
_MOST_ATTEMPTS: Final = 8
_LONGEST_ERROR: Final = 500


class BackfillState(StrEnum):
    """PENDING: nothing is done yet. FAILED: some days failed and none is left; what was filled stands."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


@dataclass(frozen=True)
class BackfillError:
    """Why an instrument's day is not filled."""

    instrument: str
    day: date
    description: str


@dataclass(frozen=True)
class Backfill:
    """A backfill with its progress. Minutes are counted over the days that are done.

    `missing_minutes` had no bar or were heard of incompletely; `filled_minutes` of them the source had.
    """

    backfill: str
    state: BackfillState
    start: datetime
    end: datetime
    created_at: datetime
    instruments: int
    days: int
    days_done: int
    days_failed: int
    missing_minutes: int
    filled_minutes: int
    errors: tuple[BackfillError, ...]


@dataclass(frozen=True)
class BackfillDay:
    """One instrument's day that a worker has claimed. Minutes in [start, end) are wanted."""

    backfill: str
    instrument_id: int
    day: date
    start: datetime
    end: datetime
    attempts: int


Pair = tuple[int, date]
"""Instrument number and exchange day."""

Gap = tuple[int, date, datetime]
"""Instrument number, exchange day, and when that day is over."""


class BackfillStore:
    """Backfills of the whole system; administrators see all."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, user: str, start: datetime, end: datetime, pairs: Sequence[Pair]) -> Backfill:
        """A new backfill of at least one instrument's day, none twice."""
        name = uuid.uuid4().hex
        async with self._database.transaction() as transaction:
            await _insert(transaction, name, user, (start, end), pairs)
        return await self.get(name)

    async def get(self, name: str) -> Backfill:
        """A backfill with its progress. Raises NotFound."""
        row = await self._database.fetchrow(_SQL["get"], name)
        if row is None:
            raise NotFound(f"no backfill {name}", metadata={"resource": "backfill", "id": name})
        errors = await self._database.fetch(_SQL["errors"], name, _ERRORS)
        return _backfill(row, errors)

    async def begin_for_outage(self, outage: int, start: datetime, end: datetime, pairs: Sequence[Pair]) -> str | None:
        """A new backfill of an outage, unless another worker was faster. -> its id, None when there is none.

        Without pairs there is nothing to fill, which is put on record as well.
        """
        async with self._database.transaction() as transaction:
            if not await transaction.fetchval(_SQL["lock_outage"], outage):
                return None
            name = uuid.uuid4().hex
            await _insert(transaction, name, None, (start, end), pairs)
            await transaction.execute(_SQL["mark_outage"], outage, name)
        return name

    async def begin_for_gaps(self, start: datetime, end: datetime, gaps: Sequence[Gap], cooldown: float) -> str | None:
        """A new backfill of gaps that no backfill of the last `cooldown` seconds had. -> its id, if any.

        What this has begun for a day that was over is not begun again.
        """
        async with self._database.transaction() as transaction:
            if not await transaction.fetchval(_SQL["lock_gaps"]):
                return None
            columns = [list(column) for column in zip(*gaps, strict=True)]
            rows = await transaction.fetch(_SQL["not_tried"], *columns, timedelta(seconds=cooldown))
            fresh = [(row["instrument_id"], row["day"]) for row in rows]
            if not fresh:
                return None
            name = uuid.uuid4().hex
            await _insert(transaction, name, None, (start, end), fresh)
        return name

    async def claim(self, owner: str, lease: float) -> BackfillDay | None:
        """The next day that nobody works on, for `lease` seconds; None when there is none."""
        async with self._database.transaction() as transaction:
            row = await transaction.fetchrow(_SQL["claim"], owner, timedelta(seconds=lease))
        if row is None:
            return None
        return BackfillDay(
            row["backfill"], row["instrument_id"], row["day"], row["start_time"], row["end_time"], row["attempts"]
        )

    async def note(self, day: BackfillDay, missing: int) -> None:
        """So many minutes are missing, and will be asked for now."""
        await self._change("note", day, missing)

    async def finish(self, day: BackfillDay, lacking: int) -> None:
        """The day is done; the source lacks so many of the missing minutes. Doing it twice is as good as once."""
        await self._change("finish", day, lacking)

    async def fail(self, day: BackfillDay, description: str) -> None:
        """The day cannot be filled."""
        await self._change("fail", day, description[:_LONGEST_ERROR])

    async def retry(self, day: BackfillDay, description: str, pause: float) -> None:
        """The day is tried again in `pause` seconds, after 8 attempts no more."""
        if day.attempts >= _MOST_ATTEMPTS:
            await self.fail(day, description)
        else:
            await self._change("retry", day, description[:_LONGEST_ERROR], timedelta(seconds=pause))

    async def _change(self, statement: str, day: BackfillDay, *arguments: object) -> None:
        async with self._database.transaction() as transaction:
            await transaction.execute(_SQL[statement], day.backfill, day.instrument_id, day.day, *arguments)


async def _insert(
    transaction: Transaction, name: str, user: str | None, times: tuple[datetime, datetime], pairs: Sequence[Pair]
) -> None:
    await transaction.execute(_SQL["insert"], name, user, *times)
    await transaction.execute(_SQL["insert_days"], name, [pair[0] for pair in pairs], [pair[1] for pair in pairs])


def _backfill(row: Row, errors: Sequence[Row]) -> Backfill:
    days, done, failed, begun = row["days"], row["done"], row["failed"], row["begun"]
    if done + failed == days:
        state = BackfillState.FAILED if failed else BackfillState.SUCCEEDED
    else:
        state = BackfillState.RUNNING if begun else BackfillState.PENDING
    return Backfill(
        backfill=row["backfill"],
        state=state,
        start=row["start_time"],
        end=row["end_time"],
        created_at=row["created_at"],
        instruments=row["instruments"],
        days=days,
        days_done=done,
        days_failed=failed,
        missing_minutes=row["missing"],
        filled_minutes=row["filled"],
        errors=tuple(BackfillError(error["key"], error["day"], error["error"]) for error in errors),
    )

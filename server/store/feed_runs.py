"""Runs of live feeds: how far each came, and what they may have missed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from server.domain.calendar import to_nanoseconds
from server.store.database import Database, Row
from server.store.records import to_datetime
from server.store.statements import Statements

_SQL = Statements.of("feed_runs")


class OutageReason(StrEnum):
    """Why ticks may be missing."""

    DISCONNECTED = "DISCONNECTED"
    OVERFLOWED = "OVERFLOWED"
    RESTARTED = "RESTARTED"


@dataclass(frozen=True)
class Outage:
    """A stretch of event time, nanoseconds since 1970 UTC, of which ticks may be missing."""

    run: str
    source: str
    reason: OutageReason
    started_at: int
    ended_at: int


@dataclass(frozen=True)
class KnownOutage:
    """An outage on record under its number."""

    outage: int
    reason: OutageReason
    started_at: int
    ended_at: int


class FeedRunStore:
    """Runs and outages. They belong to nobody."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, run: str, source: str) -> int | None:
        """Notes a run. -> market time that the source's run before came to, nanoseconds; None without one."""
        row = await self._database.fetchrow(_SQL["begin"], run, source)
        return None if row is None or row["market_time"] is None else to_nanoseconds(row["market_time"])

    async def progress(self, run: str, market_time: int, *, ended: bool = False) -> None:
        """Notes how far a run has come."""
        async with self._database.transaction() as transaction:
            await transaction.execute(_SQL["progress"], run, to_datetime(market_time), ended)

    async def note(self, outage: Outage) -> None:
        """Keeps an outage."""
        times = to_datetime(outage.started_at), to_datetime(outage.ended_at)
        async with self._database.transaction() as transaction:
            await transaction.execute(_SQL["note"], outage.run, outage.source, outage.reason, *times)

    async def between(self, start_ns: int, end_ns: int) -> list[KnownOutage]:
        """Outages that overlap [start, end), the earliest first."""
        return _known(await self._database.fetch(_SQL["between"], to_datetime(start_ns), to_datetime(end_ns)))

    async def unfilled(self, limit: int) -> list[KnownOutage]:
        """Outages that no backfill was begun for, the earliest first."""
        return _known(await self._database.fetch(_SQL["unfilled"], limit))


def _known(rows: Sequence[Row]) -> list[KnownOutage]:
    return [
        KnownOutage(
            row["outage"],
            OutageReason(row["reason"]),
            to_nanoseconds(row["started_at"]),
            to_nanoseconds(row["ended_at"]),
        )
        for row in rows
    ]

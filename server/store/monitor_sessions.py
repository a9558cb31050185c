"""Monitor sessions: what somebody watches, for as long as somebody does."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from server.domain.errors import NotFound, ResourceExhausted
from server.domain.instruments import Instrument
from server.store.database import Database, Row, Transaction
from server.store.statements import Statements

_SQL = Statements.of("monitor_sessions")
_RENEWED_FROM: Final = 0.75
"""Part of its time that a session has left when a stream renews it: a quarter of it lies between two renewals."""


@dataclass(frozen=True)
class MonitorSession:
    """Instruments by key, in the order in which they were chosen. `revision` grows when they change."""

    monitor_session: str
    instruments: tuple[str, ...]
    revision: int
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True)
class SessionLimits:
    """Seconds that a session lives after it was used last, and most sessions of one user."""

    lifetime: float
    per_user: int


class MonitorSessionStore:
    """Monitor sessions of all users, each for its owner only. `wall` gives seconds since 1970 UTC."""

    def __init__(self, database: Database, limits: SessionLimits, wall: Callable[[], float] = time.time) -> None:
        self._database = database
        self._limits = limits
        self._wall = wall

    async def create(self, user: str, instruments: Sequence[Instrument]) -> MonitorSession:
        """A new session of at least one instrument, none twice.

        Raises ResourceExhausted (MONITOR_SESSION_LIMIT_EXCEEDED) when the user has too many.
        """
        name, numbers = uuid.uuid4().hex, [instrument.instrument_id for instrument in instruments]
        now = self._now()
        async with self._database.transaction(user) as transaction:
            await transaction.execute(_SQL["lock"], user)
            await transaction.execute(_SQL["forget_expired"], now)
            if await transaction.fetchval(_SQL["count"], user) >= self._limits.per_user:
                raise _too_many(self._limits.per_user)
            await transaction.execute(_SQL["insert"], name, user, now, self._end(now))
            await transaction.execute(_SQL["insert_instruments"], name, numbers)
            return await self._found(transaction, user, name, now)

    async def touch(self, user: str, name: str) -> MonitorSession:
        """The session, which lives on. Raises NotFound when it is over, unknown or not the user's."""
        now = self._now()
        async with self._database.transaction(user) as transaction:
            await self._renewed(transaction, user, name, now)
            return await self._found(transaction, user, name, now)

    async def update(self, user: str, name: str, instruments: Sequence[Instrument]) -> MonitorSession:
        """The session with other instruments, which lives on; the same ones in any order change nothing.

        Raises NotFound.
        """
        now, numbers = self._now(), [instrument.instrument_id for instrument in instruments]
        async with self._database.transaction(user) as transaction:
            await self._renewed(transaction, user, name, now)
            if sorted(numbers) != await transaction.fetchval(_SQL["numbers"], name):
                await transaction.execute(_SQL["delete_instruments"], name)
                await transaction.execute(_SQL["insert_instruments"], name, numbers)
                await transaction.execute(_SQL["revise"], name)
            return await self._found(transaction, user, name, now)

    async def delete(self, user: str, name: str) -> None:
        """Ends a session. Raises NotFound."""
        async with self._database.transaction(user) as transaction:
            if not await transaction.execute(_SQL["delete"], name, user, self._now()):
                raise unknown_session(name)

    async def list(self, user: str) -> list[MonitorSession]:
        """The user's sessions that are not over, the oldest first."""
        async with self._database.transaction(user, read_only=True) as transaction:
            return [_session(row) for row in await transaction.fetch(_SQL["list"], user, self._now(), None)]

    async def renew(self, names: Collection[str]) -> Mapping[str, int]:
        """Lets sessions of any users live on, as somebody has them open. -> revisions of those that exist."""
        now = self._now()
        due = now + timedelta(seconds=self._limits.lifetime * _RENEWED_FROM)
        rows = await self._database.fetch(_SQL["renew"], list(names), self._end(now), due)
        return {row["monitor_session"]: row["revision"] for row in rows}

    async def forget_expired(self) -> int:
        """Removes the sessions that are over, of all users when the worker asks. -> how many."""
        async with self._database.transaction() as transaction:
            return await transaction.execute(_SQL["forget_expired"], self._now())

    async def _renewed(self, transaction: Transaction, user: str, name: str, now: datetime) -> None:
        if await transaction.fetchval(_SQL["touch"], name, user, now, self._end(now)) is None:
            raise unknown_session(name)

    async def _found(self, transaction: Transaction, user: str, name: str, now: datetime) -> MonitorSession:
        row = await transaction.fetchrow(_SQL["list"], user, now, name)
        if row is None:
            raise unknown_session(name)
        return _session(row)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._wall(), UTC)

    def _end(self, now: datetime) -> datetime:
        return now + timedelta(seconds=self._limits.lifetime)


def unknown_session(name: str) -> NotFound:
    """The error for a session that is over, was never there, or is somebody else's."""
    return NotFound(f"no monitor session {name}", metadata={"resource": "monitor_session", "id": name})


def _too_many(limit: int) -> ResourceExhausted:
    return ResourceExhausted(
        f"at most {limit} monitor sessions of one user live at once: delete one, or wait until it ends",
        reason="MONITOR_SESSION_LIMIT_EXCEEDED",
        metadata={"limit": str(limit)},
    )


def _session(row: Row) -> MonitorSession:
    return MonitorSession(
        row["monitor_session"], tuple(row["keys"]), row["revision"], row["created_at"], row["expires_at"]
    )

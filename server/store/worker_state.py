"""Who works on which slot, and where each slot stands."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from server.store.database import Database, Transaction
from server.store.statements import Statements

_SQL = Statements.of("worker_state")


class LeaseLost(Exception):
    """Another worker has the slot: whoever gets this must stop working on it at once, without committing."""


@dataclass(frozen=True)
class Lease:
    """A slot that belongs to `owner` until `expires_at`, by the database's clock. A later lease has a higher fence."""

    slot: str
    owner: str
    fence: int
    expires_at: datetime


@dataclass(frozen=True)
class SlotHolder:
    """Who has a slot until `expires_at`, or had it last: `expired` by the database's clock."""

    slot: str
    owner: str
    fence: int
    expires_at: datetime
    expired: bool


@dataclass(frozen=True)
class Checkpoint:
    """What a slot goes on from: a base, then the deltas since, in order. `position` is the log id that it covers."""

    position: str
    base: bytes
    deltas: tuple[bytes, ...]


class LeaseStore:
    """Leases of slots. Only the database's clock counts, so workers' clocks may differ."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def acquire(self, slot: str, owner: str, duration: float) -> Lease | None:
        """The slot for `duration` seconds; None while another owner has it. The same owner takes it back at once."""
        row = await self._database.fetchrow(_SQL["acquire"], slot, owner, timedelta(seconds=duration))
        return None if row is None else Lease(slot, owner, row["fence"], row["expires_at"])

    async def renew(self, lease: Lease, duration: float) -> Lease:
        """The lease for `duration` seconds more, even if it has run out meanwhile. Raises LeaseLost when taken over."""
        row = await self._database.fetchrow(
            _SQL["renew"], lease.slot, lease.owner, lease.fence, timedelta(seconds=duration)
        )
        if row is None:
            raise LeaseLost(lease.slot)
        return replace(lease, expires_at=row["expires_at"])

    async def release(self, lease: Lease) -> None:
        """Gives the slot free at once. Nothing happens when it was taken over."""
        async with self._database.transaction() as transaction:
            await transaction.execute(_SQL["release"], lease.slot, lease.owner, lease.fence)

    async def check(self, transaction: Transaction, lease: Lease) -> None:
        """Raises LeaseLost when the lease was taken over; otherwise it cannot be until the transaction ends."""
        if await transaction.fetchval(_SQL["check"], lease.slot, lease.owner, lease.fence) is None:
            raise LeaseLost(lease.slot)

    async def holders(self) -> list[SlotHolder]:
        """The holders of all slots, former ones too, by slot."""
        return [SlotHolder(**dict(row)) for row in await self._database.fetch(_SQL["leases"])]


class CheckpointStore:
    """Checkpoints of slots, written in the transaction that commits their rows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self, slot: str) -> Checkpoint | None:
        """The latest checkpoint; None for a slot that has never committed."""
        rows = await self._database.fetch(_SQL["load"], slot)
        if not rows:
            return None
        base, *deltas = rows
        return Checkpoint(rows[-1]["position"], base["payload"], tuple(row["payload"] for row in deltas))

    async def save_base(self, transaction: Transaction, slot: str, position: str, payload: bytes) -> None:
        """Begins a checkpoint anew; what was before it is deleted."""
        await self._save(transaction, slot, "base", position, payload)

    async def save_delta(self, transaction: Transaction, slot: str, position: str, payload: bytes) -> None:
        """Adds to the checkpoint. The slot must have a base."""
        await self._save(transaction, slot, "delta", position, payload)

    async def positions(self) -> dict[str, str]:
        """The committed log id of each slot."""
        return {row["slot"]: row["position"] for row in await self._database.fetch(_SQL["positions"])}

    async def _save(
        self, transaction: Transaction, slot: str, kind: Literal["base", "delta"], position: str, payload: bytes
    ) -> None:
        await transaction.execute(_SQL["save"], slot, kind, position, payload)

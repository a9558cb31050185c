"""Ports of one slot that do as they are told, and a clock that the test moves."""

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from server.domain.errors import Unavailable
from server.market.entries import TICKS, Entry
from server.market.slots import SlotPorts, SlotRunner, SlotTiming
from server.market.telemetry import NoMeter
from server.store.worker_state import Checkpoint, Lease, LeaseLost
from strikeline.internal.v1.log_pb2 import LogEntry

TIMING = SlotTiming(lease_duration=3.0, lease_renewal=1.0, commit_interval=0.1, checkpoint_interval=10.0)


class ManualClock:
    """Time that passes in `advance` alone."""

    def __init__(self) -> None:
        self.now = 0.0
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return 1_000.0 + self.now

    async def sleep(self, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (self.now + seconds, len(self._waiting), future))
        await future

    async def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while self._waiting and self._waiting[0][0] <= end:
            self.now, _, future = heapq.heappop(self._waiting)
            if not future.done():
                future.set_result(None)
            await settle()
        self.now = end
        await settle()


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@dataclass
class Leases:
    """Grants the slot; `lost` and `away` make it fail."""

    lost: bool = False
    away: bool = False
    renewed: int = 0
    released: int = 0

    async def acquire(self, slot: str, owner: str, duration: float) -> Lease | None:
        return Lease(slot, owner, 1, datetime.now(UTC))

    async def renew(self, lease: Lease, duration: float) -> Lease:
        if self.away:
            raise Unavailable("away")
        if self.lost:
            raise LeaseLost(lease.slot)
        self.renewed += 1
        return lease

    async def check(self, transaction: object, lease: Lease) -> None:
        if self.lost:
            raise LeaseLost(lease.slot)

    async def release(self, lease: Lease) -> None:
        self.released += 1


@dataclass
class Checkpoints:
    """Keeps what is saved, in order, as (kind, position)."""

    stored: Checkpoint | None = None
    saved: list[tuple[str, str]] = field(default_factory=list)

    async def load(self, slot: str) -> Checkpoint | None:
        return self.stored

    async def save_base(self, transaction: object, slot: str, position: str, payload: bytes) -> None:
        self.saved.append(("base", position))

    async def save_delta(self, transaction: object, slot: str, position: str, payload: bytes) -> None:
        self.saved.append(("delta", position))


@dataclass
class Database:
    """Commits at once, or when `open` is set."""

    open: asyncio.Event | None = None

    async def run(self, work: Callable[[object], Awaitable[int]]) -> int:
        if self.open is not None:
            await self.open.wait()
        return await work(None)


@dataclass
class Stage:
    """Publishes the id of each entry."""

    begun: int = 0
    restored: list[Mapping[str, bytes]] = field(default_factory=list)
    applied: list[str] = field(default_factory=list)

    async def begin(self) -> None:
        self.begun += 1

    def restore(self, sections: Mapping[str, bytes]) -> None:
        self.restored.append(sections)

    async def prepare(self, entry: Entry) -> None:
        await asyncio.sleep(0)

    async def apply(self, entry: Entry) -> bytes | None:
        self.applied.append(entry.id)
        return entry.id.encode()

    def sections(self, *, full: bool) -> Mapping[str, bytes]:
        return {}

    async def save(self, transaction: object) -> int:
        return 0

    def saved(self) -> None:
        """Nothing to forget."""


@dataclass
class Log:
    """Entries to be read, and what is published."""

    entries: list[str] = field(default_factory=list)
    published: list[str] = field(default_factory=list)

    async def read(self, after_id: str, count: int, block_ms: int) -> list[Entry]:
        await asyncio.sleep(0)
        payload = LogEntry(kind=TICKS).SerializeToString()
        place = self.entries.index(after_id) + 1 if after_id in self.entries else 0
        return [Entry.parse(entry_id, [payload]) for entry_id in self.entries[place : place + count]]

    async def publish(self, entries: Sequence[tuple[str, bytes]]) -> None:
        self.published += [entry_id for entry_id, _ in entries]


@dataclass
class Fixture:
    clock: ManualClock = field(default_factory=ManualClock)
    leases: Leases = field(default_factory=Leases)
    checkpoints: Checkpoints = field(default_factory=Checkpoints)
    stage: Stage = field(default_factory=Stage)
    log: Log = field(default_factory=Log)
    database: Database = field(default_factory=Database)
    timing: SlotTiming = TIMING

    def runner(self) -> SlotRunner:
        ports = SlotPorts(self.database, self.leases, self.checkpoints, NoMeter(), self.clock, "worker-a")
        return SlotRunner("bars-0", lambda: self.stage, self.log, self.log, ports, self.timing)


async def stopped(runner: SlotRunner, running: asyncio.Task[None]) -> None:
    runner.stop()
    async with asyncio.timeout(5):
        await running

"""One slot's tenure, with ports that do as they are told and a clock that the test moves."""

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest

from server.domain.errors import Unavailable
from server.market.checkpoints import pack
from server.market.entries import TICKS, Entry
from server.market.slot_plan import all_slots, m2m_slot_of
from server.market.slots import SlotPorts, SlotRunner, SlotState, SlotTiming
from server.market.telemetry import NoMeter
from server.market.worker import instance_name, output_names
from server.settings import Settings
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

    def apply(self, entry: Entry) -> bytes | None:
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


@pytest.fixture
def slot() -> Fixture:
    return Fixture()


async def stopped(runner: SlotRunner, running: asyncio.Task[None]) -> None:
    runner.stop()
    async with asyncio.timeout(5):
        await running


async def test_entries_are_published_before_they_are_committed(slot):
    slot.log.entries = ["1-0", "2-0"]
    runner = slot.runner()

    running = asyncio.create_task(runner.run())
    await settle()

    assert slot.log.published == ["1-0", "2-0"]
    assert slot.checkpoints.saved == [("base", "2-0")]
    assert (runner.state, runner.position) == (SlotState.RUNNING, "2-0")
    await stopped(runner, running)


async def test_commits_keep_their_distance(slot):
    slot.log.entries = ["1-0"]
    runner = slot.runner()
    running = asyncio.create_task(runner.run())
    await settle()

    slot.log.entries += ["2-0"]
    await settle()
    early = list(slot.checkpoints.saved)
    await slot.clock.advance(0.2)

    assert early == [("base", "1-0")]
    assert slot.checkpoints.saved == [("base", "1-0"), ("delta", "2-0")]
    await stopped(runner, running)


async def test_a_new_base_is_made_after_the_checkpoint_interval(slot):
    slot.log.entries = ["1-0"]
    runner = slot.runner()
    running = asyncio.create_task(runner.run())
    await settle()

    await slot.clock.advance(10.5)
    slot.log.entries += ["2-0"]
    await settle()

    assert slot.checkpoints.saved == [("base", "1-0"), ("base", "2-0")]
    await stopped(runner, running)


async def test_a_slot_goes_on_from_its_checkpoint(slot):
    slot.log.entries = ["1-0", "2-0"]
    slot.checkpoints.stored = Checkpoint("1-0", pack({"part": b"base"}), (pack({"part": b"delta"}),))
    runner = slot.runner()

    running = asyncio.create_task(runner.run())
    await settle()

    assert slot.stage.restored == [{"part": b"base"}, {"part": b"delta"}]
    assert (slot.stage.applied, slot.stage.begun) == (["2-0"], 0)
    assert slot.checkpoints.saved == [("delta", "2-0")] or slot.checkpoints.saved == [("base", "2-0")]
    await stopped(runner, running)


async def test_a_checkpoint_that_cannot_be_read_is_replaced_from_its_position_on(slot, caplog):
    slot.log.entries = ["1-0", "2-0"]
    slot.checkpoints.stored = Checkpoint("1-0", b"of another version", ())
    runner = slot.runner()

    running = asyncio.create_task(runner.run())
    await settle()

    assert (slot.stage.applied, slot.stage.begun) == (["2-0"], 1)
    assert slot.checkpoints.saved == [("base", "2-0")]
    assert "begins anew at 1-0" in caplog.text
    await stopped(runner, running)


async def test_stopping_commits_what_was_read_and_gives_the_slot_free(slot):
    slot.log.entries = ["1-0"]
    runner = slot.runner()
    running = asyncio.create_task(runner.run())
    await settle()
    slot.log.entries += ["2-0"]
    await settle()

    await stopped(runner, running)

    assert slot.checkpoints.saved[-1] == ("delta", "2-0")
    assert (slot.leases.released, runner.state) == (1, SlotState.STANDBY)


async def test_the_lease_is_renewed_each_second(slot):
    runner = slot.runner()
    running = asyncio.create_task(runner.run())
    await settle()

    for _ in range(5):
        await slot.clock.advance(1.0)

    assert slot.leases.renewed == 5
    await stopped(runner, running)


async def test_a_lost_lease_ends_the_work_without_a_commit(slot):
    runner = slot.runner()
    running = asyncio.create_task(runner.run())
    await settle()
    slot.leases.lost = True

    await slot.clock.advance(1.0)
    async with asyncio.timeout(5):
        await running

    assert slot.checkpoints.saved == []
    assert runner.state is SlotState.STANDBY


async def test_a_fence_that_was_passed_refuses_the_commit(slot):
    slot.log.entries = ["1-0"]
    slot.leases.lost = True
    runner = slot.runner()

    async with asyncio.timeout(5):
        await runner.run()

    assert slot.checkpoints.saved == []


async def test_a_database_that_is_away_is_borne_until_the_lease_runs_out(slot):
    runner = slot.runner()
    running = asyncio.create_task(runner.run())
    await settle()
    slot.leases.away = True

    await slot.clock.advance(2.0)
    held = not running.done()
    await slot.clock.advance(1.5)
    async with asyncio.timeout(5):
        await running

    assert held


async def test_an_error_of_the_stage_ends_the_run_and_gives_the_slot_free(slot):
    slot.log.entries = ["1-0"]
    slot.stage.apply = lambda entry: 1 / 0
    runner = slot.runner()

    with pytest.raises(ZeroDivisionError):
        await runner.run()

    assert slot.leases.released == 1
    assert slot.checkpoints.saved == []


@pytest.fixture
def aside() -> Fixture:
    """A slot that works on while it commits; the database waits."""
    return Fixture(database=Database(asyncio.Event()), timing=replace(TIMING, aside=True))


async def test_entries_are_worked_on_while_a_commit_is_under_way(aside):
    aside.log.entries = ["1-0"]
    runner = aside.runner()
    running = asyncio.create_task(runner.run())
    await settle()
    aside.log.entries += ["2-0"]
    await settle()
    before = (list(aside.log.published), runner.position)

    aside.database.open.set()
    await settle()
    await aside.clock.advance(0.2)

    assert before == (["1-0", "2-0"], "0-0")
    assert aside.checkpoints.saved == [("base", "1-0"), ("delta", "2-0")]
    await stopped(runner, running)


async def test_stopping_waits_for_the_commit_under_way_and_commits_the_rest(aside):
    aside.log.entries = ["1-0"]
    runner = aside.runner()
    running = asyncio.create_task(runner.run())
    await settle()
    aside.log.entries += ["2-0"]
    await settle()
    runner.stop()
    await settle()

    aside.database.open.set()
    await stopped(runner, running)

    assert aside.checkpoints.saved == [("base", "1-0"), ("delta", "2-0")]


async def test_a_commit_aside_that_fails_ends_the_work(aside):
    aside.log.entries = ["1-0"]
    aside.leases.lost = True
    aside.database.open.set()

    async with asyncio.timeout(5):
        await aside.runner().run()

    assert aside.checkpoints.saved == []
    assert aside.leases.released == 1


async def test_no_commit_goes_on_when_the_work_ends(aside):
    aside.log.entries = ["1-0"]
    running = asyncio.create_task(aside.runner().run())
    await settle()

    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    aside.database.open.set()
    await settle()

    assert aside.checkpoints.saved == []


def test_accounts_are_spread_over_the_slots():
    assert {m2m_slot_of(f"acc-{number}", 4) for number in range(100)} == {0, 1, 2, 3}
    assert m2m_slot_of("demo", 1) == 0


def test_the_plan_of_slots_follows_the_settings():
    settings = Settings(tick_shards=2, m2m_slots=3)

    assert all_slots(settings) == ["bars-0", "bars-1", "chains-0", "chains-1", "m2m-0", "m2m-1", "m2m-2"]
    assert output_names(settings) == ["bars:0", "bars:1", "chains:0", "chains:1", "m2m:0", "m2m:1", "m2m:2"]


def test_an_instance_without_a_name_never_comes_back():
    assert instance_name(Settings(instance="worker-1")) == "worker-1"
    assert instance_name(Settings()) not in {"", "worker-1"}

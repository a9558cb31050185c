"""Ports of a worker's slot that die on purpose, and the means to compare what is left with an uninterrupted run."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from server.market.clock import SystemClock
from server.market.entries import Entry
from server.market.log_reader import LogReader
from server.market.slots import SlotPorts, SlotRunner, SlotTiming
from server.market.stages import Stage
from server.market.telemetry import NoMeter
from server.store.database import Database, Transaction
from server.store.market_log import MarketLog, OutputLog
from server.store.worker_state import CheckpointStore, LeaseStore
from tests.support.progress import has_committed
from tests.support.waiting import eventually

T = TypeVar("T")
TIMING = SlotTiming(lease_duration=2.0, lease_renewal=0.5, commit_interval=0.0, checkpoint_interval=0.05)
PLACES = ["after_read", "before_publish", "within_publish", "after_publish", "within_commit", "after_commit"]
"""Fields of `Fuses`, in the order of a slot's work."""


class Crash(Exception):
    """The process died here."""


@dataclass
class Fuse:
    """Dies at the given passages (counted from 1) of the place that it guards."""

    at: frozenset[int]
    passed: int = 0
    blown: int = 0

    def pass_(self) -> None:
        self.passed += 1
        if self.passed in self.at:
            self.blown += 1
            raise Crash


def never() -> Fuse:
    return Fuse(frozenset())


@dataclass
class Fuses:
    """One for each place between read, publish, commit and the next read."""

    after_read: Fuse = field(default_factory=never)
    before_publish: Fuse = field(default_factory=never)
    within_publish: Fuse = field(default_factory=never)
    after_publish: Fuse = field(default_factory=never)
    within_commit: Fuse = field(default_factory=never)
    after_commit: Fuse = field(default_factory=never)


class DyingReader:
    def __init__(self, reader: LogReader, fuses: Fuses) -> None:
        self._reader, self._fuses = reader, fuses

    async def read(self, after_id: str, count: int, block_ms: int) -> list[Entry]:
        entries = await self._reader.read(after_id, min(count, 3), min(block_ms, 20))
        if entries:
            self._fuses.after_read.pass_()
        return entries


class DyingOutput:
    def __init__(self, output: OutputLog, fuses: Fuses) -> None:
        self._output, self._fuses = output, fuses

    async def publish(self, entries: Sequence[tuple[str, bytes]]) -> None:
        self._fuses.before_publish.pass_()
        await self._output.publish(entries[:1])
        self._fuses.within_publish.pass_()
        await self._output.publish(entries[1:])
        self._fuses.after_publish.pass_()


class DyingDatabase:
    """Dies before the transaction ends, or after it is committed."""

    def __init__(self, database: Database, fuses: Fuses) -> None:
        self._database, self._fuses = database, fuses

    async def run(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        async def and_die(transaction: Transaction) -> T:
            result = await work(transaction)
            self._fuses.within_commit.pass_()
            return result

        result = await self._database.run(and_die)
        self._fuses.after_commit.pass_()
        return result


def dying_slot(
    name: str,
    make_stage: Callable[[], Stage],
    log: MarketLog,
    output: OutputLog,
    database: Database,
    fuses: Fuses,
    timing: SlotTiming = TIMING,
) -> SlotRunner:
    ports = SlotPorts(
        DyingDatabase(database, fuses),  # type: ignore[arg-type]
        LeaseStore(database), CheckpointStore(database), NoMeter(), SystemClock(), "worker-a",
    )  # fmt: skip
    return SlotRunner(
        name, make_stage, DyingReader(LogReader(log, [0]), fuses), DyingOutput(output, fuses), ports, timing
    )


async def run_with_crashes(
    slot: str,
    make_stage: Callable[[], Stage],
    log: MarketLog,
    output: OutputLog,
    database: Database,
    fuses: Fuses,
    last: str,
    timing: SlotTiming = TIMING,
) -> None:
    """Starts the slot again after each crash, until it has committed the whole log."""

    async def done() -> bool:
        return await has_committed(database, [slot], last)

    async def done_or_dead(running: asyncio.Task[None]) -> bool:
        return running.done() or await done()

    async with asyncio.timeout(60):
        while not await done():
            runner = dying_slot(slot, make_stage, log, output, database, fuses, timing)
            running = asyncio.create_task(runner.run())
            await eventually(partial(done_or_dead, running))
            runner.stop()
            try:
                await running
            except Crash:
                continue

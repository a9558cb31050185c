"""Runs one slot of the worker: read the log, apply, publish, commit; under a lease, so that one worker does it.

A publication carries the id of the entry that caused it, and comes before the commit. Whoever goes on after a crash
starts from the committed position, makes the same outputs again, and Redis refuses those that are there. So nothing
is missing and nothing twice, wherever the crash was.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from server.domain.errors import StrikelineError
from server.market import checkpoints
from server.market.clock import Clock
from server.market.entries import Entry
from server.market.stages import Stage
from server.market.telemetry import Meter
from server.store.database import Database, Transaction
from server.store.market_log import FIRST_ID
from server.store.worker_state import CheckpointStore, Lease, LeaseLost, LeaseStore

_LOG = logging.getLogger(__name__)
_READ_COUNT = 64
_IDLE_BLOCK = 0.2
_COMMITTING_BLOCK = 0.02
_PUBLISHED_BYTES = 1_000_000
"""From this size on outputs do not wait for those of the entries that were read with theirs."""
WORK_SHARE = 2.0
"""The usual share of work between commits."""


class Reader(Protocol):
    """Where entries come from."""

    async def read(self, after_id: str, count: int, block_ms: int) -> list[Entry]:
        """At most `count` entries behind `after_id`; waits up to `block_ms` for the first one."""
        ...


class Output(Protocol):
    """Where publications go."""

    async def publish(self, entries: Sequence[tuple[str, bytes]]) -> None:
        """Appends in ascending order of id; those that are there already are left out."""
        ...


@dataclass(frozen=True)
class SlotTiming:
    """Durations in seconds, as in the settings of the same names.

    A commit is followed by at least `work_share` times its own duration of work, so that a slow database slows reading,
    and a slot whose commits are large commits less often. `aside`: entries are worked on while a commit is under way.
    """

    lease_duration: float
    lease_renewal: float
    commit_interval: float
    checkpoint_interval: float
    work_share: float = WORK_SHARE
    aside: bool = False


class SlotState(StrEnum):
    """STANDBY: another worker has the slot. STARTING: the checkpoint is being loaded. RUNNING: the log is followed."""

    STANDBY = "standby"
    STARTING = "starting"
    RUNNING = "running"


@dataclass(frozen=True)
class SlotPorts:
    """What all slots of a worker share."""

    database: Database
    leases: LeaseStore
    checkpoints: CheckpointStore
    meter: Meter
    clock: Clock
    owner: str


class SlotRunner:
    """One slot. `run` returns when the lease is lost or `stop` was called; whoever supervises calls it again."""

    def __init__(
        self,
        name: str,
        make_stage: Callable[[], Stage],
        reader: Reader,
        output: Output,
        ports: SlotPorts,
        timing: SlotTiming,
    ) -> None:
        self.name = name
        self.state = SlotState.STANDBY
        self.position = FIRST_ID
        self.make_stage = make_stage
        self._reader = reader
        self._output = output
        self._ports = ports
        self._timing = timing
        self._stopping = asyncio.Event()

    @property
    def busy(self) -> bool:
        """It holds the lease."""
        return self.state is not SlotState.STANDBY

    def stop(self) -> None:
        """Ends `run` after what was read is published and committed."""
        self._stopping.set()

    async def run(self) -> None:
        """Waits for the slot, works on it until the lease is lost or `stop` was called, and gives it free."""
        lease = await self._acquired()
        if lease is None:
            return
        self.state = SlotState.STARTING
        try:
            await self._hold(lease, _Work(self, lease, self.make_stage(), self._stopping))
        except LeaseLost:
            _LOG.warning("slot %s was taken over", self.name)
            self._ports.meter.count("strikeline_worker_leases_lost_total", slot=self.name)
        finally:
            await self._release(lease)
            self.state = SlotState.STANDBY

    async def _acquired(self) -> Lease | None:
        while not self._stopping.is_set():
            lease = await self._ports.leases.acquire(self.name, self._ports.owner, self._timing.lease_duration)
            if lease is not None:
                return lease
            with suppress(TimeoutError):
                async with asyncio.timeout(self._timing.lease_renewal):
                    await self._stopping.wait()
        return None

    async def _hold(self, lease: Lease, work: _Work) -> None:
        """Works and renews until one of them ends. Nothing of either goes on afterwards."""
        tasks = [asyncio.create_task(work.run(), name=f"work on {self.name}")]
        tasks.append(asyncio.create_task(self._renew(lease), name=f"renew {self.name}"))
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()

    async def _renew(self, lease: Lease) -> None:
        held_until = self._ports.clock.monotonic() + self._timing.lease_duration
        while True:
            await self._ports.clock.sleep(self._timing.lease_renewal)
            asked = self._ports.clock.monotonic()
            try:
                await self._ports.leases.renew(lease, self._timing.lease_duration)
                held_until = asked + self._timing.lease_duration
            except StrikelineError as error:
                # The database is away or slow. Commits check the fence, so nothing wrong can be written meanwhile.
                _LOG.warning("slot %s: lease not renewed: %s", self.name, error)
                if self._ports.clock.monotonic() >= held_until:
                    raise LeaseLost(self.name) from error

    async def _release(self, lease: Lease) -> None:
        try:
            await self._ports.leases.release(lease)
        except StrikelineError as error:
            _LOG.warning("slot %s: lease not released, it runs out by itself: %s", self.name, error)

    @property
    def reader(self) -> Reader:
        """Where entries come from."""
        return self._reader

    @property
    def output(self) -> Output:
        """Where publications go."""
        return self._output

    @property
    def ports(self) -> SlotPorts:
        """What all slots share."""
        return self._ports

    @property
    def timing(self) -> SlotTiming:
        """Durations."""
        return self._timing


@dataclass(frozen=True)
class _Commit:
    """What is to be committed: a base or a delta with everything up to a position."""

    full: bool
    payload: bytes
    position: str
    started: float


class _Work:
    """One tenure of a slot: from the committed state until the lease ends."""

    def __init__(self, slot: SlotRunner, lease: Lease, stage: Stage, stopping: asyncio.Event) -> None:
        self._slot = slot
        self._lease = lease
        self._stage = stage
        self._stopping = stopping
        self._position = FIRST_ID
        self._has_base = False
        self._dirty = False
        self._next_commit = 0.0
        self._next_base = 0.0
        self._committing: asyncio.Task[None] | None = None

    async def run(self) -> None:
        try:
            await self._restore()
            self._slot.state = SlotState.RUNNING
            while not self._stopping.is_set():
                await self._step()
            if self._committing is not None:
                await self._committing
            if self._dirty:
                await self._write(self._taken())
        finally:
            await self._abandon()

    async def _abandon(self) -> None:
        """No commit goes on after the tenure."""
        if self._committing is not None:
            self._committing.cancel()
            await asyncio.gather(self._committing, return_exceptions=True)

    async def _restore(self) -> None:
        found = await self._slot.ports.checkpoints.load(self._slot.name)
        if found is None:
            await self._stage.begin()
        else:
            self._position = self._slot.position = found.position
            try:
                for payload in (found.base, *found.deltas):
                    self._stage.restore(checkpoints.unpack(payload))
                self._has_base = True
            except checkpoints.CheckpointUnreadable as error:
                # Made by another version or for another number of slots: what is committed stands, the rest is
                # learned anew.
                _LOG.warning("slot %s begins anew at %s: %s", self._slot.name, found.position, error)
                self._stage = self._slot.make_stage()
                await self._stage.begin()

    async def _step(self) -> None:
        clock, meter = self._slot.ports.clock, self._slot.ports.meter
        entries = await self._slot.reader.read(self._position, _READ_COUNT, self._block_ms())
        started = clock.monotonic()
        await self._work_on(entries)
        if entries:
            meter.observe("strikeline_worker_batch_seconds", clock.monotonic() - started, slot=self._slot.name)
            meter.count("strikeline_worker_entries_total", len(entries), slot=self._slot.name)
            meter.gauge(
                "strikeline_worker_lag_seconds", clock.wall() - entries[-1].appended_at / 1e9, slot=self._slot.name
            )
        await self._commit_when_due()

    async def _work_on(self, entries: Sequence[Entry]) -> None:
        """Applies entries and publishes what comes of them, in parts that Redis takes in a moment."""
        outputs: list[tuple[str, bytes]] = []
        for entry in entries:
            await self._stage.prepare(entry)
            output = await self._stage.apply(entry)
            if output is not None:
                outputs.append((entry.id, output))
            self._position, self._dirty = entry.id, True
            if sum(len(payload) for _, payload in outputs) >= _PUBLISHED_BYTES:
                await self._slot.output.publish(outputs)
                outputs = []
            await asyncio.sleep(0)
        if entries:
            await self._slot.output.publish(outputs)

    def _block_ms(self) -> int:
        left = self._next_commit - self._slot.ports.clock.monotonic() if self._dirty else _IDLE_BLOCK
        least = _COMMITTING_BLOCK if self._committing is not None else 0.001
        return int(max(least, min(left, _IDLE_BLOCK)) * 1000)

    async def _commit_when_due(self) -> None:
        if self._committing is not None:
            if not self._committing.done():
                return
            self._committing.result()
            self._committing = None
        if not self._dirty or self._slot.ports.clock.monotonic() < self._next_commit:
            return
        commit = self._taken()
        if self._slot.timing.aside:
            self._committing = asyncio.create_task(self._write(commit), name=f"commit of {self._slot.name}")
        else:
            await self._write(commit)

    def _taken(self) -> _Commit:
        started = self._slot.ports.clock.monotonic()
        full = not self._has_base or started >= self._next_base
        self._dirty = False
        return _Commit(full, checkpoints.pack(self._stage.sections(full=full)), self._position, started)

    async def _write(self, commit: _Commit) -> None:
        ports, timing = self._slot.ports, self._slot.timing
        save = ports.checkpoints.save_base if commit.full else ports.checkpoints.save_delta

        async def work(transaction: Transaction) -> int:
            await ports.leases.check(transaction, self._lease)
            rows = await self._stage.save(transaction)
            await save(transaction, self._slot.name, commit.position, commit.payload)
            return rows

        rows = await ports.database.run(work)
        self._stage.saved()
        self._has_base, self._slot.position = True, commit.position
        ended = ports.clock.monotonic()
        self._next_commit = ended + max(timing.commit_interval, timing.work_share * (ended - commit.started))
        if commit.full:
            self._next_base = ended + timing.checkpoint_interval
        ports.meter.observe("strikeline_worker_commit_seconds", ended - commit.started, slot=self._slot.name)
        ports.meter.count("strikeline_worker_rows_total", rows, slot=self._slot.name)

"""Carries changes of strategies from the database into the log, where they have their place between the ticks.

The api writes a change and its row in the outbox in one transaction. The relay appends it to the log and then deletes
the row; when it dies in between, the change is appended again, which its revision makes harmless.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import Protocol

from server.market.clock import Clock
from server.market.entries import STRATEGY_CHANGED
from server.market.telemetry import Meter
from server.store.market_log import LogFull
from server.store.strategy_outbox import StrategyOutbox
from server.store.strategy_values import StrategyState
from server.store.worker_state import Lease, LeaseLost, LeaseStore
from strikeline.internal.v1 import log_pb2

_SLOT = "outbox"
_BATCH = 200
_POLL = 1.0
_FULL_PAUSE = 0.1


class AppendLog(Protocol):
    """Where entries are appended."""

    async def append(self, payloads: list[bytes]) -> str:
        """Appends one entry with a payload for each shard. -> its id. Raises LogFull."""
        ...


class StrategyAnnouncer:
    """Appends states of strategies to all shards of the log."""

    def __init__(self, log: AppendLog, shards: int, clock: Clock) -> None:
        self._log = log
        self._shards = shards
        self._clock = clock

    async def announce(self, state: StrategyState) -> None:
        """Appends one state. Raises LogFull."""
        payload = to_entry(state, int(self._clock.wall() * 1e9)).SerializeToString()
        await self._log.append([payload] * self._shards)

    async def announce_active(self, outbox: StrategyOutbox) -> None:
        """Appends the states of all active strategies; waits as long as the log is full."""
        waiting = deque(await outbox.active_states())
        while waiting:
            try:
                await self.announce(waiting[0])
            except LogFull:
                await self._clock.sleep(_FULL_PAUSE)
            else:
                waiting.popleft()


class OutboxRelay:
    """Works the outbox off while it has the lease; `run` returns when the lease is lost or `stop` was called."""

    def __init__(
        self,
        outbox: StrategyOutbox,
        announcer: StrategyAnnouncer,
        leases: LeaseStore,
        *,
        owner: str,
        lease_duration: float,
        lease_renewal: float,
        clock: Clock,
        meter: Meter,
    ) -> None:
        self._outbox = outbox
        self._announcer = announcer
        self._leases = leases
        self._owner = owner
        self._lease_duration = lease_duration
        self._lease_renewal = lease_renewal
        self._clock = clock
        self._meter = meter
        self._stopping = asyncio.Event()
        self.holds_lease = False

    def stop(self) -> None:
        """Ends `run` after the batch in hand."""
        self._stopping.set()

    async def run(self) -> None:
        """Waits for the lease, relays until it is lost, and gives it free."""
        lease = await self._leases.acquire(_SLOT, self._owner, self._lease_duration)
        if lease is None:
            await self._pause(asyncio.Event(), self._lease_renewal)
            return
        self.holds_lease = True
        try:
            async with self._outbox.listening() as heard:
                await self._relay(lease, heard)
        except LeaseLost:
            self._meter.count("strikeline_worker_leases_lost_total", slot=_SLOT)
        finally:
            self.holds_lease = False
            await self._leases.release(lease)

    async def _relay(self, lease: Lease, heard: asyncio.Event) -> None:
        while not self._stopping.is_set():
            await self._leases.renew(lease, self._lease_duration)
            heard.clear()
            if await self.relay_once() < _BATCH:
                await self._pause(heard, min(_POLL, self._lease_renewal))

    async def relay_once(self) -> int:
        """Appends one batch of changes, oldest first, as far as the log has room. -> how many."""
        announced: list[int] = []
        with suppress(LogFull):
            for entry in await self._outbox.pending(_BATCH):
                await self._announcer.announce(entry.state)
                announced.append(entry.id)
        if announced:
            await self._outbox.done(announced)
            self._meter.count("strikeline_outbox_relayed_total", len(announced))
        return len(announced)

    async def _pause(self, heard: asyncio.Event, seconds: float) -> None:
        waits = [asyncio.create_task(event.wait()) for event in (heard, self._stopping)]
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()


def to_entry(state: StrategyState, appended_at: int) -> log_pb2.LogEntry:
    """A state as a log entry. `appended_at` is wall time in nanoseconds."""
    legs = [
        log_pb2.LegState(
            leg=leg.leg,
            number=leg.number,
            instrument=leg.instrument_id,
            direction=leg.direction,
            quantity=leg.quantity,
            entry_price=leg.entry_price,
        )
        for leg in state.legs
    ]
    strategy = log_pb2.StrategyState(
        account=state.account,
        strategy=state.strategy,
        number=state.number,
        revision=state.revision,
        active=state.active,
        legs=legs,
    )
    return log_pb2.LogEntry(kind=STRATEGY_CHANGED, strategy=strategy, appended_at=appended_at)

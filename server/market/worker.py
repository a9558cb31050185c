"""The worker: all slots that it can get, the outbox relay and trimming, in one process.

Other scheduled work of the role (roll-ups) is handed in by whoever makes the worker, and runs under the same
supervisor.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType

from server.domain.calendar import MarketCalendar
from server.market.bars import BarsStage
from server.market.chain_stage.ports import ChainRules
from server.market.chain_stage.stage import ChainsStage
from server.market.clock import Clock, SystemClock
from server.market.dead_letters import DeadLetters
from server.market.history import StoredHistory
from server.market.log_reader import LogReader
from server.market.m2m import M2mPorts, M2mSlot, M2mStage
from server.market.outbox import OutboxRelay, StrategyAnnouncer
from server.market.sessions import SessionTable
from server.market.slot_plan import (
    all_slots,
    bars_output,
    bars_slot,
    chains_output,
    chains_slot,
    m2m_output,
    m2m_slot,
)
from server.market.slots import WORK_SHARE, SlotPorts, SlotRunner, SlotTiming
from server.market.stages import Stage
from server.market.supervisor import Supervisor, TaskState
from server.market.telemetry import Meter, NoMeter
from server.market.trimming import LogTrimmer
from server.settings import Settings
from server.store.bars import BarStore
from server.store.chain_reference import ChainReferenceStore
from server.store.database import Database
from server.store.dead_letters import DeadLetterStore
from server.store.instruments import InstrumentStore
from server.store.m2m import M2mStore
from server.store.market_log import MarketLog, OutputLog
from server.store.option_minutes import OptionMinuteStore
from server.store.redis import RedisClient
from server.store.strategy_outbox import StrategyOutbox
from server.store.worker_state import CheckpointStore, LeaseStore

_TRIM_INTERVAL = 1.0
_DRAIN_POLL = 0.01
_CHAINS_WORK_SHARE = 10.0
"""In a large market all chains change within a second, so that each commit of them writes nearly everything."""


def instance_name(settings: Settings) -> str:
    """Who this process is when it takes leases: the setting, else host and process id, which never come back."""
    return settings.instance or f"{socket.gethostname()}-{os.getpid()}"


class Worker:
    """All slots of a system, each worked on when its lease can be had.

    `calendars` are by name, as `calendar_of` names them. `jobs` are further tasks by name, each run again when it
    ends. Use it as an async context manager, or call `run`. Leaving drains: what was read is published and committed,
    then the leases are given free.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        redis: RedisClient,
        calendars: Mapping[str, MarketCalendar],
        *,
        jobs: Mapping[str, Callable[[], Awaitable[None]]] = MappingProxyType({}),
        meter: Meter | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._settings = settings
        self._database = database
        self._redis = redis
        self._calendars = calendars
        self._jobs = jobs
        self._meter = meter or NoMeter()
        self._clock = clock or SystemClock()
        self._owner = instance_name(settings)
        self._log = MarketLog(redis, settings.namespace, settings.tick_shards, settings.log_max_entries)
        self._dead_letters = DeadLetters(
            DeadLetterStore(redis, settings.namespace, settings.dead_letters_max),
            lambda source: self._meter.count("strikeline_dead_letters_total", source=source),
        )
        self._supervisor = Supervisor(self._clock)
        self._draining = asyncio.Event()
        self.slots = [*self._bars_slots(), *self._chains_slots(), *self._m2m_slots()]
        self.relay = self._relay()

    async def __aenter__(self) -> Worker:
        await self._supervisor.__aenter__()
        for slot in self.slots:
            self._start(f"worker/{slot.name}", slot.run)
        self._start("worker/outbox", self.relay.run)
        self._start("worker/trim", self._trim)
        for name, job in self._jobs.items():
            self._start(name, job)
        return self

    async def __aexit__(self, *_: object) -> None:
        for slot in self.slots:
            slot.stop()
        self.relay.stop()
        self._draining.set()
        await self._drained()
        await self._supervisor.__aexit__()

    async def run(self) -> None:
        """Works until it is cancelled."""
        async with self:
            await asyncio.Event().wait()

    @property
    def states(self) -> tuple[TaskState, ...]:
        """How the worker's tasks are."""
        return self._supervisor.states

    def _start(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        async def until_drained() -> None:
            if self._draining.is_set():
                await asyncio.Event().wait()
            await work()

        self._supervisor.start(name, until_drained)

    async def _drained(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.drain_grace):
                while any(slot.busy for slot in self.slots) or self.relay.holds_lease:
                    await self._clock.sleep(_DRAIN_POLL)

    async def _trim(self) -> None:
        settings = self._settings
        chains = chains_outputs(settings)
        trimmer = LogTrimmer(
            self._log,
            [self._output(name) for name in output_names(settings) if name not in chains],
            CheckpointStore(self._database),
            all_slots(settings),
            retention=settings.log_retention,
            max_entries=settings.log_max_entries,
            clock=self._clock,
            meter=self._meter,
            brief=[(self._output(name), settings.chain_retention) for name in chains],
        )
        while True:
            await trimmer.trim()
            await self._clock.sleep(_TRIM_INTERVAL)

    def _bars_slots(self) -> list[SlotRunner]:
        def make_stage() -> Stage:
            sessions = SessionTable(self._calendars)
            history = StoredHistory(InstrumentStore(self._database), BarStore(self._database), sessions)
            return BarsStage(sessions, history)

        shards = range(self._settings.tick_shards)
        return [self._slot(bars_slot(shard), make_stage, [shard], bars_output(shard)) for shard in shards]

    def _chains_slots(self) -> list[SlotRunner]:
        settings = self._settings
        rules = ChainRules(settings.risk_free_rate, settings.dividend_yield, int(settings.chain_freshness_bound * 1e9))

        def make_stage() -> Stage:
            reference, minutes = ChainReferenceStore(self._database), OptionMinuteStore(self._database)
            return ChainsStage(SessionTable(self._calendars), rules, reference, minutes, self._meter)

        return [
            self._slot(
                chains_slot(shard),
                make_stage,
                [shard],
                chains_output(shard),
                work_share=_CHAINS_WORK_SHARE,
                aside=True,
            )
            for shard in range(settings.tick_shards)
        ]

    def _m2m_slots(self) -> list[SlotRunner]:
        slots, shards = self._settings.m2m_slots, range(self._settings.tick_shards)
        return [
            self._slot(m2m_slot(number), self._m2m_stage_maker(number), shards, m2m_output(number))
            for number in range(slots)
        ]

    def _m2m_stage_maker(self, number: int) -> Callable[[], Stage]:
        outbox = StrategyOutbox(self._database)
        announcer = self._announcer()
        ports = M2mPorts(
            instruments=InstrumentStore(self._database).by_numbers,
            announce=lambda: announcer.announce_active(outbox),
            output=M2mStore(self._database),
        )
        slot = M2mSlot(number, self._settings.m2m_slots, int(self._settings.freshness_bound * 1e9))
        return lambda: M2mStage(slot, SessionTable(self._calendars), ports)

    def _slot(
        self,
        name: str,
        make_stage: Callable[[], Stage],
        shards: Sequence[int],
        output: str,
        *,
        work_share: float = WORK_SHARE,
        aside: bool = False,
    ) -> SlotRunner:
        settings = self._settings
        return SlotRunner(
            name,
            make_stage,
            LogReader(self._log, shards, self._dead_letters),
            self._output(output),
            SlotPorts(
                self._database,
                LeaseStore(self._database),
                CheckpointStore(self._database),
                self._meter,
                self._clock,
                self._owner,
            ),
            SlotTiming(
                settings.lease_duration,
                settings.lease_renewal,
                settings.commit_interval,
                settings.checkpoint_interval,
                work_share,
                aside,
            ),
        )

    def _output(self, name: str) -> OutputLog:
        return OutputLog(self._redis, self._settings.namespace, name)

    def _announcer(self) -> StrategyAnnouncer:
        return StrategyAnnouncer(self._log, self._settings.tick_shards, self._clock)

    def _relay(self) -> OutboxRelay:
        return OutboxRelay(
            StrategyOutbox(self._database),
            self._announcer(),
            LeaseStore(self._database),
            owner=self._owner,
            lease_duration=self._settings.lease_duration,
            lease_renewal=self._settings.lease_renewal,
            clock=self._clock,
            meter=self._meter,
        )


def output_names(settings: Settings) -> list[str]:
    """Names of the streams that the slots publish to."""
    bars = [bars_output(shard) for shard in range(settings.tick_shards)]
    return [*bars, *chains_outputs(settings), *(m2m_output(number) for number in range(settings.m2m_slots))]


def chains_outputs(settings: Settings) -> list[str]:
    """Those of them that the chains slots publish to."""
    return [chains_output(shard) for shard in range(settings.tick_shards)]

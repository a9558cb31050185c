"""The worker role."""

from __future__ import annotations

from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from server.app.core import load_calendars, open_core
from server.jobs.rollup import RollupJob
from server.market.worker import Worker
from server.rpc.measures import watch
from server.rpc.meters import PrometheusMeter
from server.rpc.metrics_server import metrics_server
from server.settings import Settings
from server.store.rollups import RollupStore


class WorkerApp:
    """The worker role: makes bars and mark-to-market while its context is entered. Leaving commits what was read."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stack = AsyncExitStack()
        self.metrics_port = 0
        """Loopback port of `/metrics`; 0 without one."""

    async def __aenter__(self) -> Self:
        async with self._stack:
            await self._start()
            self._stack = self._stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _start(self) -> None:
        settings, enter = self._settings, self._stack.enter_async_context
        url, timeout = settings.worker_database_url, settings.batch_statement_timeout
        core = await enter(open_core(settings, "worker", url, timeout))
        self.registry = core.registry
        calendars = await load_calendars(core.database)
        jobs = {"worker/rollup": RollupJob(RollupStore(core.database)).run}
        meter = PrometheusMeter(core.registry)
        worker = Worker(settings, core.database, core.redis, calendars, jobs=jobs, meter=meter)
        self.worker = await enter(worker)
        failing = "Tasks of the worker that do not run"
        watch(core.registry, "worker_tasks_failing", failing, lambda: sum(not t.running for t in worker.states))
        if settings.metrics_port:
            self.metrics_port = await enter(metrics_server(core.registry, settings.metrics_port))

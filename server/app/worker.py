"""The worker role."""

from __future__ import annotations

from server.app.backfill import backfill_jobs
from server.app.core import load_calendars, open_core
from server.app.role import Role
from server.jobs.monitor_sessions import MonitorSessionsJob
from server.jobs.retention import RetentionJob
from server.jobs.rollup import RollupJob
from server.market.worker import Worker
from server.observability.measures import watch
from server.rpc.meters import PrometheusMeter
from server.rpc.metrics_server import metrics_server
from server.store.monitor_sessions import MonitorSessionStore, SessionLimits
from server.store.rollups import RollupStore


class WorkerApp(Role):
    """The worker role: makes bars and mark-to-market while its context is entered. Leaving commits what was read."""

    async def _start(self) -> None:
        settings, enter = self._settings, self._stack.enter_async_context
        url, timeout = settings.worker_database_url, settings.batch_statement_timeout
        core = await enter(open_core(settings, "worker", url, timeout))
        self.registry = core.registry
        calendars = await load_calendars(core.database)
        rollups = RollupStore(core.database)
        limits = SessionLimits(settings.monitor_session_ttl, settings.monitor_sessions_per_user)
        sessions = MonitorSessionStore(core.database, limits)
        jobs = {
            "worker/rollup": RollupJob(rollups).run,
            "worker/retention": RetentionJob(rollups, settings.option_minutes_days).run,
            "worker/monitor-sessions": MonitorSessionsJob(sessions).run,
            **await backfill_jobs(core, calendars, self._stack),
        }
        meter = PrometheusMeter(core.registry)
        worker = Worker(settings, core.database, core.redis, calendars, jobs=jobs, meter=meter)
        self.worker = await enter(worker)
        failing = "Tasks of the worker that do not run"
        watch(core.registry, "worker_tasks_failing", failing, lambda: sum(not t.running for t in worker.states))
        if settings.metrics_port:
            self.metrics_port = await enter(metrics_server(core.registry, settings.metrics_port))

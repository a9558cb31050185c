"""A worker over a real database and a real Redis, and what feeds it."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace

import numpy as np
import pytest

from server.domain.calendar import MarketCalendar
from server.market.entries import RUN_ENDED, RUN_STARTED, TICKS
from server.market.worker import Worker
from server.settings import Settings
from server.store.calendar import CalendarStore
from server.store.database import Database
from server.store.market_log import MarketLog
from server.store.redis import RedisClient
from strikeline.internal.v1.log_pb2 import LogEntry
from tests.support import progress
from tests.unit.market.pipeline import Tick, ticks


@dataclass
class LogFeed:
    """Appends the entries of one run to the log."""

    log: MarketLog
    run: str = "run-1"
    source: str = "replay"
    market_time: int = 0
    sent: int = 0

    async def started(self) -> str:
        return await self._append(RUN_STARTED)

    async def batch(self, *rows: Tick) -> str:
        self.market_time = max([self.market_time, *(row.event_time for row in rows)])
        self.sent += len(rows)
        return await self._append(TICKS, ticks=ticks(rows).tobytes())

    async def columns(self, records: np.ndarray, **others: np.ndarray) -> str:
        """Ticks as records; `others` are further record columns of the entry by name."""
        self.market_time = max(self.market_time, int(records["event_time"].max()))
        self.sent += len(records)
        more = {name: rows.tobytes() for name, rows in others.items()}
        return await self._append(TICKS, ticks=records.tobytes(), **more)

    async def ended(self) -> str:
        return await self._append(RUN_ENDED, tick_count=self.sent)

    async def _append(self, kind: int, **fields: object) -> str:
        entry = LogEntry(run=self.run, source=self.source, kind=kind, market_time=self.market_time,
                         appended_at=time.time_ns(), **fields)  # fmt: skip
        return await self.log.append([entry.SerializeToString()])


@pytest.fixture
def worker_settings(namespace: str) -> Settings:
    return Settings(
        namespace=namespace, instance="worker-a", commit_interval=0.02, lease_duration=1.0, lease_renewal=0.2
    )


@pytest.fixture
async def calendars(worker_db: Database) -> dict[str, MarketCalendar]:
    return {"NSE": await CalendarStore(worker_db).load("NSE")}


@pytest.fixture
def market_log(redis: RedisClient, namespace: str) -> MarketLog:
    return MarketLog(redis, namespace)


Start = Callable[..., AbstractAsyncContextManager[Worker]]


@pytest.fixture
def start_worker(
    worker_settings: Settings, worker_db: Database, redis: RedisClient, calendars: dict[str, MarketCalendar]
) -> Start:
    """`async with start_worker(instance="worker-b") as worker:` runs a worker; keywords change settings."""

    @asynccontextmanager
    async def start(**changes: object) -> AsyncIterator[Worker]:
        async with Worker(replace(worker_settings, **changes), worker_db, redis, calendars) as worker:
            yield worker

    return start


@pytest.fixture
def committed(worker_settings: Settings, worker_db: Database) -> Callable[[str], object]:
    """`await committed(entry_id)` returns when every slot has committed that entry."""

    async def wait(entry_id: str) -> None:
        await progress.committed(worker_db, entry_id, worker_settings)

    return wait

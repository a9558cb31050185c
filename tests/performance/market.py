"""A market of many contracts for benchmarks: instruments in the master, and a process that appends ticks to the log.

`python -m tests.performance.market TICKS_A_SECOND BATCH_MS FIRST_ID COUNT SECONDS [depth]` appends until killed or
done, with `depth` the five best levels of each side too. The event time of each batch is the wall time of its making,
so that a client can tell an event's age.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import numpy as np

from server.domain.instruments import Instrument, InstrumentKind, NewInstrument
from server.market.records import DEPTH, DEPTH_LEVELS, TICK
from server.store.database import Database
from server.store.instruments import InstrumentStore
from server.store.market_log import MarketLog
from server.store.redis import open_redis
from strikeline.internal.v1 import log_pb2
from tests.performance.processes import Bench, process

UNDERLYING = "BENCH"


def contracts(count: int) -> list[NewInstrument]:
    """That many equities; only their number matters here."""
    return [
        NewInstrument(
            exchange="NSE",
            tradingsymbol=f"{UNDERLYING}{number}",
            kind=InstrumentKind.EQUITY,
            underlying=UNDERLYING,
            provenance="synthetic",
        )
        for number in range(count)
    ]


async def list_instruments(worker_url: str, count: int) -> list[Instrument]:
    """Puts the contracts into the master. -> them with their numbers."""
    async with Database.open(worker_url, size=2, application_name="bench") as database:
        store = InstrumentStore(database)
        await store.upsert(contracts(count))
        return await store.by_keys([contract.key for contract in contracts(count)])


def tick_batch(ids: np.ndarray, number: int, size: int, now: int) -> np.ndarray:
    """`size` ticks of instruments in turn, all of one event time."""
    ticks = np.zeros(size, TICK)
    first = number * size
    ticks["instrument"] = ids[np.arange(first, first + size) % len(ids)]
    ticks["event_time"] = now
    ticks["row"] = np.arange(first, first + size)
    ticks["last_price"] = 1_000_000 + (ticks["row"] * 7919 % 20_000) * 5
    ticks["last_quantity"] = 50
    ticks["volume"] = 1_000 + ticks["row"]
    ticks["open_interest"] = 500_000
    ticks["bid_price"], ticks["ask_price"] = ticks["last_price"] - 500, ticks["last_price"] + 500
    ticks["bid_quantity"], ticks["ask_quantity"] = 75, 150
    return ticks


def depth_batch(ticks: np.ndarray) -> np.ndarray:
    """Five levels of each side for each tick."""
    depths = np.zeros(len(ticks), DEPTH)
    for name in ("instrument", "event_time", "row"):
        depths[name] = ticks[name]
    level = np.arange(DEPTH_LEVELS)
    for side, direction in (("bids", -1), ("asks", 1)):
        depths[side]["price"] = ticks["last_price"][:, None] + direction * 500 * (level + 1)
        depths[side]["quantity"] = 75 * (1 + (ticks["row"][:, None] + level) % 9)
        depths[side]["orders"] = level + 1
    return depths


def entry_of(ticks: np.ndarray, now: int, depths: np.ndarray | None = None) -> bytes:
    """A serialised log entry."""
    return log_pb2.LogEntry(
        run="bench",
        source="bench",
        kind=log_pb2.LOG_ENTRY_KIND_TICKS,
        market_time=now,
        appended_at=now,
        ticks=ticks.tobytes(),
        depths=b"" if depths is None else depths.tobytes(),
    ).SerializeToString()


async def pump_here(setting: Bench, ids: np.ndarray, *, depth: bool = False) -> None:
    """Appends one tick of each instrument, with `depth` its book too, and gives the api a moment to read them."""
    async with open_redis(setting.redis_url, timeout=5.0) as redis:
        now = time.time_ns()
        ticks = tick_batch(ids, 0, len(ids), now)
        await MarketLog(redis, setting.namespace, 1).append(
            [entry_of(ticks, now, depth_batch(ticks) if depth else None)]
        )
    await asyncio.sleep(0.5)


@asynccontextmanager
async def feeder(
    setting: Bench, listed: Sequence[Instrument], rate: int, milliseconds: int, seconds: float, *, depth: bool = False
) -> AsyncIterator[None]:
    """A process that appends ticks of these instruments meanwhile."""
    first = min(item.instrument_id for item in listed)
    numbers = (rate, milliseconds, first, len(listed), round(seconds))
    command = ["-m", "tests.performance.market", *map(str, numbers), *(["depth"] if depth else [])]
    async with process(command, None, setting.environment):
        yield


async def pump(ids: np.ndarray, rate: int, every: float, seconds: float, *, depth: bool) -> None:
    """Appends batches at the wall clock's pace; a batch that is late is sent at once."""
    size = max(1, round(rate * every))
    namespace = os.environ["STRIKELINE_NAMESPACE"]
    async with open_redis(os.environ["STRIKELINE_REDIS_URL"], timeout=5.0) as redis:
        log = MarketLog(redis, namespace, 1)
        began = time.monotonic()
        for number in range(round(seconds / every)):
            await asyncio.sleep(max(0.0, began + number * every - time.monotonic()))
            now = time.time_ns()
            ticks = tick_batch(ids, number, size, now)
            await log.append([entry_of(ticks, now, depth_batch(ticks) if depth else None)])


if __name__ == "__main__":
    rate, milliseconds, first, count, length = (int(word) for word in sys.argv[1:6])
    numbers = np.arange(first, first + count, dtype=np.int32)
    asyncio.run(pump(numbers, rate, milliseconds / 1000, length, depth=sys.argv[6:] == ["depth"]))

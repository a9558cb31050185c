"""From one tick in the log to a stored and published bar and candle."""

from decimal import Decimal

import numpy as np

from server.market.records import BAR, BAR_CLOSED, M2M
from server.store.accounts import AccountStore
from server.store.market_log import OutputLog
from server.store.strategies import StrategyStore
from server.store.strategy_values import NewLeg, NewStrategy, Side
from strikeline.internal.v1.log_pb2 import BarsEntry, M2mEntry
from tests.integration.worker.conftest import LogFeed
from tests.support.market import instruments, nanoseconds
from tests.unit.market.pipeline import Tick

OPEN = nanoseconds("2025-12-01T09:15:00")


async def test_a_tick_becomes_a_bar(worker_db, redis, namespace, market_log, start_worker, committed):
    _, reliance = await instruments(worker_db)
    feed = LogFeed(market_log)

    async with start_worker():
        await feed.started()
        await feed.batch(Tick(reliance.instrument_id, OPEN, 1, 14_000_500, volume=120))
        last = await feed.ended()
        await committed(last)

    row = await worker_db.fetchrow("SELECT * FROM bars_1m")
    assert (row["instrument_id"], row["open"], row["close"], row["volume"]) == (
        reliance.instrument_id,
        1400.05,
        1400.05,
        120,
    )
    assert row["closed"]
    entries = await OutputLog(redis, namespace, "bars:0").range("0-0", "+", 10)
    bars = [np.frombuffer(BarsEntry.FromString(payload).bars, BAR)[0] for _, payload in entries]
    assert [int(bar["flags"]) & BAR_CLOSED for bar in bars] == [0, BAR_CLOSED]


async def test_a_strategy_created_in_the_database_gets_candles(
    worker_db, api_db, redis, namespace, market_log, start_worker, committed
):
    _, reliance = await instruments(worker_db)
    account = await AccountStore(api_db).create("user-1", "Main", "acc-1")
    leg = NewLeg(instrument_id=reliance.instrument_id, side=Side.BUY, quantity=10, entry_price=Decimal("1400.00"))
    strategy = await StrategyStore(api_db).create(
        "user-1", account.account, NewStrategy(display_name="One", legs=(leg,))
    )
    feed = LogFeed(market_log)

    async with start_worker():
        await committed(await relayed(market_log))
        await feed.started()
        await feed.batch(
            Tick(reliance.instrument_id, OPEN, 1, 14_000_500), Tick(reliance.instrument_id, OPEN + 1, 2, 14_010_000)
        )
        await committed(await feed.ended())

    row = await worker_db.fetchrow(
        "SELECT open, high, low, close FROM m2m_candles WHERE strategy = $1", strategy.number
    )
    assert tuple(row) == (Decimal("0.5"), Decimal(10), Decimal("0.5"), Decimal(10))
    current = await worker_db.fetchrow("SELECT m2m, complete FROM strategy_m2m WHERE strategy = $1", strategy.number)
    assert tuple(current) == (Decimal(10), True)
    entries = await OutputLog(redis, namespace, "m2m:0").range("0-0", "+", 10)
    assert [int(np.frombuffer(M2mEntry.FromString(payload).samples, M2M)["m2m"][0]) for _, payload in entries] == [
        100_000
    ]


async def relayed(log) -> str:
    """Id of the last entry once the outbox has been relayed."""
    while True:
        entries = await log.read(0, "0-0", 100, 100)
        if len(entries) >= 2:
            return entries[-1][0]


async def test_late_ticks_after_a_restart_merge_into_stored_bars(worker_db, market_log, start_worker, committed):
    _, reliance = await instruments(worker_db)
    number, minute = reliance.instrument_id, 60_000_000_000
    feed = LogFeed(market_log)
    async with start_worker():
        await feed.batch(*(Tick(number, OPEN + at * minute, at, 100 + at, volume=100 * at) for at in range(4)))
        await committed(await feed.ended())
    again = LogFeed(market_log, run="run-2")

    async with start_worker(instance="worker-b"):
        await again.batch(Tick(number, OPEN + minute + 1, 9, 555, volume=180))
        await committed(await again.ended())

    rows = await worker_db.fetch("SELECT round(high * 10000), volume FROM bars_1m ORDER BY open_time")
    assert [tuple(row) for row in rows] == [(100, 0), (555, 180), (102, 20), (103, 100)]

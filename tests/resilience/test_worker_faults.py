"""A worker that dies between any two of read, publish, commit and the next read leaves results complete and unique."""

import asyncio
import random
from decimal import Decimal

import pytest

from server.domain.prices import ABSENT, unscale
from server.market.bars import BarsStage
from server.market.entries import Entry
from server.market.history import StoredHistory
from server.market.hub.clock import SystemClock
from server.market.m2m import M2mPorts, M2mSlot, M2mStage
from server.market.outbox import StrategyAnnouncer
from server.market.sessions import SessionTable
from server.store.accounts import AccountStore
from server.store.bars import BarStore
from server.store.calendar import CalendarStore
from server.store.instruments import InstrumentStore
from server.store.m2m import M2mStore
from server.store.market_log import MarketLog, OutputLog, id_key
from server.store.strategies import StrategyStore
from server.store.strategy_values import NewLeg, NewStrategy, Side
from server.store.worker_state import CheckpointStore
from tests.integration.worker.conftest import LogFeed
from tests.resilience.worker_faults import Crash, Fuse, Fuses, dying_slot
from tests.support.market import instruments, nanoseconds
from tests.unit.market.m2m_pipeline import M2mWorker
from tests.unit.market.pipeline import Tick, oracle

OPEN = nanoseconds("2025-12-01T09:15:00")
SECOND = 1_000_000_000
BAR_COLUMNS = ("open", "high", "low", "close", "volume")
PLACES = ["after_read", "before_publish", "within_publish", "after_publish", "within_commit", "after_commit"]


def recorded_ticks(stock: int, index: int) -> list[list[Tick]]:
    """Batches of a few minutes with late ticks, from a fixed seed."""
    chance = random.Random(7)
    batches = []
    for batch in range(30):
        start = OPEN + batch * 7 * SECOND
        rows = []
        for place in range(7):
            number, price = chance.choice((stock, index)), 10_000_000 + chance.randrange(5000) * 500
            volume = batch * 100 + place if number == stock else ABSENT
            rows.append(Tick(number, start + place * SECOND, batch * 10 + place, price, volume))
        if batch % 9 == 8:
            rows.append(Tick(stock, start - 70 * SECOND, batch * 10 + 9, 9_000_000, volume=batch * 100))
        batches.append(rows)
    return batches


@pytest.fixture
async def market(worker_db, api_db, market_log):
    """A log with a strategy, its ticks and an end; -> (ticks, strategy number, id of the last entry)."""
    index, stock = (row.instrument_id for row in await instruments(worker_db))
    await AccountStore(api_db).create("user-1", "Main", "acc-1")
    legs = (
        NewLeg(instrument_id=stock, side=Side.BUY, quantity=75, entry_price=Decimal("1000.0512")),
        NewLeg(instrument_id=index, side=Side.SELL, quantity=50, entry_price=Decimal("1010.75")),
    )
    strategy = await StrategyStore(api_db).create("user-1", "acc-1", NewStrategy(display_name="One", legs=legs))
    batches = recorded_ticks(stock, index)
    feed = LogFeed(market_log)
    await announce(worker_db, market_log)
    await feed.started()
    for rows in batches:
        await feed.batch(*rows)
    last = await feed.ended()
    return [row for rows in batches for row in rows], strategy.number, last


async def announce(database, log: MarketLog) -> None:
    await StrategyAnnouncer(log, 1, SystemClock()).announce_active(StrategyStore(database))


@pytest.fixture
def market_log(redis, namespace) -> MarketLog:
    return MarketLog(redis, namespace)


@pytest.fixture
async def stages(worker_db):
    """Makers of the two stages over the real store."""
    calendars = {"NSE": await CalendarStore(worker_db).load("NSE")}

    def bars() -> BarsStage:
        sessions = SessionTable(calendars)
        return BarsStage(sessions, StoredHistory(InstrumentStore(worker_db), BarStore(worker_db), sessions))

    async def nothing() -> None:
        """The log of these tests has the strategies."""

    def m2m() -> M2mStage:
        ports = M2mPorts(InstrumentStore(worker_db).by_numbers, nothing, M2mStore(worker_db))
        return M2mStage(M2mSlot(0, 1, 60 * SECOND), SessionTable(calendars), ports)

    return {"bars-0": bars, "m2m-0": m2m}


async def run_with_crashes(slot: str, make_stage, log, output, database, fuses: Fuses, last: str) -> None:
    """Starts the slot again after each crash, until it has committed the whole log."""
    checkpoints = CheckpointStore(database)

    async def done() -> bool:
        return id_key((await checkpoints.positions()).get(slot, "0-0")) >= id_key(last)

    async with asyncio.timeout(60):
        while not await done():
            runner = dying_slot(slot, make_stage, log, output, database, fuses)
            running = asyncio.create_task(runner.run())
            while not running.done() and not await done():
                await asyncio.sleep(0.005)
            runner.stop()
            try:
                await running
            except Crash:
                continue


async def expected_outputs(make_stage, log: MarketLog) -> list[tuple[str, bytes]]:
    """What an uninterrupted stage publishes for the log. It has nothing stored before it, and stores nothing."""
    stage = make_stage()
    outputs = []
    for entry_id, payload in await log.range(0, "0-0", "+", 10_000):
        entry = Entry.parse(entry_id, [payload])
        await stage.prepare(entry)
        output = stage.apply(entry)
        if output is not None:
            outputs.append((entry_id, output))
    return outputs


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("slot", ["bars-0", "m2m-0"])
async def test_results_are_those_of_an_uninterrupted_run(
    slot, place, market, stages, worker_db, redis, namespace, market_log
):
    ticks, strategy, last = market
    expected = await expected_outputs(stages[slot], market_log)
    output = OutputLog(redis, namespace, slot.replace("-", ":"))
    fuses = Fuses(**{place: Fuse(frozenset({1, 2, 4, 7, 8}))})

    await run_with_crashes(slot, stages[slot], market_log, output, worker_db, fuses, last)

    assert getattr(fuses, place).blown >= 3
    assert await output.range("0-0", "+", 10_000) == expected
    if slot == "bars-0":
        assert await stored_bars(worker_db) == oracle_rows(ticks)
    else:
        expected_candles = await candles_of(worker_db, market_log, strategy)
        assert len(expected_candles) >= 3
        assert await stored_candles(worker_db, strategy) == expected_candles


async def stored_bars(database) -> dict[tuple[int, int], tuple[float, ...]]:
    rows = await database.fetch("SELECT *, extract(epoch FROM open_time)::bigint AS second FROM bars_1m")
    return {
        (row["instrument_id"], row["second"] * SECOND): (
            row["open"],
            row["high"],
            row["low"],
            row["close"],
            row["volume"],
        )
        for row in rows
    }


def oracle_rows(ticks: list[Tick]) -> dict[tuple[int, int], tuple[float, ...]]:
    return {
        key: (*(price / 10_000 for price in bar[:4]), None if bar[4] < 0 else bar[4])
        for key, bar in oracle(ticks).items()
    }


async def stored_candles(database, strategy: int) -> dict[int, tuple[Decimal, ...]]:
    rows = await database.fetch(
        "SELECT *, extract(epoch FROM open_time)::bigint AS second FROM m2m_candles WHERE strategy = $1", strategy
    )
    return {row["second"] * SECOND: (row["open"], row["high"], row["low"], row["close"]) for row in rows}


async def candles_of(database, log: MarketLog, strategy: int) -> dict[int, tuple[Decimal, ...]]:
    """The strategy's candles by a stage that was never interrupted."""
    worker = M2mWorker(await InstrumentStore(database).all())
    for entry_id, payload in await log.range(0, "0-0", "+", 10_000):
        await worker.feed(Entry.parse(entry_id, [payload]))
    await worker.commit()
    return {minute: tuple(map(unscale, ohlc)) for (number, minute), ohlc in worker.ohlc().items() if number == strategy}

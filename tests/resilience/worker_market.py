"""What the tests of dying workers share: a small market with a strategy, and what an uninterrupted run makes of it."""

import random
from collections.abc import Callable
from decimal import Decimal

from server.domain.prices import ABSENT, unscale
from server.market.bars import BarsStage
from server.market.clock import SystemClock
from server.market.entries import Entry
from server.market.history import StoredHistory
from server.market.m2m import M2mPorts, M2mSlot, M2mStage
from server.market.outbox import StrategyAnnouncer
from server.market.sessions import SessionTable
from server.market.stages import Stage
from server.store.accounts import AccountStore
from server.store.bars import BarStore
from server.store.calendar import CalendarStore
from server.store.instruments import InstrumentStore
from server.store.m2m import M2mStore
from server.store.market_log import MarketLog
from server.store.strategies import StrategyStore
from server.store.strategy_outbox import StrategyOutbox
from server.store.strategy_values import NewLeg, NewStrategy, Side
from tests.support.market import instruments, nanoseconds
from tests.unit.market.m2m_pipeline import M2mWorker
from tests.unit.market.pipeline import MemoryHistory, Tick, oracle

OPEN = nanoseconds("2025-12-01T09:15:00")
SECOND = 1_000_000_000
BAR_COLUMNS = ("open", "high", "low", "close", "volume")


def recorded_ticks(stock: int, index: int, count: int = 30) -> list[list[Tick]]:
    """Batches of a few minutes with late ticks, from a fixed seed."""
    chance = random.Random(7)
    batches = []
    for batch in range(count):
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


async def make_strategy(worker_db, api_db) -> tuple[int, int, int]:
    """-> numbers of a stock, an index, and a strategy on both."""
    index, stock = (row.instrument_id for row in await instruments(worker_db))
    await AccountStore(api_db).create("user-1", "Main", "acc-1")
    legs = (
        NewLeg(instrument_id=stock, side=Side.BUY, quantity=75, entry_price=Decimal("1000.0512")),
        NewLeg(instrument_id=index, side=Side.SELL, quantity=50, entry_price=Decimal("1010.75")),
    )
    strategy = await StrategyStore(api_db).create("user-1", "acc-1", NewStrategy(display_name="One", legs=legs))
    return stock, index, strategy.number


async def announce(database, log: MarketLog) -> None:
    """Puts the strategies into the log."""
    await StrategyAnnouncer(log, 1, SystemClock()).announce_active(StrategyOutbox(database))


async def bars_stage(database, *, stored: bool = True) -> Callable[[], Stage]:
    """A maker of bars stages over the real store, or over a memory of their own."""
    calendars = {"NSE": await CalendarStore(database).load("NSE")}
    known = {row.instrument_id: row for row in await InstrumentStore(database).all()}

    class Memory(MemoryHistory):
        async def instruments(self, numbers):
            return [known[number] for number in numbers if number in known]

    def make() -> BarsStage:
        sessions = SessionTable(calendars)
        store = StoredHistory(InstrumentStore(database), BarStore(database), sessions)
        return BarsStage(sessions, store if stored else Memory(sessions))

    return make


async def m2m_stage(database) -> Callable[[], Stage]:
    """A maker of M2M stages over the real store."""
    calendars = {"NSE": await CalendarStore(database).load("NSE")}

    async def nothing() -> None:
        """The log of these tests has the strategies."""

    def make() -> M2mStage:
        ports = M2mPorts(InstrumentStore(database).by_numbers, nothing, M2mStore(database))
        return M2mStage(M2mSlot(0, 1, 60 * SECOND), SessionTable(calendars), ports)

    return make


async def expected_outputs(make_stage, log: MarketLog) -> list[tuple[str, bytes]]:
    """What an uninterrupted stage publishes for the log. It has nothing stored before it, and stores nothing."""
    stage = make_stage()
    outputs = []
    for entry_id, payload in await log.range(0, "0-0", "+", 10_000):
        entry = Entry.parse(entry_id, [payload])
        await stage.prepare(entry)
        output = await stage.apply(entry)
        if output is not None:
            outputs.append((entry_id, output))
    return outputs


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

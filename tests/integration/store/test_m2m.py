"""Mark-to-market in the database."""

from decimal import Decimal

import numpy as np
import pytest

from server.domain.errors import NotFound
from server.store.accounts import AccountStore
from server.store.database import Database
from server.store.m2m import CurrentSample, M2mCandle, M2mStore
from server.store.records import CANDLE, Records
from server.store.strategies import StrategyStore
from server.store.strategy_values import NewStrategy, Strategy
from tests.support.market import MINUTE, nanoseconds, utc

OPENED = "2025-11-10T09:15:00"
START = nanoseconds(OPENED)


@pytest.fixture
async def strategy(api_db: Database) -> Strategy:
    await AccountStore(api_db).create("asha", account="asha-1")
    return await StrategyStore(api_db).create("asha", "asha-1", NewStrategy(display_name="S"))


@pytest.fixture
def worker(worker_db: Database) -> M2mStore:
    return M2mStore(worker_db)


@pytest.fixture
def reader(api_db: Database) -> M2mStore:
    return M2mStore(api_db)


def candle(
    strategy: int, prices: tuple[int, int, int, int], first: int = 0, last: int = 59, legs: int = 2, minute: int = 0
) -> Records:
    """Scaled amounts; `first` and `last` sample in seconds after the minute's begin."""
    opened = START + minute * MINUTE
    second = 1_000_000_000
    return np.array([(strategy, opened, *prices, legs, opened + first * second, opened + last * second)], CANDLE)


async def merge(database: Database, worker: M2mStore, *rows: Records) -> None:
    for row in rows:
        async with database.transaction() as transaction:
            await worker.merge_candles(transaction, row)


async def listed(reader: M2mStore, strategy: Strategy) -> tuple[M2mCandle, ...]:
    return (await reader.list_candles("asha", "asha-1", strategy.strategy, 100)).items


async def test_a_candle_is_exact(worker_db: Database, worker: M2mStore, reader: M2mStore, strategy: Strategy):
    await merge(worker_db, worker, candle(strategy.number, (-1, 12_345_6789, -9_999_999_999_9999, 0)))
    (found,) = await listed(reader, strategy)
    assert found == M2mCandle(
        utc(OPENED), Decimal("-0.0001"), Decimal("12345.6789"), Decimal("-9999999999.9999"), Decimal(0), 2
    )


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (0, 1, 0, 1)])
async def test_writes_of_one_minute_merge(
    worker_db: Database, worker: M2mStore, reader: M2mStore, strategy: Strategy, order: tuple[int, ...]
):
    early = candle(strategy.number, (100, 130, 90, 110), first=0, last=20, legs=2)
    late = candle(strategy.number, (111, 120, 80, 95), first=21, last=50, legs=3)
    await merge(worker_db, worker, *((early, late)[index] for index in order))
    (found,) = await listed(reader, strategy)
    assert [int(amount * 10_000) for amount in (found.open, found.high, found.low, found.close)] == [100, 130, 80, 95]
    assert found.leg_count == 3


async def test_candles_are_paged_in_both_directions(
    worker_db: Database, worker: M2mStore, reader: M2mStore, strategy: Strategy
):
    await merge(worker_db, worker, *(candle(strategy.number, (n, n, n, n), minute=n) for n in range(5)))
    for ascending, want in ((True, [0, 1, 2, 3, 4]), (False, [4, 3, 2, 1, 0])):
        seen: list[int] = []
        token = ""
        for _ in range(3):
            page = await reader.list_candles("asha", "asha-1", strategy.strategy, 2, token, ascending=ascending)
            seen += [int(item.close * 10_000) for item in page.items]
            token = page.next_page_token
        assert (seen, token) == (want, "")


async def test_a_range_has_its_start_and_not_its_end(
    worker_db: Database, worker: M2mStore, reader: M2mStore, strategy: Strategy
):
    await merge(worker_db, worker, *(candle(strategy.number, (n, n, n, n), minute=n) for n in range(5)))
    span = {"start": utc("2025-11-10T09:16:00"), "end": utc("2025-11-10T09:18:00")}
    page = await reader.list_candles("asha", "asha-1", strategy.strategy, 100, **span)
    assert [int(item.close * 10_000) for item in page.items] == [1, 2]


@pytest.mark.parametrize(("end", "want"), [(None, [0, 1, 2]), ("2025-11-10T09:19:00", [0, 1, 2, 3])])
async def test_without_an_end_candles_end_at_market_time(
    worker_db: Database, worker: M2mStore, reader: M2mStore, strategy: Strategy, end: str | None, want: list[int]
):
    await merge(worker_db, worker, *(candle(strategy.number, (n, n, n, n), minute=n) for n in range(5)))
    span = {"end": utc(end) if end else None, "market_time": utc("2025-11-10T09:17:00")}
    page = await reader.list_candles("asha", "asha-1", strategy.strategy, 100, **span)
    assert [int(item.close * 10_000) for item in page.items] == want


async def test_candles_of_a_foreign_strategy_are_not_found(reader: M2mStore, strategy: Strategy):
    with pytest.raises(NotFound):
        await reader.list_candles("ravi", "asha-1", strategy.strategy, 10)


async def test_candles_of_unknown_strategies_are_left_out(
    worker_db: Database, worker: M2mStore, reader: M2mStore, strategy: Strategy
):
    await merge(worker_db, worker, np.concatenate([candle(999_999, (1,) * 4), candle(strategy.number, (1,) * 4)]))
    assert len(await listed(reader, strategy)) == 1


async def test_a_worker_gets_its_minute_back(worker_db: Database, worker: M2mStore, strategy: Strategy):
    given = candle(strategy.number, (100, 130, 90, 110))
    await merge(worker_db, worker, given)
    assert (await worker.candles_of([strategy.number], START, START + MINUTE)).tolist() == given.tolist()


async def test_the_current_figure_is_replaced(
    worker_db: Database, worker: M2mStore, reader: M2mStore, strategy: Strategy
):
    for amount in (-15_000_000, 12_345_678):
        sample = CurrentSample(strategy.number, START, amount, -amount, True, b"legs")
        async with worker_db.transaction() as transaction:
            await worker.save_current(transaction, [sample])
    found = await reader.current("asha", "asha-1", strategy.strategy)
    assert found is not None
    assert (found.m2m, found.premium_flow, found.market_time) == (
        Decimal("1234.5678"), Decimal("-1234.5678"), utc(OPENED),
    )  # fmt: skip
    assert (found.complete, found.legs) == (True, b"legs")


async def test_the_strategy_shows_its_current_figure(
    worker_db: Database, api_db: Database, worker: M2mStore, strategy: Strategy
):
    async with worker_db.transaction() as transaction:
        await worker.save_current(transaction, [CurrentSample(strategy.number, START, 2_500_000, 0, True, b"")])
    shown = await StrategyStore(api_db).get("asha", "asha-1", strategy.strategy)
    assert (shown.m2m, shown.m2m_time) == (Decimal(250), utc(OPENED))


async def test_a_figure_that_cannot_be_known_is_absent(
    worker_db: Database, worker: M2mStore, reader: M2mStore, strategy: Strategy
):
    async with worker_db.transaction() as transaction:
        await worker.save_current(transaction, [CurrentSample(strategy.number, START, None, None, False, b"")])
    found = await reader.current("asha", "asha-1", strategy.strategy)
    assert found is not None
    assert (found.m2m, found.premium_flow, found.complete) == (None, None, False)


async def test_a_foreign_current_figure_is_not_seen(
    worker_db: Database, worker: M2mStore, reader: M2mStore, strategy: Strategy
):
    async with worker_db.transaction() as transaction:
        await worker.save_current(transaction, [CurrentSample(strategy.number, START, 1, 1, True, b"")])
    assert await reader.current("ravi", "asha-1", strategy.strategy) is None


async def test_candle_and_current_figure_commit_together(
    worker_db: Database, worker: M2mStore, reader: M2mStore, strategy: Strategy
):
    async def fail() -> None:
        async with worker_db.transaction() as transaction:
            await worker.merge_candles(transaction, candle(strategy.number, (1,) * 4))
            await worker.save_current(transaction, [CurrentSample(strategy.number, START, 1, 1, True, b"")])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await listed(reader, strategy) == ()
    assert await reader.current("asha", "asha-1", strategy.strategy) is None

"""What the worker hears of strategies."""

import asyncio
from decimal import Decimal

import pytest

from server.domain.errors import NotFound
from server.store.accounts import AccountStore
from server.store.database import Database, Transaction
from server.store.legs import LegStore
from server.store.strategies import StrategyStore
from server.store.strategy_outbox import StrategyOutbox
from server.store.strategy_values import LegState, NewLeg, NewStrategy, Side, StrategyChanges
from tests.support.market import instruments

LEG = NewLeg(instrument_id=2, side=Side.SELL, quantity=75, entry_price=Decimal("182.5"))


@pytest.fixture
async def store(api_db: Database) -> StrategyStore:
    await instruments(api_db)
    await AccountStore(api_db).create("asha", account="asha-1")
    return StrategyStore(api_db)


@pytest.fixture
def legs(api_db: Database) -> LegStore:
    return LegStore(api_db)


@pytest.fixture
def worker(worker_db: Database) -> StrategyOutbox:
    return StrategyOutbox(worker_db)


async def test_a_change_is_told_as_the_whole_state(store: StrategyStore, legs: LegStore, worker: StrategyOutbox):
    made = await store.create("asha", "asha-1", NewStrategy(display_name="S", legs=(LEG,)))
    (leg,) = (await legs.list("asha", "asha-1", made.strategy, 10)).items
    state = (await worker.pending(10))[-1].state
    assert (state.account, state.strategy, state.number, state.active) == ("asha-1", made.strategy, made.number, True)
    assert state.legs == (LegState(leg.leg, leg.number, 2, -1, 75, 1_825_000),)


async def test_revisions_grow_with_the_changes(store: StrategyStore, legs: LegStore, worker: StrategyOutbox):
    made = await store.create("asha", "asha-1", NewStrategy(display_name="S"))
    await legs.create("asha", "asha-1", made.strategy, LEG)
    await store.archive("asha", "asha-1", made.strategy)
    states = [entry.state for entry in await worker.pending(10)][1:]
    assert [(state.revision, state.active, len(state.legs)) for state in states] == [
        (1, True, 0),
        (2, True, 1),
        (3, False, 1),
    ]


async def test_a_change_that_fails_is_not_told(store: StrategyStore, worker: StrategyOutbox):
    before = await worker.pending(10)
    with pytest.raises(NotFound):
        await store.update("asha", "asha-1", "str-none", StrategyChanges(description="x"))
    assert await worker.pending(10) == before


async def test_what_is_done_is_forgotten(store: StrategyStore, worker: StrategyOutbox):
    entries = await worker.pending(10)
    await worker.done([entry.id for entry in entries])
    assert await worker.pending(10) == []


async def test_a_listener_hears_of_a_change(store: StrategyStore, worker: StrategyOutbox):
    async with worker.listening() as heard, asyncio.timeout(5):
        await store.create("asha", "asha-1", NewStrategy(display_name="S"))
        await heard.wait()
    assert heard.is_set()


async def test_a_listener_notices_that_it_hears_nothing_more(worker: StrategyOutbox, database):
    async with worker.listening() as heard, asyncio.timeout(5):
        with database.connect() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'test-worker' AND datname = current_database()"
            )
        await heard.wait()
    assert heard.is_set()


async def test_all_legs_of_all_strategies_come_in_one_query(
    store: StrategyStore, worker: StrategyOutbox, monkeypatch: pytest.MonkeyPatch
):
    for number in range(20):
        await store.create("asha", "asha-1", NewStrategy(display_name=f"S{number}", legs=(LEG, LEG)))
    queries: list[str] = []
    fetch = Transaction.fetch

    async def counted(self: Transaction, sql: str, *arguments: object) -> list:
        queries.append(sql)
        return await fetch(self, sql, *arguments)

    monkeypatch.setattr(Transaction, "fetch", counted)
    states = await worker.active_states()
    assert (len(states), sum(len(state.legs) for state in states), len(queries)) == (21, 40, 1)

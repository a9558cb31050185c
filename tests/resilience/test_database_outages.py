"""The database behind a network that fails."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from server.domain.errors import DeadlineExceeded, Unavailable
from server.store.breaker import BreakerState
from server.store.database import Database
from tests.support.databases import TestDatabase
from tests.support.network import FaultyNetwork, faulty_network
from tests.support.waiting import eventually

INSERT = "INSERT INTO leases VALUES ($1, 'owner', 1, now())"


@pytest.fixture
async def network(database: TestDatabase) -> AsyncIterator[FaultyNetwork]:
    async with faulty_network(database.owner_url) as network:
        yield network


@pytest.fixture
async def db(database: TestDatabase, network: FaultyNetwork) -> AsyncIterator[Database]:
    url = network.through(database.worker_url)
    async with Database.open(url, size=2, acquire_timeout=1.0, statement_timeout=0.3) as db:
        yield db


async def test_a_cut_network_is_unavailable_at_once(db: Database, network: FaultyNetwork):
    await db.ping()
    network.cut()
    began = time.monotonic()
    with pytest.raises(Unavailable) as raised:
        await db.ping()
    assert (raised.value.reason, raised.value.retry_after) == ("DATABASE_UNAVAILABLE", 1.0)
    assert time.monotonic() - began < 2.0


async def test_all_is_well_when_the_network_is_back(db: Database, network: FaultyNetwork):
    network.cut()
    for _ in range(3):
        with pytest.raises(Unavailable):
            await db.ping()
    network.mend()
    await db.ping()
    assert db.pool_state().in_use == 0


async def test_a_network_cut_within_a_transaction_leaves_nothing(db: Database, network: FaultyNetwork):
    async def work() -> None:
        async with db.transaction() as transaction:
            await transaction.execute(INSERT, "a")
            network.cut()
            await transaction.execute(INSERT, "b")

    with pytest.raises(Unavailable):
        await work()
    network.mend()
    assert await db.fetch("SELECT slot FROM leases") == []


async def test_a_frozen_network_costs_no_more_than_the_limit(db: Database, network: FaultyNetwork):
    await db.ping()
    network.freeze()
    began = time.monotonic()
    with pytest.raises((DeadlineExceeded, Unavailable)):
        await db.fetchrow("SELECT 1")
    assert time.monotonic() - began < 5.0


async def test_a_frozen_network_hinders_only_while_it_is_frozen(db: Database, network: FaultyNetwork):
    await db.ping()
    network.freeze()
    with pytest.raises((DeadlineExceeded, Unavailable)):
        await db.fetchrow("SELECT 1")
    network.mend()
    await db.ping()


async def test_all_callers_of_a_frozen_database_are_told_in_time(db: Database, network: FaultyNetwork):
    await db.ping()
    network.freeze()
    began = time.monotonic()
    results = await asyncio.gather(*(db.fetchrow("SELECT 1") for _ in range(20)), return_exceptions=True)
    assert all(isinstance(result, DeadlineExceeded | Unavailable) for result in results)
    assert time.monotonic() - began < 10.0


async def failing(db: Database) -> float:
    """Uses the database in vain. -> how long that took."""
    began = time.monotonic()
    with pytest.raises((DeadlineExceeded, Unavailable)):
        async with db.transaction() as transaction:
            await transaction.fetchval("SELECT 1")
    return time.monotonic() - began


async def until_answered(db: Database) -> float:
    """Uses the database until it answers. -> how long that took."""
    began = time.monotonic()

    async def answered() -> bool:
        try:
            await db.ping()
        except (DeadlineExceeded, Unavailable):
            return False
        return True

    await eventually(answered)
    return time.monotonic() - began


async def test_nobody_waits_for_a_database_that_is_known_to_be_silent(db: Database, network: FaultyNetwork):
    await db.ping()
    network.freeze()
    await asyncio.gather(*(failing(db) for _ in range(5)))
    assert db.watch.breaker.state is BreakerState.OPEN

    waits = await asyncio.gather(*(failing(db) for _ in range(20)))

    assert sorted(waits)[-2] < 0.1  # all but the one that may probe


@pytest.mark.parametrize("outage", ["freeze", "cut"])
async def test_a_database_that_is_back_is_used_again_within_five_seconds(
    db: Database, network: FaultyNetwork, outage: str
):
    await db.ping()
    getattr(network, outage)()
    while db.watch.breaker.state is BreakerState.CLOSED:
        await failing(db)

    network.mend()

    assert await until_answered(db) < 5.0
    assert db.watch.breaker.state is BreakerState.CLOSED

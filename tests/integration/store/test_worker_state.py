"""Leases and checkpoints."""

import asyncio

import pytest

from server.store.database import Database
from server.store.worker_state import CheckpointStore, LeaseLost, LeaseStore, SlotHolder


@pytest.fixture
def leases(worker_db: Database) -> LeaseStore:
    return LeaseStore(worker_db)


@pytest.fixture
def checkpoints(worker_db: Database) -> CheckpointStore:
    return CheckpointStore(worker_db)


async def test_a_free_slot_is_given(leases: LeaseStore):
    lease = await leases.acquire("bars-0", "worker-1", 3.0)
    assert lease is not None
    assert (lease.slot, lease.owner, lease.fence) == ("bars-0", "worker-1", 1)


async def test_a_held_slot_is_not_given(leases: LeaseStore):
    await leases.acquire("bars-0", "worker-1", 3.0)
    assert await leases.acquire("bars-0", "worker-2", 3.0) is None


async def test_the_same_owner_takes_it_back_under_a_higher_fence(leases: LeaseStore):
    await leases.acquire("bars-0", "worker-1", 3.0)
    again = await leases.acquire("bars-0", "worker-1", 3.0)
    assert again is not None
    assert again.fence == 2


async def test_a_lease_that_ran_out_is_taken_over(leases: LeaseStore):
    await leases.acquire("bars-0", "worker-1", 0.0)
    taken = await leases.acquire("bars-0", "worker-2", 3.0)
    assert taken is not None
    assert (taken.owner, taken.fence) == ("worker-2", 2)


async def test_a_released_slot_is_free_and_its_fence_goes_on(leases: LeaseStore):
    first = await leases.acquire("bars-0", "worker-1", 3.0)
    assert first is not None
    await leases.release(first)
    second = await leases.acquire("bars-0", "worker-2", 3.0)
    assert second is not None
    assert second.fence == 2


async def test_of_many_workers_one_gets_the_slot(leases: LeaseStore):
    given = await asyncio.gather(*(leases.acquire("bars-0", f"worker-{n}", 3.0) for n in range(10)))
    assert sum(lease is not None for lease in given) == 1


async def test_renewal_lengthens_a_lease(leases: LeaseStore):
    lease = await leases.acquire("bars-0", "worker-1", 3.0)
    assert lease is not None
    renewed = await leases.renew(lease, 30.0)
    assert renewed.expires_at > lease.expires_at
    assert await leases.holders() == [SlotHolder("bars-0", "worker-1", 1, renewed.expires_at, expired=False)]


async def test_the_databases_clock_tells_who_has_a_slot_no_more(leases: LeaseStore):
    await leases.acquire("bars-0", "worker-1", 0.0)
    await leases.acquire("bars-1", "worker-1", 60.0)

    holders = await leases.holders()

    assert [(holder.slot, holder.expired) for holder in holders] == [("bars-0", True), ("bars-1", False)]


async def test_a_lease_taken_over_cannot_be_renewed(leases: LeaseStore):
    lease = await leases.acquire("bars-0", "worker-1", 0.0)
    await leases.acquire("bars-0", "worker-2", 3.0)
    assert lease is not None
    with pytest.raises(LeaseLost):
        await leases.renew(lease, 3.0)


async def test_a_commit_under_an_old_fence_is_refused(
    leases: LeaseStore, checkpoints: CheckpointStore, worker_db: Database
):
    lease = await leases.acquire("bars-0", "worker-1", 0.0)
    await leases.acquire("bars-0", "worker-2", 3.0)
    assert lease is not None

    async def commit() -> None:
        async with worker_db.transaction() as transaction:
            await checkpoints.save_base(transaction, "bars-0", "5-0", b"stale")
            await leases.check(transaction, lease)

    with pytest.raises(LeaseLost):
        await commit()
    assert await checkpoints.load("bars-0") is None


async def test_nobody_takes_over_during_a_checked_commit(leases: LeaseStore, worker_db: Database):
    lease = await leases.acquire("bars-0", "worker-1", 0.0)
    assert lease is not None
    async with worker_db.transaction() as transaction:
        await leases.check(transaction, lease)
        taking = asyncio.create_task(leases.acquire("bars-0", "worker-2", 3.0))
        await transaction.fetchval("SELECT pg_sleep(0.1)")
        assert not taking.done()
    taken = await taking
    assert taken is not None
    assert taken.fence == 2


async def save(database: Database, checkpoints: CheckpointStore, kind: str, position: str, payload: bytes) -> None:
    async with database.transaction() as transaction:
        method = checkpoints.save_base if kind == "base" else checkpoints.save_delta
        await method(transaction, "bars-0", position, payload)


async def test_a_slot_without_a_commit_has_no_checkpoint(checkpoints: CheckpointStore):
    assert await checkpoints.load("bars-0") is None


async def test_a_checkpoint_is_its_base_and_the_deltas_since(worker_db: Database, checkpoints: CheckpointStore):
    await save(worker_db, checkpoints, "base", "1-0", b"base")
    await save(worker_db, checkpoints, "delta", "2-0", b"a")
    await save(worker_db, checkpoints, "delta", "3-0", b"b")
    found = await checkpoints.load("bars-0")
    assert found is not None
    assert (found.position, found.base, found.deltas) == ("3-0", b"base", (b"a", b"b"))


async def test_a_new_base_replaces_everything_before(worker_db: Database, checkpoints: CheckpointStore, database):
    await save(worker_db, checkpoints, "base", "1-0", b"old")
    await save(worker_db, checkpoints, "delta", "2-0", b"a")
    await save(worker_db, checkpoints, "base", "3-0", b"new")
    found = await checkpoints.load("bars-0")
    assert found is not None
    assert (found.position, found.base, found.deltas) == ("3-0", b"new", ())
    with database.connect() as connection:
        assert connection.execute("SELECT count(*) FROM checkpoints").fetchone() == (1,)


async def test_a_large_payload_comes_back(worker_db: Database, checkpoints: CheckpointStore):
    payload = bytes(range(256)) * 40_000
    await save(worker_db, checkpoints, "base", "1-0", payload)
    found = await checkpoints.load("bars-0")
    assert found is not None
    assert found.base == payload


async def test_positions_of_all_slots(worker_db: Database, checkpoints: CheckpointStore):
    await save(worker_db, checkpoints, "base", "1-0", b"")
    await save(worker_db, checkpoints, "delta", "2-0", b"")
    async with worker_db.transaction() as transaction:
        await checkpoints.save_base(transaction, "m2m-0", "9-0", b"")
    assert await checkpoints.positions() == {"bars-0": "2-0", "m2m-0": "9-0"}

"""One slot's tenure, with ports that do as they are told and a clock that the test moves."""

import asyncio

import pytest

from server.market.checkpoints import pack
from server.market.slot_plan import all_slots, m2m_slot_of
from server.market.slots import SlotState
from server.market.worker import instance_name, output_names
from server.settings import Settings
from server.store.worker_state import Checkpoint
from tests.unit.market.slot_ports import Fixture, settle, stopped


@pytest.fixture
def slot() -> Fixture:
    return Fixture()


async def test_entries_are_published_before_they_are_committed(slot):
    slot.log.entries = ["1-0", "2-0"]
    runner = slot.runner()

    running = asyncio.create_task(runner.run())
    await settle()

    assert slot.log.published == ["1-0", "2-0"]
    assert slot.checkpoints.saved == [("base", "2-0")]
    assert (runner.state, runner.position) == (SlotState.RUNNING, "2-0")
    await stopped(runner, running)


async def test_commits_keep_their_distance(slot):
    slot.log.entries = ["1-0"]
    runner = slot.runner()
    running = asyncio.create_task(runner.run())
    await settle()

    slot.log.entries += ["2-0"]
    await settle()
    early = list(slot.checkpoints.saved)
    await slot.clock.advance(0.2)

    assert early == [("base", "1-0")]
    assert slot.checkpoints.saved == [("base", "1-0"), ("delta", "2-0")]
    await stopped(runner, running)


async def test_a_new_base_is_made_after_the_checkpoint_interval(slot):
    slot.log.entries = ["1-0"]
    runner = slot.runner()
    running = asyncio.create_task(runner.run())
    await settle()

    await slot.clock.advance(10.5)
    slot.log.entries += ["2-0"]
    await settle()

    assert slot.checkpoints.saved == [("base", "1-0"), ("base", "2-0")]
    await stopped(runner, running)


async def test_a_slot_goes_on_from_its_checkpoint(slot):
    slot.log.entries = ["1-0", "2-0"]
    slot.checkpoints.stored = Checkpoint("1-0", pack({"part": b"base"}), (pack({"part": b"delta"}),))
    runner = slot.runner()

    running = asyncio.create_task(runner.run())
    await settle()

    assert slot.stage.restored == [{"part": b"base"}, {"part": b"delta"}]
    assert (slot.stage.applied, slot.stage.begun) == (["2-0"], 0)
    assert slot.checkpoints.saved == [("delta", "2-0")] or slot.checkpoints.saved == [("base", "2-0")]
    await stopped(runner, running)


async def test_a_checkpoint_that_cannot_be_read_is_replaced_from_its_position_on(slot, caplog):
    slot.log.entries = ["1-0", "2-0"]
    slot.checkpoints.stored = Checkpoint("1-0", b"of another version", ())
    runner = slot.runner()

    running = asyncio.create_task(runner.run())
    await settle()

    assert (slot.stage.applied, slot.stage.begun) == (["2-0"], 1)
    assert slot.checkpoints.saved == [("base", "2-0")]
    assert "begins anew at 1-0" in caplog.text
    await stopped(runner, running)


async def test_stopping_commits_what_was_read_and_gives_the_slot_free(slot):
    slot.log.entries = ["1-0"]
    runner = slot.runner()
    running = asyncio.create_task(runner.run())
    await settle()
    slot.log.entries += ["2-0"]
    await settle()

    await stopped(runner, running)

    assert slot.checkpoints.saved[-1] == ("delta", "2-0")
    assert (slot.leases.released, runner.state) == (1, SlotState.STANDBY)


async def test_the_lease_is_renewed_each_second(slot):
    runner = slot.runner()
    running = asyncio.create_task(runner.run())
    await settle()

    for _ in range(5):
        await slot.clock.advance(1.0)

    assert slot.leases.renewed == 5
    await stopped(runner, running)


async def test_a_lost_lease_ends_the_work_without_a_commit(slot):
    runner = slot.runner()
    running = asyncio.create_task(runner.run())
    await settle()
    slot.leases.lost = True

    await slot.clock.advance(1.0)
    async with asyncio.timeout(5):
        await running

    assert slot.checkpoints.saved == []
    assert runner.state is SlotState.STANDBY


async def test_a_fence_that_was_passed_refuses_the_commit(slot):
    slot.log.entries = ["1-0"]
    slot.leases.lost = True
    runner = slot.runner()

    async with asyncio.timeout(5):
        await runner.run()

    assert slot.checkpoints.saved == []


async def test_a_database_that_is_away_is_borne_until_the_lease_runs_out(slot):
    runner = slot.runner()
    running = asyncio.create_task(runner.run())
    await settle()
    slot.leases.away = True

    await slot.clock.advance(2.0)
    held = not running.done()
    await slot.clock.advance(1.5)
    async with asyncio.timeout(5):
        await running

    assert held


async def test_an_error_of_the_stage_ends_the_run_and_gives_the_slot_free(slot):
    slot.log.entries = ["1-0"]
    slot.stage.apply = lambda entry: 1 / 0
    runner = slot.runner()

    with pytest.raises(ZeroDivisionError):
        await runner.run()

    assert slot.leases.released == 1
    assert slot.checkpoints.saved == []


def test_accounts_are_spread_over_the_slots():
    assert {m2m_slot_of(f"acc-{number}", 4) for number in range(100)} == {0, 1, 2, 3}
    assert m2m_slot_of("demo", 1) == 0


def test_the_plan_of_slots_follows_the_settings():
    settings = Settings(tick_shards=2, m2m_slots=3)

    assert all_slots(settings) == ["bars-0", "bars-1", "chains-0", "chains-1", "m2m-0", "m2m-1", "m2m-2"]
    assert output_names(settings) == ["bars:0", "bars:1", "chains:0", "chains:1", "m2m:0", "m2m:1", "m2m:2"]


def test_an_instance_without_a_name_never_comes_back():
    assert instance_name(Settings(instance="worker-1")) == "worker-1"
    assert instance_name(Settings()) not in {"", "worker-1"}

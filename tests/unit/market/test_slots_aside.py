"""A slot that works on while a commit is under way."""

import asyncio
from dataclasses import replace

import pytest

from tests.unit.market.slot_ports import TIMING, Database, Fixture, settle, stopped


@pytest.fixture
def aside() -> Fixture:
    """A slot that works on while it commits; the database waits."""
    return Fixture(database=Database(asyncio.Event()), timing=replace(TIMING, aside=True))


async def test_entries_are_worked_on_while_a_commit_is_under_way(aside):
    aside.log.entries = ["1-0"]
    runner = aside.runner()
    running = asyncio.create_task(runner.run())
    await settle()
    aside.log.entries += ["2-0"]
    await settle()
    before = (list(aside.log.published), runner.position)

    aside.database.open.set()
    await settle()
    await aside.clock.advance(0.2)

    assert before == (["1-0", "2-0"], "0-0")
    assert aside.checkpoints.saved == [("base", "1-0"), ("delta", "2-0")]
    await stopped(runner, running)


async def test_stopping_waits_for_the_commit_under_way_and_commits_the_rest(aside):
    aside.log.entries = ["1-0"]
    runner = aside.runner()
    running = asyncio.create_task(runner.run())
    await settle()
    aside.log.entries += ["2-0"]
    await settle()
    runner.stop()
    await settle()

    aside.database.open.set()
    await stopped(runner, running)

    assert aside.checkpoints.saved == [("base", "1-0"), ("delta", "2-0")]


async def test_a_commit_aside_that_fails_ends_the_work(aside):
    aside.log.entries = ["1-0"]
    aside.leases.lost = True
    aside.database.open.set()

    async with asyncio.timeout(5):
        await aside.runner().run()

    assert aside.checkpoints.saved == []
    assert aside.leases.released == 1


async def test_no_commit_goes_on_when_the_work_ends(aside):
    aside.log.entries = ["1-0"]
    running = asyncio.create_task(aside.runner().run())
    await settle()

    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    aside.database.open.set()
    await settle()

    assert aside.checkpoints.saved == []

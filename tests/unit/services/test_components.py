"""Since when components are as they are."""

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta

import pytest

from server.domain.errors import Unavailable
from server.services.component_sources import dead_letters_source, worker_source
from server.services.components import DEGRADED, DOWN, HEALTHY, ComponentBoard, Reading
from server.store.dead_letters import letter_of
from server.store.presence import LivingProcess
from server.store.worker_state import SlotHolder
from tests.support.clock import VirtualClock

SECOND = 10**9
START = 1_700_000_000 * SECOND
LONG_AGO = datetime(2025, 1, 1, tzinfo=UTC)


class Switch:
    """A component whose state tests choose."""

    def __init__(self, state=HEALTHY, since=None):
        self.state, self.since = state, since

    async def read(self):
        if self.state == DOWN:
            raise Unavailable("away", reason="DEPENDENCY_UNAVAILABLE")
        return (Reading("part", self.state, since=self.since),)


@contextlib.asynccontextmanager
async def watching(board):
    task = asyncio.create_task(board.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def state_of(board):
    (part,) = await board.read()
    return part.state, part.since.ToNanoseconds()


async def test_since_is_the_change_and_not_the_first_question():
    clock, part = VirtualClock(), Switch()
    board = ComponentBoard({"part": part.read}, clock)

    async with watching(board):
        await clock.advance(10.5)
        part.state = DEGRADED
        await clock.advance(100.0)

    assert await state_of(board) == (DEGRADED, START + 11 * SECOND)


async def test_what_never_changed_is_so_since_the_watch_began():
    clock, part = VirtualClock(), Switch()
    board = ComponentBoard({"part": part.read}, clock)

    async with watching(board):
        await clock.advance(100.0)

    assert await state_of(board) == (HEALTHY, START)


async def test_a_source_that_fails_is_down_since_then():
    clock, part = VirtualClock(), Switch()
    board = ComponentBoard({"part": part.read}, clock)

    async with watching(board):
        await clock.advance(4.5)
        part.state = DOWN
        await clock.advance(60.0)

    assert await state_of(board) == (DOWN, START + 5 * SECOND)


async def test_what_a_component_reports_of_itself_is_since_when():
    part = Switch(since=START - 3_600 * SECOND)
    boards = [ComponentBoard({"part": part.read}, VirtualClock(wall)) for wall in (1_700_000_000.0, 1_700_000_500.0)]

    assert [await state_of(board) for board in boards] == [(HEALTHY, START - 3_600 * SECOND)] * 2


async def test_a_report_from_before_the_last_change_is_not_of_this_one():
    clock, part = VirtualClock(), Switch(since=START - 3_600 * SECOND)
    board = ComponentBoard({"part": part.read}, clock)
    await board.read()
    part.state = DOWN
    await clock.advance(5.0)
    await board.read()
    part.state = HEALTHY
    await clock.advance(5.0)

    assert await state_of(board) == (HEALTHY, START + 10 * SECOND)


class Slots:
    """A worker's leases and processes."""

    def __init__(self, *leases, processes=()):
        self._leases, self._processes = leases, processes

    async def holders(self):
        return self._leases

    async def living(self):
        if self._processes is None:
            raise Unavailable("away", reason="DEPENDENCY_UNAVAILABLE")
        return self._processes


async def test_a_slot_without_a_worker_is_down_since_its_lease_ran_out():
    slots = Slots(SlotHolder("bars-0", "w-1", 7, LONG_AGO, expired=True))

    (reading,) = await worker_source(slots, slots)()

    assert (reading.state, reading.since) == (DOWN, int(LONG_AGO.timestamp()) * SECOND)


@pytest.mark.parametrize(
    ("processes", "since"),
    [
        ((LivingProcess("worker", "w-1", 20.0, 12.5), LivingProcess("api", "w-1", 20.0, 1.0)), 12_500_000_000),
        ((LivingProcess("worker", "w-2", 20.0, 12.5),), None),
        ((LivingProcess("worker", "w-1", 20.0),), None),
        (None, None),
    ],
    ids=["told", "another", "untold", "redis-away"],
)
async def test_a_slot_is_healthy_since_its_process_began(processes, since):
    slots = Slots(
        SlotHolder("bars-0", "w-1", 7, datetime.now(UTC) + timedelta(hours=1), expired=False), processes=processes
    )

    (reading,) = await worker_source(slots, slots)()

    assert (reading.state, reading.since) == (HEALTHY, since)


async def test_dead_letters_are_healthy_again_five_minutes_after_the_last():
    class Letters:
        async def count(self):
            return 3

        async def newest(self, count):
            return [letter_of("ticker", "place", "reason", b"", START)]

    (reading,) = await dead_letters_source(Letters())()

    assert (reading.state, reading.since) == (HEALTHY, START + 300 * SECOND)

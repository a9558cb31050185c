"""Tasks that must run for ever."""

import asyncio

from server.domain.errors import Unavailable
from server.market.supervisor import Supervisor, pause
from tests.support.clock import VirtualClock


async def test_task_that_failed_starts_again_later_each_time(caplog):
    clock, starts = VirtualClock(), []

    async def work():
        starts.append(clock.monotonic())
        raise ValueError("broken")

    async with Supervisor(clock) as supervisor:
        supervisor.start("worker", work)
        await clock.advance(3.0)
        (state,) = supervisor.states

    assert len(starts) >= 4
    assert starts[-1] - starts[-2] > starts[1] - starts[0]
    assert (state.running, state.detail) == (False, "ValueError: broken")
    assert "task failed and starts again" in caplog.text


async def test_task_that_returned_starts_again():
    clock, starts = VirtualClock(), []

    async def work():
        starts.append(clock.monotonic())

    async with Supervisor(clock) as supervisor:
        supervisor.start("worker", work)
        await clock.advance(1.0)

    assert len(starts) >= 2


async def test_leaving_ends_the_tasks():
    ended = []

    async def work():
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async with Supervisor(VirtualClock()) as supervisor:
        supervisor.start("worker", work)
        await asyncio.sleep(0)
        assert supervisor.states[0].running

    assert ended == [True]


async def test_long_run_forgives_earlier_failures():
    clock = VirtualClock()

    async def work():
        await clock.sleep(60.0)
        raise ValueError("at last")

    async with Supervisor(clock) as supervisor:
        supervisor.start("worker", work)
        await clock.advance(200.0)

        assert supervisor.states[0].failures <= 1


def test_pause_grows_to_its_limit():
    assert [round(pause(failures, 0.999), 1) for failures in (1, 2, 3, 20)] == [0.1, 0.2, 0.4, 5.0]


async def test_what_is_away_is_said_in_a_line_without_a_trace(caplog):
    async def work():
        raise Unavailable("Redis is away", reason="REDIS_UNAVAILABLE")

    async with Supervisor(VirtualClock()) as supervisor:
        supervisor.start("reader", work)
        await asyncio.sleep(0)

    (record,) = caplog.records
    assert (record.levelname, record.getMessage(), record.exc_info) == ("WARNING", "task waits: Redis is away", None)

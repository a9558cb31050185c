"""Time limits."""

import asyncio

import pytest

from server.domain.errors import DeadlineExceeded
from server.rpc.deadlines import until


def too_late() -> DeadlineExceeded:
    return DeadlineExceeded("too late")


async def never() -> None:
    await asyncio.get_running_loop().create_future()


async def test_work_within_its_time_gives_its_result():
    async def work() -> int:
        return 7

    assert await until(asyncio.get_running_loop().time() + 60, work(), too_late) == 7


async def test_work_beyond_its_time_raises_the_error():
    with pytest.raises(DeadlineExceeded):
        await until(asyncio.get_running_loop().time(), never(), too_late)


async def test_a_timeout_of_the_work_itself_passes():
    async def work() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await until(float("inf"), work(), too_late)


async def test_cancelling_passes():
    task = asyncio.ensure_future(until(float("inf"), never(), too_late))
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task

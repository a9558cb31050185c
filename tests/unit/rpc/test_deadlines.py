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


async def test_work_that_waits_goes_on_with_what_it_waited_for():
    gate = asyncio.get_running_loop().create_future()

    async def work() -> int:
        first = await gate
        await asyncio.sleep(0)
        return first + 1

    asyncio.get_running_loop().call_soon(gate.set_result, 6)

    assert await until(asyncio.get_running_loop().time() + 60, work(), too_late) == 7


async def test_an_error_that_comes_later_passes():
    async def work() -> None:
        await asyncio.sleep(0)
        raise LookupError

    with pytest.raises(LookupError):
        await until(asyncio.get_running_loop().time() + 60, work(), too_late)


async def test_work_cleans_up_when_its_time_is_over():
    cleaned = []

    async def work() -> None:
        try:
            await never()
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    with pytest.raises(DeadlineExceeded):
        await until(asyncio.get_running_loop().time(), work(), too_late)

    assert cleaned == [True]


async def test_a_limit_within_the_work_ends_the_inner_part_only():
    async def work() -> str:
        try:
            async with asyncio.timeout(0):
                await never()
        except TimeoutError:
            await asyncio.sleep(0)
            return "went on"
        return "impossible"

    assert await until(asyncio.get_running_loop().time() + 60, work(), too_late) == "went on"

import asyncio
from contextlib import suppress

from server.jobs.retention import RetentionJob


class Minutes:
    """Counts how often it was told to forget, and what; `twice` is set at the second look."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.twice = asyncio.Event()

    async def forget_option_minutes(self, days: int) -> int:
        self.asked.append(days)
        if len(self.asked) == 2:
            self.twice.set()
        return 1


async def cancelled(job: asyncio.Task[None]) -> None:
    job.cancel()
    with suppress(asyncio.CancelledError):
        await job


async def test_it_looks_again_and_again():
    minutes = Minutes()
    job = asyncio.create_task(RetentionJob(minutes, 30, pause=0).run())

    async with asyncio.timeout(5):
        await minutes.twice.wait()
    await cancelled(job)

    assert set(minutes.asked) == {30}


async def test_no_days_is_for_ever():
    minutes = Minutes()
    job = asyncio.create_task(RetentionJob(minutes, 0).run())

    await asyncio.sleep(0)
    await cancelled(job)

    assert minutes.asked == []

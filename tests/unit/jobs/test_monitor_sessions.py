import asyncio
from contextlib import suppress

from server.jobs.monitor_sessions import MonitorSessionsJob


class Sessions:
    """Counts how often they were to forget what is over; `twice` is set at the second time."""

    def __init__(self) -> None:
        self.asked = 0
        self.twice = asyncio.Event()

    async def forget_expired(self) -> int:
        self.asked += 1
        if self.asked == 2:
            self.twice.set()
        return 1


async def test_it_looks_again_and_again():
    sessions = Sessions()
    job = asyncio.create_task(MonitorSessionsJob(sessions, pause=0).run())

    async with asyncio.timeout(5):
        await sessions.twice.wait()
    job.cancel()
    with suppress(asyncio.CancelledError):
        await job

    assert sessions.asked >= 2

import asyncio
from contextlib import suppress

from server.jobs.rollup import RollupJob


class Queue:
    """Quarter hours that wait; `asked` are the calls."""

    def __init__(self, waiting: int) -> None:
        self.waiting = waiting
        self.asked: list[tuple[int, float]] = []
        self.empty = asyncio.Event()

    async def roll_up(self, limit: int = 100, settle: float = 0.0) -> int:
        self.asked.append((limit, settle))
        done = min(limit, self.waiting)
        self.waiting -= done
        if done < limit:
            self.empty.set()
        return done


async def test_a_long_queue_is_worked_off_without_pauses():
    queue = Queue(waiting=450)
    job = asyncio.create_task(RollupJob(queue, pause=3600, settle=2).run())

    async with asyncio.timeout(5):
        await queue.empty.wait()
    job.cancel()
    with suppress(asyncio.CancelledError):
        await job

    assert queue.waiting == 0
    assert queue.asked == [(200, 2), (200, 2), (200, 2)]

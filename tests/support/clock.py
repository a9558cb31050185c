"""A clock that stands still until a test moves it."""

import asyncio
import heapq
import itertools

TURNS = 20
"""Rounds of the event loop that tasks get after each step of time."""


class VirtualClock:
    """Time of tests: `advance` wakes sleepers in the order of their alarms, each at its own time."""

    def __init__(self, wall: float = 1_700_000_000.0) -> None:
        self._now = 0.0
        self._wall = wall
        self._alarms: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()

    def monotonic(self) -> float:
        return self._now

    def wall(self) -> float:
        return self._wall + self._now

    async def sleep(self, seconds: float) -> None:
        alarm = asyncio.get_running_loop().create_future()
        heapq.heappush(self._alarms, (self._now + seconds, next(self._numbers), alarm))
        await alarm

    async def advance(self, seconds: float) -> None:
        """Lets that time pass, and everybody act who has waited for it."""
        end = self._now + seconds
        await turn()
        while self._alarms and self._alarms[0][0] <= end:
            self._now, _, alarm = heapq.heappop(self._alarms)
            if not alarm.done():
                alarm.set_result(None)
                await turn()
        self._now = end
        await turn()


async def turn() -> None:
    """Lets all tasks go on that can."""
    for _ in range(TURNS):
        await asyncio.sleep(0)

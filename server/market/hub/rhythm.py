"""What a hub does by the clock: flushes, and looking after the feed, the channels and the streams."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final

from server.market.clock import Clock
from server.market.hub.channel import FLUSH_INTERVALS
from server.market.hub.intake import Intake
from server.market.hub.registry import StreamRegistry

_TICK: Final = 0.25


class Rhythm:
    """Makes the endless tasks of a hub."""

    def __init__(self, intake: Intake, registry: StreamRegistry, clock: Clock) -> None:
        self._intake = intake
        self._registry = registry
        self._clock = clock

    def tasks(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """What is to be run, by name."""
        flushes = {f"flush-{round(each * 1000)}": partial(self._flush, each) for each in FLUSH_INTERVALS if each}
        return {**flushes, "clock": self._tick}

    async def _flush(self, interval: float) -> None:
        due = self._clock.monotonic()
        while True:
            due = max(due + interval, self._clock.monotonic())
            await self._clock.sleep(due - self._clock.monotonic())
            for channel in self._intake.channels():
                channel.pulses[interval].fire(channel.head)

    async def _tick(self) -> None:
        while True:
            await self._clock.sleep(_TICK)
            self._intake.watch.look()
            for channel in self._intake.channels():
                channel.trim()
            for stream in self._registry.all():
                stream.tick()

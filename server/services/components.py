"""The parts of the running system and how they are, for operators."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from server.domain.errors import StrikelineError
from server.market.clock import Clock, SystemClock
from server.services.times import timestamp
from strikeline.v1 import component_pb2

HEALTHY = component_pb2.COMPONENT_STATE_HEALTHY
DEGRADED = component_pb2.COMPONENT_STATE_DEGRADED
DOWN = component_pb2.COMPONENT_STATE_DOWN
LOOK_SECONDS: Final = 1.0


@dataclass(frozen=True)
class Reading:
    """How one component is now. `state` is a ComponentState; `detail` says why it is not healthy.

    `since` (nanoseconds since 1970 UTC) is what the component itself reports of when it came to be so; None: it does
    not say.
    """

    name: str
    state: component_pb2.ComponentState.ValueType
    detail: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    since: int | None = None


Source = Callable[[], Awaitable[Sequence[Reading]]]


@dataclass(frozen=True)
class _Known:
    state: component_pb2.ComponentState.ValueType
    since: int


class ComponentBoard:
    """Asks the sources and remembers since when each component is as it is.

    `run` looks each second, so that a change is known from when it happened and not from when somebody asked.
    """

    def __init__(self, sources: Mapping[str, Source], clock: Clock | None = None) -> None:
        self._sources = sources
        self._clock = clock or SystemClock()
        self._known: dict[str, _Known] = {}

    async def run(self) -> None:
        """Looks each second until cancelled."""
        while True:
            await self.read()
            await self._clock.sleep(LOOK_SECONDS)

    async def read(self) -> list[component_pb2.Component]:
        """All components, ordered by name. A source that fails is itself a component that is down."""
        messages = [
            self._message(reading) for name, source in self._sources.items() for reading in await _ask(name, source)
        ]
        return sorted(messages, key=lambda item: item.component)

    def _message(self, reading: Reading) -> component_pb2.Component:
        known = self._known.get(reading.name)
        if known is None or known.state != reading.state:
            known = self._known[reading.name] = _Known(reading.state, self._changed(known, reading))
        return component_pb2.Component(
            component=reading.name,
            state=reading.state,
            since=timestamp(known.since),
            detail=reading.detail,
            counts=reading.counts,
        )

    def _changed(self, known: _Known | None, reading: Reading) -> int:
        """What the component reports, unless it is from before the state that it was in until now."""
        if reading.since is not None and (known is None or reading.since > known.since):
            return reading.since
        return round(self._clock.wall() * 1e9)


async def _ask(name: str, source: Source) -> Sequence[Reading]:
    try:
        return await source()
    except StrikelineError as error:
        return (Reading(name, DOWN, error.message),)

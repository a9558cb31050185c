"""The parts of the running system and how they are, for operators."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from server.domain.errors import StrikelineError
from server.services.times import timestamp
from strikeline.v1 import component_pb2

HEALTHY = component_pb2.COMPONENT_STATE_HEALTHY
DEGRADED = component_pb2.COMPONENT_STATE_DEGRADED
DOWN = component_pb2.COMPONENT_STATE_DOWN


@dataclass(frozen=True)
class Reading:
    """How one component is now. `state` is a ComponentState; `detail` says why it is not healthy."""

    name: str
    state: component_pb2.ComponentState.ValueType
    detail: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)


Source = Callable[[], Awaitable[Sequence[Reading]]]


class ComponentBoard:
    """Asks the sources and remembers since when each component is as it is."""

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self._sources = sources
        self._since: dict[str, tuple[int, int]] = {}

    async def read(self) -> list[component_pb2.Component]:
        """All components, ordered by name. A source that fails is itself a component that is down."""
        readings = [reading for name, source in self._sources.items() for reading in await _ask(name, source)]
        return [self._message(reading) for reading in sorted(readings, key=lambda item: item.name)]

    def _message(self, reading: Reading) -> component_pb2.Component:
        state, since = self._since.get(reading.name, (None, 0))
        if state != reading.state:
            since = time.time_ns()
            self._since[reading.name] = (reading.state, since)
        return component_pb2.Component(
            component=reading.name,
            state=reading.state,
            since=timestamp(since),
            detail=reading.detail,
            counts=reading.counts,
        )


async def _ask(name: str, source: Source) -> Sequence[Reading]:
    try:
        return await source()
    except StrikelineError as error:
        return (Reading(name, DOWN, error.message),)

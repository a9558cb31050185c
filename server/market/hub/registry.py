"""The streams that are open in this process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from server.domain.errors import StrikelineError


@dataclass(eq=False)
class StreamRecord:
    """What is known of one stream. `since` is seconds since 1970 UTC. Counts grow while it is open.

    `sent` counts envelopes, `events` what was in them, `replaced` the events that newer ones stood for.
    """

    stream: str
    method: str
    user: str
    items: tuple[str, ...]
    since: float
    sent: int = 0
    events: int = 0
    replaced: int = 0


class RunningStream(Protocol):
    """A stream that is open."""

    @property
    def record(self) -> StreamRecord:
        """What is known of it."""
        ...

    def wake(self) -> bool:
        """Lets it look whether something is due. -> it had been waiting."""
        ...

    def tick(self) -> None:
        """Tells it that time has passed."""
        ...

    def drain(self, farewell: StrikelineError) -> None:
        """Lets it send what it has, say RECONNECT and end with that error."""
        ...

    def end(self, error: StrikelineError) -> None:
        """Ends it with that error, behind what it is sending."""
        ...


@dataclass(frozen=True, slots=True)
class StreamCounts:
    """How many streams are open, and totals since the start of the process."""

    open: int
    opened: int
    sent: int
    events: int
    replaced: int


class StreamRegistry:
    """Keeps the open streams by name."""

    def __init__(self) -> None:
        self._running: dict[str, RunningStream] = {}
        self._opened = self._sent = self._events = self._replaced = 0

    def __len__(self) -> int:
        return len(self._running)

    def add(self, stream: RunningStream) -> None:
        """A stream opens. Raises ValueError when one of its name is open."""
        if stream.record.stream in self._running:
            raise ValueError(f"stream {stream.record.stream} is open already")
        self._running[stream.record.stream] = stream
        self._opened += 1

    def remove(self, stream: RunningStream) -> None:
        """A stream is over."""
        record = self._running.pop(stream.record.stream).record
        self._sent += record.sent
        self._events += record.events
        self._replaced += record.replaced

    def get(self, stream: str) -> RunningStream | None:
        """The open stream of that name."""
        return self._running.get(stream)

    def all(self) -> list[RunningStream]:
        """The open streams, oldest first."""
        return list(self._running.values())

    def counts(self) -> StreamCounts:
        """How many streams there are, and what was sent."""
        records = [stream.record for stream in self._running.values()]
        return StreamCounts(
            open=len(records),
            opened=self._opened,
            sent=self._sent + sum(record.sent for record in records),
            events=self._events + sum(record.events for record in records),
            replaced=self._replaced + sum(record.replaced for record in records),
        )

"""What a client received, in a form that does not depend on the transport.

A history is what one subscription delivered over one or several connections, each but the first resumed from a token.
Events are named by their content, so that histories of gRPC, WebSocket, SSE and NDJSON clients compare equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

EVENT_LISTS = {
    "TickBatch": "ticks",
    "BarBatch": "bars",
    "M2mBatch": "samples",
    "DepthBatch": "books",
    "OptionChainBatch": "chains",
    "StrikeBatch": "strikes",
    "ExpiryBucketBatch": "buckets",
    "PositionSignalBatch": "signals",
}

KEYS = ("instrument", "strategy", "item", "expiry")
"""Fields that say what an event is about."""


@dataclass(frozen=True)
class Event:
    """One event: the key that orders it, and its whole content."""

    key: str
    content: bytes


@dataclass(frozen=True)
class Received:
    """One envelope. `kind` is the name of its event field; `replaced` is that of a CONFLATED status."""

    sequence: int
    token: str
    kind: str
    events: tuple[Event, ...] = ()
    condition: int = 0
    replaced: int = 0


@dataclass
class Connection:
    """The envelopes of one connection; `resumed` is the token that it was opened with."""

    resumed: str = ""
    envelopes: list[Received] = field(default_factory=list)

    @property
    def batches(self) -> list[Received]:
        return [envelope for envelope in self.envelopes if envelope.kind == "batch"]

    @property
    def events(self) -> list[Event]:
        return [event for envelope in self.batches for event in envelope.events]

    def last_token(self) -> str:
        return self.envelopes[-1].token


History = Sequence[Connection]


def received(response: Any) -> Received:
    """A response message of any stream as a Received."""
    kind = response.WhichOneof("event")
    body = getattr(response, kind)
    common = {"sequence": response.sequence, "token": response.resume_token, "kind": kind}
    if kind in {"snapshot", "batch"}:
        name = EVENT_LISTS[body.DESCRIPTOR.name]
        return Received(**common, events=tuple(event_of(item) for item in getattr(body, name)))
    if kind == "status":
        return Received(**common, condition=body.condition, replaced=body.conflated_events)
    return Received(**common)


def event_of(message: Any) -> Event:
    """An event of any stream."""
    key = next(getattr(message, name) for name in KEYS if name in message.DESCRIPTOR.fields_by_name)
    return Event(key, message.SerializeToString(deterministic=True))


@dataclass(frozen=True)
class Source:
    """What really happened: the events of each log entry, in order. No two events are equal."""

    entries: tuple[tuple[Event, ...], ...]

    def places(self) -> dict[Event, tuple[int, int]]:
        """Entry and place in it of each event."""
        return {
            event: (number, place) for number, entry in enumerate(self.entries) for place, event in enumerate(entry)
        }

    def wanted(self, keys: Iterable[str]) -> Source:
        """The same for a subscription to some keys."""
        chosen = set(keys)
        return Source(tuple(tuple(event for event in entry if event.key in chosen) for entry in self.entries))

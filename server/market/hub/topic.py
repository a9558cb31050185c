"""What the kinds of streams have in common, and what each does in its own way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from server.market.hub.channel import Channel, Frame
from server.market.hub.items import ItemSet
from server.market.hub.position import Position
from server.market.hub.wire import EnvelopeLayout


class Topic(Protocol):
    """A kind of stream."""

    @property
    def channel(self) -> Channel:
        """Where its events pass."""
        ...

    @property
    def layout(self) -> EnvelopeLayout:
        """Its response message."""
        ...

    def retain(self, items: ItemSet) -> None:
        """From now on the events of these items matter."""
        ...

    def release(self, items: ItemSet) -> None:
        """Takes back one `retain`."""
        ...

    async def prepare(self, items: ItemSet) -> None:
        """Makes the present state of retained items known, before their snapshot is taken."""
        ...

    def snapshot(self, items: ItemSet) -> list[bytes]:
        """The latest event of each item as of the channel's head, encoded like its events; none for items without."""
        ...

    async def check_held(self, position: Position) -> None:
        """Raises OutOfRange (RESUME_TOKEN_EXPIRED) when entries behind the position are gone."""
        ...

    def replay(self, after: Position, until: Position, items: ItemSet) -> AsyncIterator[Frame]:
        """The events between two positions, as they were when they were live."""
        ...


class FollowingTopic(Topic, Protocol):
    """A kind of stream whose items exist while somebody follows them."""

    def unfollow(self, item: int) -> None:
        """Takes back one `follow`."""
        ...


@dataclass(frozen=True, slots=True)
class ItemOutcome:
    """What became of a requested item: `number` when it is accepted, `refusal` (an ItemRefusal) when it is not."""

    item: str
    key: str = ""
    number: int | None = None
    refusal: int = 0


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a stream fails that has no accepted item: a reason, and under which key of its metadata the item stands.

    `field` is the path of the first item in the request.
    """

    reason: str
    key: str
    field: str
    metadata: tuple[tuple[str, str], ...] = ()


INSTRUMENTS = Refusal("INSTRUMENT_NOT_FOUND", "instrument", "instruments[0]")


@dataclass(frozen=True, slots=True)
class Subscription:
    """A request to a topic. `variant` is what else distinguishes its events, such as the timeframe.

    `nothing` is how the stream fails when no item is accepted. `family` names requests of which one goes on for the
    other: a token of another one of the same user and method is good for a new snapshot. Empty: there are none.
    """

    method: str
    outcomes: tuple[ItemOutcome, ...]
    variant: str = ""
    nothing: Refusal = INSTRUMENTS
    family: str = ""

    @property
    def numbers(self) -> frozenset[int]:
        """Numbers of the accepted items."""
        return frozenset(outcome.number for outcome in self.outcomes if outcome.number is not None)

    @property
    def keys(self) -> tuple[str, ...]:
        """Canonical keys of the accepted items."""
        return tuple(outcome.key for outcome in self.outcomes if outcome.number is not None)

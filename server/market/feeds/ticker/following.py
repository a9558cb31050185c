"""What the ticker feed follows, and the events by which the publisher learns of it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from server.domain.calendar import NANOSECONDS
from server.domain.instruments import Instrument
from server.domain.symbols import canonical_instrument
from server.market.feeds.contracts import Contract
from server.market.feeds.ticker.messages import JsonObject, is_object, text_of

CREATED: Final = "subscription_created"
REMOVED: Final = "subscription_removed"
_REMOVALS: Final = frozenset({REMOVED, "subscription_deleted"})
_MOST_ASKED: Final = 100_000


class Subscriptions(Protocol):
    """Feed subscriptions (`server.store.feed_subscriptions.FeedSubscriptionStore`)."""

    async def instruments(self) -> list[Instrument]:
        """Every instrument that a subscription names, each once."""


Publish = Callable[[bytes], Awaitable[object]]
"""Publishes one event."""


class Following:
    """The instruments that are followed: those of feed subscriptions, and those that somebody else's events name.

    `everything` takes all that is published; the publisher is told of subscriptions all the same.
    """

    def __init__(self, subscriptions: Subscriptions, publish: Publish, *, everything: bool) -> None:
        self._subscriptions = subscriptions
        self._publish = publish
        self._everything = everything
        self._told: dict[str, Instrument] = {}
        self._asked: set[str] = set()

    def follows(self, contract: Contract) -> bool:
        """Quotes of the instrument become ticks."""
        return self._everything or contract.key in self._told or contract.key in self._asked

    async def renew(self, now_ns: int) -> None:
        """Reads the subscriptions and publishes what changed. What was not published is, at the next call.

        Raises StrikelineError while a dependency is away.
        """
        wanted = {instrument.key: instrument for instrument in await self._subscriptions.instruments()}
        for key in [key for key in self._told if key not in wanted]:
            await self._publish(event_of(REMOVED, self._told[key], now_ns))
            del self._told[key]
        for key in [key for key in wanted if key not in self._told]:
            await self._publish(event_of(CREATED, wanted[key], now_ns))
            self._told[key] = wanted[key]

    async def repeat(self, now_ns: int) -> None:
        """Publishes all subscriptions again: a publisher that was away has heard none. Raises StrikelineError."""
        for instrument in list(self._told.values()):
            await self._publish(event_of(CREATED, instrument, now_ns))

    def hear(self, event: JsonObject) -> None:
        """Takes in an event of the channel, also the feed's own. Raises ValueError when it cannot be read."""
        kind, key = text_of(event, "event_type"), _key_of(event)
        if kind in _REMOVALS:
            self._asked.discard(key)
        elif kind == CREATED:
            if len(self._asked) >= _MOST_ASKED:
                raise ValueError(f"more than {_MOST_ASKED:,} instruments are asked for")
            self._asked.add(key)
        else:
            raise ValueError(f"unknown event_type {kind!r}")


def event_of(kind: str, instrument: Instrument, now_ns: int) -> bytes:
    """An event as consumers of the channel expect it. `timestamp` is seconds since 1970 UTC."""
    return json.dumps(
        {
            "event_type": kind,
            "instrument_token": instrument.token,
            "metadata": {
                "tradingsymbol": instrument.tradingsymbol,
                "exchange": instrument.exchange,
                "segment": instrument.segment,
                "name": instrument.name,
                "expiry": instrument.expiry.isoformat() if instrument.expiry else None,
            },
            "timestamp": now_ns // NANOSECONDS,
        }
    ).encode()


def _key_of(event: JsonObject) -> str:
    metadata = event.get("metadata")
    if not is_object(metadata):
        raise ValueError("metadata is no object")
    exchange = text_of(metadata, "exchange") or text_of(metadata, "segment").partition("-")[0]
    return canonical_instrument(f"{exchange}:{text_of(metadata, 'tradingsymbol')}")

"""The hub as the servicers see it."""

from __future__ import annotations

from types import MappingProxyType

from server.market.hub.feed import FeedState
from server.market.hub.hub import Hub
from strikeline.v1 import component_pb2

_STATES = MappingProxyType({state: component_pb2.FeedState.ValueType(state.value) for state in FeedState})


class LiveMarket:
    """What the servicers ask about the present market."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def market_time(self) -> int | None:
        """Highest event time of the feed's run, nanoseconds since 1970 UTC; None before the first tick."""
        return self._hub.market_time() or None

    def feed_state(self) -> component_pb2.FeedState.ValueType:
        """What the feed does."""
        return _STATES[self._hub.feed_state()]

    def is_live(self) -> bool:
        """Ticks are coming, or the feed says that it lives."""
        return self._hub.feed_state() is FeedState.LIVE

    def feed_source(self) -> str:
        """Which feed it is; empty before the first run."""
        return self._hub.feed_source()

    def last_price(self, instrument_id: int) -> tuple[int, int] | None:
        """Last price (ten-thousandths of a rupee) and its event time (nanoseconds); None without one."""
        quote = self._hub.quote(instrument_id)
        return None if quote is None or quote.last_price is None else (quote.last_price, quote.event_time)

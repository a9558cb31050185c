"""The streams of OptionService: chains and strikes as they are valued."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from server.domain.timeframes import ONE_MINUTE
from server.market.hub.chain_requests import NEAREST
from server.market.hub.hub import Hub
from server.market.hub.options import DeliveryOptions
from server.market.strike_ranges import strike_range_of
from server.rpc.call import Call
from server.services.market_data_service import subscriber_of
from strikeline.v1 import option_stream_pb2 as pb


class OptionStreams:
    """Subscribes to the hub in the words of the contract."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def chain(self, request: pb.StreamOptionChainRequest, call: Call) -> AsyncGenerator[bytes, None]:
        """Every valuation of the chosen strikes of the chosen expiries."""
        return self._hub.subscribe_option_chain(
            request.underlying,
            request.expiries or [NEAREST],
            strike_range_of(request.range),
            DeliveryOptions.of(request.options),
            subscriber_of(call),
        )

    def strike(self, request: pb.StreamStrikeRequest, call: Call) -> AsyncGenerator[bytes, None]:
        """Every valuation of one strike."""
        return self._hub.subscribe_strike(
            request.underlying,
            request.expiry or NEAREST,
            request.strike,
            DeliveryOptions.of(request.options),
            subscriber_of(call),
        )

    def buckets(self, request: pb.StreamOptionBucketsRequest, call: Call) -> AsyncGenerator[bytes, None]:
        """The closed buckets of all expiries of the chosen underlyings."""
        return self._hub.subscribe_option_buckets(
            request.underlyings,
            request.timeframe or ONE_MINUTE.name,
            DeliveryOptions.of(request.options),
            subscriber_of(call),
        )

"""OptionService: options by expiry and strike. Each call is answered by the part that knows about it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from server.rpc.call import Call
from server.services.analytics_panels import list_analytics_panels
from server.services.moneyness_history import MoneynessHistory
from server.services.option_chains import OptionChains
from server.services.option_expiries import OptionExpiries
from server.services.option_history import OptionHistory
from server.services.option_pricing import OptionPricing
from server.services.option_streams import OptionStreams
from server.services.strike_distribution import StrikeDistributions
from server.services.strike_history import StrikeHistory
from server.services.volatility_surfaces import VolatilitySurfaces
from strikeline.v1 import expiry_metrics_pb2, moneyness_series_pb2
from strikeline.v1 import option_chain_requests_pb2 as chain_pb2
from strikeline.v1 import option_distribution_pb2 as distribution_pb2
from strikeline.v1 import option_history_pb2 as history_pb2
from strikeline.v1 import option_pricing_pb2 as pricing_pb2
from strikeline.v1 import option_stream_pb2 as stream_pb2


@dataclass(frozen=True)
class OptionService:
    """Hands each call to a part."""

    expiries: OptionExpiries
    chains: OptionChains
    distributions: StrikeDistributions
    history: OptionHistory
    moneyness: MoneynessHistory
    strikes: StrikeHistory
    pricing: OptionPricing
    surfaces: VolatilitySurfaces
    streams: OptionStreams

    async def ListExpiries(self, request: chain_pb2.ListExpiriesRequest, call: Call) -> chain_pb2.ListExpiriesResponse:
        """The expiries of an underlying's options with class and labels."""
        return await self.expiries.list_expiries(request)

    async def GetOptionChain(self, request: chain_pb2.GetOptionChainRequest, call: Call) -> bytes:
        """The options of one expiry by strike: an OptionChain, serialised."""
        return await self.chains.get_chain(request)

    async def GetExpiryMetrics(
        self, request: chain_pb2.GetExpiryMetricsRequest, call: Call
    ) -> expiry_metrics_pb2.ExpiryMetrics:
        """The figures of one expiry over all its strikes."""
        return await self.chains.get_metrics(request)

    async def GetStrikeDistribution(
        self, request: distribution_pb2.GetStrikeDistributionRequest, call: Call
    ) -> distribution_pb2.StrikeDistribution:
        """Expiries of one underlying by strike."""
        return await self.distributions.get(request)

    async def ListAnalyticsPanels(
        self, request: distribution_pb2.ListAnalyticsPanelsRequest, call: Call
    ) -> distribution_pb2.ListAnalyticsPanelsResponse:
        """The panels of an options dashboard."""
        return list_analytics_panels(request)

    async def ListExpiryMetrics(
        self, request: history_pb2.ListExpiryMetricsRequest, call: Call
    ) -> history_pb2.ListExpiryMetricsResponse:
        """The figures of one expiry over time."""
        return await self.history.list_expiry_metrics(request)

    async def ListMoneynessSeries(
        self, request: moneyness_series_pb2.ListMoneynessSeriesRequest, call: Call
    ) -> moneyness_series_pb2.ListMoneynessSeriesResponse:
        """One figure of options by their distance from the money, over time."""
        return await self.moneyness.list_moneyness_series(request)

    async def ListStrikeHistory(
        self, request: history_pb2.ListStrikeHistoryRequest, call: Call
    ) -> history_pb2.ListStrikeHistoryResponse:
        """Both options of one strike over time."""
        return await self.strikes.list_strike_history(request)

    async def GetGreeksAt(self, request: history_pb2.GetGreeksAtRequest, call: Call) -> history_pb2.OptionMoment:
        """One option as it was valued at a time."""
        return await self.history.get_greeks_at(request)

    async def CalculateGreeks(
        self, request: pricing_pb2.CalculateGreeksRequest, call: Call
    ) -> pricing_pb2.CalculateGreeksResponse:
        """Volatility or price, and Greeks, of options in the market as it is or as it might be."""
        return await self.pricing.calculate_greeks(request)

    async def GetVolatilitySurface(
        self, request: pricing_pb2.GetVolatilitySurfaceRequest, call: Call
    ) -> pricing_pb2.VolatilitySurface:
        """Implied volatility by strike, delta and expiry."""
        return await self.surfaces.get_volatility_surface(request)

    async def StreamOptionChain(
        self, request: stream_pb2.StreamOptionChainRequest, call: Call
    ) -> AsyncGenerator[bytes, None]:
        """Every valuation of the chosen strikes of the chosen expiries."""
        async with contextlib.aclosing(self.streams.chain(request, call)) as envelopes:
            async for envelope in envelopes:
                yield envelope

    async def StreamStrike(self, request: stream_pb2.StreamStrikeRequest, call: Call) -> AsyncGenerator[bytes, None]:
        """Every valuation of one strike."""
        async with contextlib.aclosing(self.streams.strike(request, call)) as envelopes:
            async for envelope in envelopes:
                yield envelope

    async def StreamOptionBuckets(
        self, request: stream_pb2.StreamOptionBucketsRequest, call: Call
    ) -> AsyncGenerator[bytes, None]:
        """The closed buckets of all expiries of the chosen underlyings."""
        async with contextlib.aclosing(self.streams.buckets(request, call)) as envelopes:
            async for envelope in envelopes:
                yield envelope

"""MarketDataService: prices as they come and as they were."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Mapping, Sequence

from google.protobuf.empty_pb2 import Empty

from server.domain.calendar import MarketCalendar, calendar_of
from server.domain.errors import FieldViolation, InvalidArgument
from server.domain.timeframes import ONE_MINUTE, TIMEFRAMES, Timeframe
from server.market.hub import wire
from server.market.hub.feed import FeedState
from server.market.hub.hub import Hub
from server.market.hub.options import DeliveryOptions, Subscriber
from server.rpc.call import Call
from server.services.converters_market import bar_message
from server.services.depth import analyze_depth
from server.services.monitor import Monitor
from server.services.quotes import QuoteEncoder, StoredQuotes
from server.services.requests import SERIES_SIZE, find_instrument, page_size, unknown_instrument
from server.services.times import datetime_of
from server.store.bar_series import BarQuery
from server.store.bars import BarStore
from server.store.instruments import InstrumentStore
from server.store.records import to_datetime
from strikeline.v1 import depth_pb2, monitor_pb2
from strikeline.v1 import market_data_service_pb2 as pb

_QUOTES = wire.key_of(pb.BatchGetQuotesResponse.DESCRIPTOR, "quotes")
_AS_OF = wire.key_of(pb.BatchGetQuotesResponse.DESCRIPTOR, "as_of")


class MarketDataService:
    """Quotes and streams come from the hub, bars from the store."""

    def __init__(
        self,
        hub: Hub,
        instruments: InstrumentStore,
        bars: BarStore,
        calendars: Mapping[str, MarketCalendar],
        monitor: Monitor,
    ) -> None:
        self._hub = hub
        self._monitor = monitor
        self._quotes = QuoteEncoder(hub, _QUOTES)
        self.quote_cache = self._quotes.use
        self._stored = StoredQuotes(bars, calendars, hub.market_time)
        self._as_of = (0, b"")
        self._instruments = instruments
        self._bars = bars
        self._calendars = calendars

    async def BatchGetQuotes(self, request: pb.BatchGetQuotesRequest, call: Call) -> bytes:
        """The present quotes, in the order requested: a BatchGetQuotesResponse, serialised."""
        stale = self._hub.feed_state() is not FeedState.LIVE
        parts: list[bytes] = []
        known = self._hub.directory.known(request.instruments)
        for key, number in known or await self._resolved(request.instruments):
            quote = self._quotes.encoded(key, number, stale=stale)
            parts.append(self._quotes.field(await self._stored.quote(key, number)) if quote is None else quote)
        parts.append(self._market_time())
        return b"".join(parts)

    async def StreamTicks(self, request: pb.StreamTicksRequest, call: Call) -> AsyncGenerator[bytes, None]:
        """Every tick of the chosen instruments."""
        envelopes = self._hub.subscribe_ticks(
            request.instruments, DeliveryOptions.of(request.options), subscriber_of(call)
        )
        async with contextlib.aclosing(envelopes):
            async for envelope in envelopes:
                yield envelope

    async def AnalyzeDepth(self, request: depth_pb2.AnalyzeDepthRequest, call: Call) -> depth_pb2.DepthAnalysis:
        """What the order book of an instrument says, or one that came with the request."""
        instrument = await find_instrument(self._instruments, request.instrument, "instrument")
        return analyze_depth(self._hub, instrument, request)

    async def StreamDepth(self, request: depth_pb2.StreamDepthRequest, call: Call) -> AsyncGenerator[bytes, None]:
        """The order books of the chosen instruments as they change."""
        envelopes = self._hub.subscribe_depth(
            request.instruments,
            DeliveryOptions.of(request.options),
            subscriber_of(call),
            analysis=request.analysis,
        )
        async with contextlib.aclosing(envelopes):
            async for envelope in envelopes:
                yield envelope

    async def ListBars(self, request: pb.ListBarsRequest, call: Call) -> pb.ListBarsResponse:
        """The bars of one instrument, ascending by time; without an end up to market time."""
        timeframe = timeframe_of(request.timeframe)
        instrument = await find_instrument(self._instruments, request.instrument, "instrument")
        now = self._hub.market_time()
        market_time = to_datetime(now) if now else None
        query = BarQuery(
            instrument_id=instrument.instrument_id,
            timeframe=timeframe,
            start=datetime_of("start_time", request.start_time) if request.HasField("start_time") else None,
            end=datetime_of("end_time", request.end_time) if request.HasField("end_time") else None,
            market_time=market_time,
        )
        calendar = self._calendars[calendar_of(instrument.exchange)]
        page = await self._bars.list_bars(
            query, calendar, page_size(request.page_size, SERIES_SIZE), request.page_token
        )
        return pb.ListBarsResponse(
            instrument=instrument.key,
            timeframe=timeframe.name,
            bars=map(bar_message, page.items),
            next_page_token=page.next_page_token,
        )

    async def StreamBars(self, request: pb.StreamBarsRequest, call: Call) -> AsyncGenerator[bytes, None]:
        """The bars of the chosen instruments as they change and close."""
        envelopes = self._hub.subscribe_bars(
            request.instruments,
            timeframe_of(request.timeframe or ONE_MINUTE.name).name,
            DeliveryOptions.of(request.options),
            subscriber_of(call),
            closed_only=request.closed_only,
        )
        async with contextlib.aclosing(envelopes):
            async for envelope in envelopes:
                yield envelope

    async def GetMarketSnapshot(self, request: monitor_pb2.GetMarketSnapshotRequest, call: Call) -> bytes:
        """The newest quotes around an underlying: a MarketSnapshot, serialised."""
        return await self._monitor.screens.snapshot(request)

    async def GetMonitorMetadata(
        self, request: monitor_pb2.GetMonitorMetadataRequest, call: Call
    ) -> monitor_pb2.MonitorMetadata:
        """The instruments around an underlying."""
        return await self._monitor.screens.metadata(request)

    async def SearchMonitorSymbols(
        self, request: monitor_pb2.SearchMonitorSymbolsRequest, call: Call
    ) -> monitor_pb2.SearchMonitorSymbolsResponse:
        """Underlyings by a part of symbol or name, best first."""
        return await self._monitor.symbols.search(request)

    async def CreateMonitorSession(
        self, request: monitor_pb2.CreateMonitorSessionRequest, call: Call
    ) -> monitor_pb2.MonitorSession:
        """A new session of instruments that the feed follows."""
        return await self._monitor.sessions.create(request, call)

    async def UpdateMonitorSession(
        self, request: monitor_pb2.UpdateMonitorSessionRequest, call: Call
    ) -> monitor_pb2.MonitorSession:
        """Gives a session other instruments, or lets it live on."""
        return await self._monitor.sessions.update(request, call)

    async def DeleteMonitorSession(self, request: monitor_pb2.DeleteMonitorSessionRequest, call: Call) -> Empty:
        """Ends a session and its streams."""
        await self._monitor.sessions.delete(request, call)
        return Empty()

    async def GetMonitorStatus(
        self, request: monitor_pb2.GetMonitorStatusRequest, call: Call
    ) -> monitor_pb2.MonitorStatus:
        """The caller's sessions and the feed's state."""
        return await self._monitor.sessions.status(call)

    async def StreamMonitor(self, request: monitor_pb2.StreamMonitorRequest, call: Call) -> AsyncGenerator[bytes, None]:
        """Every tick of a session's instruments."""
        async with contextlib.aclosing(self._monitor.sessions.stream(request, call)) as envelopes:
            async for envelope in envelopes:
                yield envelope

    async def _resolved(self, items: Sequence[str]) -> list[tuple[str, int]]:
        """Key and number of each item. Raises NotFound that names the first without instrument."""
        resolved: list[tuple[str, int]] = []
        for place, outcome in enumerate(await self._hub.directory.resolve(items)):
            if outcome.number is None:
                raise unknown_instrument(outcome.item, f"instruments[{place}]")
            resolved.append((outcome.key, outcome.number))
        return resolved

    def _market_time(self) -> bytes:
        """The field `as_of`, encoded once for as long as market time stays; empty before the first tick."""
        now = self._hub.market_time()
        if now != self._as_of[0]:
            self._as_of = (now, wire.delimited(_AS_OF, wire.timestamp(now)) if now else b"")
        return self._as_of[1]


def subscriber_of(call: Call) -> Subscriber:
    """The caller as the hub knows it. The end of the credential is watched around the whole stream."""
    return Subscriber(call.principal.user, stream=call.stream)


def timeframe_of(name: str) -> Timeframe:
    """The timeframe of that name. Raises InvalidArgument (TIMEFRAME_UNKNOWN) that lists the allowed ones."""
    try:
        return Timeframe.parse(name)
    except ValueError as error:
        raise InvalidArgument(
            str(error),
            reason="TIMEFRAME_UNKNOWN",
            metadata={"timeframe": name, "allowed": " ".join(item.name for item in TIMEFRAMES)},
            violations=(FieldViolation("timeframe", str(error)),),
        ) from error

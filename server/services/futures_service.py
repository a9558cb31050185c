"""FuturesService: what futures say about positions, rollover, basis and carry."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence

from google.protobuf.timestamp_pb2 import Timestamp

from server.domain.calendar import to_nanoseconds
from server.domain.errors import InvalidArgument
from server.domain.futures import PRESSURE_DAYS, SIGNAL_THRESHOLD, rollover, term_structure
from server.domain.instruments import Instrument, InstrumentKind
from server.domain.timeframes import ONE_MINUTE
from server.market.hub.feed import FeedState
from server.market.hub.hub import Hub
from server.market.hub.options import DeliveryOptions
from server.rpc.call import Call
from server.services.converters_futures import (
    rollover_message,
    signal_message,
    summary_message,
    term_structure_message,
)
from server.services.futures_market import FuturesMarket
from server.services.futures_signals import SignalQuery, SignalSeries
from server.services.listed_expiries import symbol_of
from server.services.market_data_service import subscriber_of, timeframe_of
from server.services.requests import SERIES_SIZE, find_instruments, page_size
from server.services.times import datetime_of, timestamp
from server.store.bar_series import BarQuery
from server.store.instruments import InstrumentStore
from server.store.records import to_datetime
from strikeline.v1 import futures_pb2
from strikeline.v1 import futures_requests_pb2 as pb


class FuturesService:
    """Signals come from bars; rollover and basis from the present book, or from bars for a time in the past."""

    def __init__(self, hub: Hub, market: FuturesMarket, signals: SignalSeries, instruments: InstrumentStore) -> None:
        self._hub = hub
        self._market = market
        self._signals = signals
        self._instruments = instruments

    async def GetRolloverMetrics(
        self, request: pb.GetRolloverMetricsRequest, call: Call
    ) -> futures_pb2.RolloverMetrics:
        """How far open interest has moved to later expiries."""
        days = request.pressure_days if request.HasField("pressure_days") else PRESSURE_DAYS
        view = await self._market.view(request.underlying, _as_of(request))
        return rollover_message(view, rollover(view.quotes, view.as_of, days), days)

    async def GetFuturesSummary(self, request: pb.GetFuturesSummaryRequest, call: Call) -> futures_pb2.FuturesSummary:
        """The nearest contract."""
        view = await self._market.view(request.underlying, _as_of(request))
        return summary_message(view, term_structure(view.quotes, view.spot_price, view.as_of)[0])

    async def GetTermStructure(self, request: pb.GetTermStructureRequest, call: Call) -> futures_pb2.TermStructure:
        """Basis and carry of each contract."""
        view = await self._market.view(request.underlying, _as_of(request))
        return term_structure_message(view, term_structure(view.quotes, view.spot_price, view.as_of))

    async def ListPositionSignals(
        self, request: pb.ListPositionSignalsRequest, call: Call
    ) -> pb.ListPositionSignalsResponse:
        """The signals of each bar; without an end up to market time."""
        timeframe = timeframe_of(request.timeframe)
        start = _instant("start_time", request.start_time if request.HasField("start_time") else None)
        end = _instant("end_time", request.end_time if request.HasField("end_time") else None)
        contracts = await self._contracts(request.underlying, request.instruments, start or end)
        now = self._hub.market_time()
        bars = BarQuery(
            instrument_id=0,
            timeframe=timeframe,
            start=None if start is None else to_datetime(start),
            end=None if end is None else to_datetime(end),
            market_time=to_datetime(now) if now else None,
        )
        name = symbol_of(request.underlying)
        query = SignalQuery(name, contracts, bars, _threshold(request))
        page = await self._signals.page(query, page_size(request.page_size, SERIES_SIZE), request.page_token)
        return pb.ListPositionSignalsResponse(
            as_of=timestamp(now) if now else None,
            stale=self._hub.feed_state() is not FeedState.LIVE,
            underlying=name,
            timeframe=timeframe.name,
            signals=map(signal_message, page.items),
            next_page_token=page.next_page_token,
        )

    async def StreamPositionSignals(
        self, request: pb.StreamPositionSignalsRequest, call: Call
    ) -> AsyncGenerator[bytes, None]:
        """The signals as bars change and close."""
        timeframe = timeframe_of(request.timeframe or ONE_MINUTE.name)
        contracts = await self._contracts(request.underlying, request.instruments, None)
        envelopes = self._hub.subscribe_position_signals(
            [contract.key for contract in contracts],
            timeframe,
            DeliveryOptions.of(request.options),
            subscriber_of(call),
            closed_only=request.closed_only,
            threshold=_threshold(request),
        )
        async with contextlib.aclosing(envelopes):
            async for envelope in envelopes:
                yield envelope

    async def _contracts(self, underlying: str, named: Sequence[str], instant: int | None) -> Sequence[Instrument]:
        """The named contracts by expiry, or those in force. Raises NotFound or InvalidArgument."""
        if not named:
            return await self._market.in_force(underlying, instant)
        name, found = symbol_of(underlying), await find_instruments(self._instruments, named, "instruments")
        for place, instrument in enumerate(found):
            if instrument.kind is not InstrumentKind.FUTURE or instrument.underlying != name:
                raise InvalidArgument.of(f"instruments[{place}]", f"is no future of {name}")
        return sorted(found, key=lambda item: (str(item.expiry), item.key))


def _threshold(request: pb.ListPositionSignalsRequest | pb.StreamPositionSignalsRequest) -> float:
    return request.threshold_percent if request.HasField("threshold_percent") else SIGNAL_THRESHOLD


def _as_of(
    request: pb.GetRolloverMetricsRequest | pb.GetFuturesSummaryRequest | pb.GetTermStructureRequest,
) -> int | None:
    return _instant("as_of", request.as_of if request.HasField("as_of") else None)


def _instant(field: str, value: Timestamp | None) -> int | None:
    """A time of the request in nanoseconds; None when it is not set."""
    return None if value is None else to_nanoseconds(datetime_of(field, value))

"""Mark-to-market of strategies: now, as candles, and live."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from server.domain.prices import format_money
from server.market.hub.hub import Hub
from server.market.hub.m2m import StrategyReader, m2m_message
from server.market.hub.options import DeliveryOptions, Subscriber
from server.rpc.call import Call
from server.services.requests import SERIES_SIZE, page_size
from server.services.times import datetime_of, timestamp_of
from server.store.m2m import M2mCandle, M2mStore
from server.store.records import to_datetime
from strikeline.v1 import m2m_pb2
from strikeline.v1.m2m_requests_pb2 import ListM2mCandlesRequest, ListM2mCandlesResponse, StreamM2mRequest


class MarkToMarket:
    """Present figures and candles come from the store, samples as they happen from the hub."""

    def __init__(self, hub: Hub, strategies: StrategyReader, store: M2mStore) -> None:
        self._hub = hub
        self._strategies = strategies
        self._store = store

    async def current(self, user: str, account: str, strategy: str) -> m2m_pb2.StrategyM2m:
        """The latest sample that the worker has committed. Raises NotFound."""
        facts = await self._strategies.facts(user, account, strategy)
        return m2m_message(strategy, facts.legs, facts.realized, facts.sample, self._hub.market_time())

    async def candles(self, user: str, request: ListM2mCandlesRequest) -> ListM2mCandlesResponse:
        """A page of candles. Raises NotFound."""
        now = self._hub.market_time()
        page = await self._store.list_candles(
            user,
            request.account,
            request.strategy,
            page_size(request.page_size, SERIES_SIZE),
            request.page_token,
            start=datetime_of("start_time", request.start_time) if request.HasField("start_time") else None,
            end=datetime_of("end_time", request.end_time) if request.HasField("end_time") else None,
            market_time=to_datetime(now) if now else None,
        )
        return ListM2mCandlesResponse(candles=map(_candle, page.items), next_page_token=page.next_page_token)

    def stream(self, request: StreamM2mRequest, call: Call) -> AsyncGenerator[bytes, None]:
        """Envelopes of a subscription; the hub checks whose strategy it is."""
        return self._hub.subscribe_m2m(
            request.account,
            request.strategy,
            DeliveryOptions.of(request.options),
            Subscriber(call.principal.user, stream=call.stream),
        )


def _candle(item: M2mCandle) -> m2m_pb2.M2mCandle:
    return m2m_pb2.M2mCandle(
        open_time=timestamp_of(item.open_time),
        open=format_money(item.open),
        high=format_money(item.high),
        low=format_money(item.low),
        close=format_money(item.close),
        leg_count=item.leg_count,
    )

"""The monitor's part of MarketDataService: what screens show, what they may show, and sessions of what they watch."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final, Protocol

from server.domain.expiries import earliest_expiry
from server.domain.symbols import canonical_underlying
from server.market.clock import Clock
from server.services.converters_instruments import instrument_message
from server.services.monitor_screens import MonitorScreens
from server.services.monitor_selection import market_now
from server.services.monitor_sessions import MonitorSessions
from server.services.requests import MarketClock, page_size
from server.store.instruments import NamedUnderlying
from server.store.paging import Page
from strikeline.v1 import monitor_pb2 as pb

SYMBOLS: Final = 20
"""Underlyings of an answer when the request does not say."""


class Underlyings(Protocol):
    """The instrument master (`server.store.instruments.InstrumentStore`)."""

    async def search_underlyings(
        self, query: str, canonical: str, on: date, page_size: int, page_token: str = ""
    ) -> Page[NamedUnderlying]:
        """What has derivatives in force and the query in a symbol or name, best first."""
        ...


class MonitorSymbols:
    """Finds what can be monitored."""

    def __init__(self, underlyings: Underlyings, market: MarketClock, clock: Clock) -> None:
        self._underlyings = underlyings
        self._market = market
        self._clock = clock

    async def search(self, request: pb.SearchMonitorSymbolsRequest) -> pb.SearchMonitorSymbolsResponse:
        """Underlyings with contracts in force, best first."""
        on = earliest_expiry(market_now(self._market, self._clock))
        size = page_size(request.page_size, SYMBOLS)
        page = await self._underlyings.search_underlyings(
            request.query, _canonical(request.query), on, size, request.page_token
        )
        return pb.SearchMonitorSymbolsResponse(symbols=map(_symbol, page.items), next_page_token=page.next_page_token)


@dataclass(frozen=True)
class Monitor:
    """The parts."""

    screens: MonitorScreens
    symbols: MonitorSymbols
    sessions: MonitorSessions


def _canonical(query: str) -> str:
    try:
        return canonical_underlying(query)
    except ValueError:
        return ""


def _symbol(found: NamedUnderlying) -> pb.MonitorSymbol:
    own = found.instrument
    return pb.MonitorSymbol(
        underlying=found.underlying,
        display_name=found.underlying if own is None else own.name or own.tradingsymbol,
        instrument=None if own is None else instrument_message(own),
    )

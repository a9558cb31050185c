"""Servicers behind the real wrapper of identity, scopes and limits: simple answers that come the real way."""
# ruff: noqa: N802 - methods are named by the contract

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from server.contract.methods import load_contract
from server.rpc.call import Call
from server.rpc.health import HealthMonitor
from server.rpc.registry import build_handlers
from server.rpc.server import serve
from server.rpc.streams import Streams
from strikeline.v1 import market_data_service_pb2 as market
from strikeline.v1 import quote_pb2, stream_pb2, tick_pb2
from strikeline.v1 import system_service_pb2 as system
from tests.support.rpc_server import Parts


@dataclass
class SystemServicer:
    """Tells callers who they are, and sells tickets."""

    parts: Parts

    async def GetCallerIdentity(self, request: system.GetCallerIdentityRequest, call: Call):
        return system.GetCallerIdentityResponse(user=call.principal.user)

    async def CreateStreamTicket(self, request: system.CreateStreamTicketRequest, call: Call):
        ticket, _ = await self.parts.sessions.issue(call.principal)
        return system.CreateStreamTicketResponse(ticket=ticket)

    async def ListErrorReasons(self, request: system.ListErrorReasonsRequest, call: Call):
        return system.ListErrorReasonsResponse(total_size=1)


@dataclass
class MarketDataServicer:
    """Streams as many ticks as the test releases; a resume token is the number of the last message."""

    released: asyncio.Event = field(default_factory=asyncio.Event)
    open_streams: int = 0
    open_calls: int = 0
    """Of quotes; those of NSE:SLOW wait for the release too."""
    ticks: int = 1
    """Ticks in each batch."""

    async def BatchGetQuotes(self, request: market.BatchGetQuotesRequest, call: Call):
        self.open_calls += 1
        try:
            if "NSE:SLOW" in request.instruments:
                await self.released.wait()
        finally:
            self.open_calls -= 1
        quotes = [quote_pb2.Quote(instrument=name, last_price=101.5) for name in request.instruments]
        return market.BatchGetQuotesResponse(quotes=quotes)

    async def StreamTicks(self, request: market.StreamTicksRequest, call: Call) -> AsyncIterator[bytes]:
        self.open_streams += 1
        try:
            first = int(request.options.resume_token or 0) + 1
            for sequence in range(first, first + 1_000_000):
                if sequence > first + 2:
                    await self.released.wait()
                yield self._message(sequence, request.instruments)
        finally:
            self.open_streams -= 1

    def _message(self, sequence: int, instruments) -> bytes:
        message = market.StreamTicksResponse(sequence=sequence, resume_token=str(sequence))
        if sequence == 1:
            message.subscribed.results.extend(stream_pb2.ItemResult(item=item, key=item) for item in instruments)
        else:
            ticks = [tick_pb2.Tick(instrument=instruments[0], last_price=100 + sequence)] * self.ticks
            message.batch.ticks.extend(ticks)
        return message.SerializeToString()


POOL = {"pool_limit": 20, "pool_in_use": 3}


@dataclass(frozen=True)
class Api:
    """A running api without database or Redis."""

    address: str
    parts: Parts
    market: MarketDataServicer
    health: HealthMonitor


class Probes:
    """Dependencies that a test takes away."""

    def __init__(self) -> None:
        self.away: set[str] = set()

    def probe(self, name: str):
        async def check() -> None:
            if name in self.away:
                raise OSError(f"{name} is away")

        return check


@contextlib.asynccontextmanager
async def running_api(probes: Probes | None = None) -> AsyncIterator[Api]:
    """Serves while the block runs."""
    parts, ticks, probes = Parts(), MarketDataServicer(), probes or Probes()
    parts.streams = Streams(parts.directory, server="test", per_user=100, per_address=100)
    servicers = {"strikeline.v1.SystemService": SystemServicer(parts), "strikeline.v1.MarketDataService": ticks}
    methods = [
        method
        for method in load_contract()
        if method.service in servicers and hasattr(servicers[method.service], method.name)
    ]
    handlers = build_handlers(methods, servicers, await parts.wrapping())
    details = {"database": lambda: POOL}
    health = HealthMonitor([], {name: probes.probe(name) for name in ("database", "redis")}, details)
    await health.start()
    async with serve("127.0.0.1:0", handlers, health.servicer) as (_, port):
        yield Api(f"127.0.0.1:{port}", parts, ticks, health)

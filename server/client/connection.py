"""Connecting: one line for the channel, the credentials, the deadlines, the retries and the streams that resume."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar, cast

import grpc

from generated.clients.strikeline.v1 import (
    AccountServiceStub,
    FuturesServiceStub,
    InstrumentServiceStub,
    MarketDataServiceStub,
    OptionServiceStub,
    StrategyServiceStub,
    SystemServiceStub,
)
from server.client.contract import ClientContract
from server.client.options import ClientOptions
from server.client.resuming import Envelope, OpenStream, Resuming, StreamRequest
from server.client.transport import OverTransport, TokenSource, Transport, fixed_token

Stub = TypeVar("Stub")
EnvelopeType = TypeVar("EnvelopeType", bound=Envelope)
RequestType = TypeVar("RequestType", bound=StreamRequest)


class Client:
    """Typed access to every service over one connection."""

    def __init__(self, transport: Transport, options: ClientOptions) -> None:
        self._transport = transport
        self._options = options
        self.system = self.service(SystemServiceStub)
        self.instruments = self.service(InstrumentServiceStub)
        self.market_data = self.service(MarketDataServiceStub)
        self.options = self.service(OptionServiceStub)
        self.futures = self.service(FuturesServiceStub)
        self.strategies = self.service(StrategyServiceStub)
        self.accounts = self.service(AccountServiceStub)

    def service(self, stub: type[Stub]) -> Stub:
        """A client of any generated stub class, such as one of a later version of the contract."""
        combined = type(stub.__name__.removesuffix("Stub") + "Client", (OverTransport, stub), {})
        return cast("Stub", combined(self._transport))

    def resuming(
        self, method: OpenStream[RequestType, EnvelopeType], request: RequestType
    ) -> AsyncIterator[EnvelopeType]:
        """A stream that survives broken connections and restarted servers without a missed or repeated event.

        It opens `method` again with the token of the last envelope that it gave out. When the server no longer holds
        that position, the stream begins anew with a snapshot, which voids what came before. Raises CallError for what
        a new connection cannot mend.
        """
        return Resuming(self._options).run(method, request)


@asynccontextmanager
async def connect(
    target: str, *, token: str | Callable[[], Awaitable[str]] | None = None, options: ClientOptions | None = None
) -> AsyncIterator[Client]:
    """Connects to `target` ("host:port").

    `token` is a JWT, or a coroutine function that gives a current one for each call.
    """
    chosen = options or ClientOptions()
    contract = ClientContract.load()
    source: TokenSource | None = partial(fixed_token, token) if isinstance(token, str) else token
    async with _channel(target, contract, chosen) as channel:
        yield Client(Transport(channel, contract, source), chosen)


def _channel(target: str, contract: ClientContract, options: ClientOptions) -> grpc.aio.Channel:
    arguments = [
        ("grpc.service_config", contract.service_config(options)),
        ("grpc.enable_retries", 1),
        ("grpc.keepalive_time_ms", int(options.keepalive * 1000)),
        ("grpc.max_receive_message_length", options.largest_message),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", int(options.reconnect_longest_delay * 1000)),
        # Without this, a reader that stalls lets megabytes of old ticks pile up before it.
        ("grpc.http2.bdp_probe", 0),
    ]
    if options.root_certificates is None:
        return grpc.aio.insecure_channel(target, arguments)
    return grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(options.root_certificates), arguments)

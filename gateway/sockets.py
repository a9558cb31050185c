"""`/v1/ws`: one WebSocket, many calls by id. The handshake, and what the sockets of one gateway share."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl

import grpc
from starlette.types import Receive, Scope, Send

from gateway.edge import SECURITY_HEADERS, Origins
from gateway.exchange import Exchange, exchange_of
from gateway.open_streams import OpenStreams
from gateway.relay import draining
from gateway.settings import GatewaySettings
from gateway.socket_connection import SocketConnection
from gateway.socket_protocols import PROTOCOLS
from gateway.telemetry import Telemetry
from gateway.transcoder.endpoint import Endpoint
from gateway.transcoder.failure import Failure, FailureEncoder
from gateway.transcoder.problem import BadRequest, Problem
from gateway.upstream import SESSION, TICKET, Metadata, Upstream, metadata_of

WHO_AM_I = "/strikeline.v1.SystemService/GetCallerIdentity"
CHECK_TIMEOUT = 5.0


@dataclass(frozen=True)
class SocketServices:
    """What all sockets of a gateway share."""

    endpoints: dict[str, Endpoint]
    """By short name and by gRPC path."""

    failures: FailureEncoder
    telemetry: Telemetry
    open_streams: OpenStreams
    settings: GatewaySettings
    credentials: Credentials


class Credentials:
    """Asks the server whether a credential holds; the gateway itself verifies nothing."""

    def __init__(self, upstream: Upstream) -> None:
        self._call = upstream.unary(WHO_AM_I)

    async def check(self, exchange: Exchange, credential: Metadata) -> Metadata:
        """The credential for the calls of a socket: the same, or the session that a ticket buys.

        Raises AioRpcError when it does not hold.
        """
        call = self._call(b"", metadata=metadata_of(exchange, credential), timeout=CHECK_TIMEOUT)
        try:
            await call
        except grpc.aio.AioRpcError as error:
            # A credential that may do nothing but trade is a good one.
            if error.code() is not grpc.StatusCode.PERMISSION_DENIED:
                raise
        for name, value in await call.trailing_metadata():
            if name == SESSION and isinstance(value, str):
                return ((SESSION, value),)
        return credential


class Sockets:
    """The ASGI application of `/v1/ws`."""

    def __init__(self, services: SocketServices, origins: Origins) -> None:
        self._services = services
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        exchange = exchange_of(scope)
        exchange.rpc = "socket"
        await receive()  # websocket.connect
        try:
            name = self._protocol_name(scope)
            credential = await self._admit(scope, exchange)
        except (Problem, grpc.aio.AioRpcError) as error:
            failure = self._services.failures.of_error(error, exchange)
            exchange.code, exchange.reason = failure.code.name, failure.reason
            await _deny(send, failure, exchange.correlation_id)
            return
        await send({
            "type": "websocket.accept",
            "subprotocol": name if scope["subprotocols"] else None,
            "headers": [(b"x-correlation-id", exchange.correlation_id.encode())],
        })  # fmt: skip
        connection = SocketConnection(self._services, PROTOCOLS[name], scope, receive, send)
        await connection.run(credential)

    def _protocol_name(self, scope: Scope) -> str:
        offered: list[str] = scope["subprotocols"]
        known = [name for name in offered if name in PROTOCOLS]
        if offered and not known:
            raise BadRequest.of("sec-websocket-protocol", f"must be one of {', '.join(PROTOCOLS)}")
        return known[0] if known else "json"

    async def _admit(self, scope: Scope, exchange: Exchange) -> Metadata:
        """The socket's credential; empty when its first message shall bring one."""
        if self._services.open_streams.draining:
            raise draining()
        if not self._origins.may_connect(exchange.headers):
            origin = exchange.headers.get(b"origin", b"").decode("latin-1")
            raise Problem("ORIGIN_FORBIDDEN", "pages of this origin may not connect", metadata={"origin": origin})
        authorization = exchange.headers.get(b"authorization")
        if authorization is not None:
            credential: Metadata = (("authorization", authorization.decode("latin-1")),)
            return await self._services.credentials.check(exchange, credential)
        parameters = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        ticket = parameters.pop("ticket", None)
        if parameters:
            raise BadRequest.of(min(parameters), "is not a parameter of the socket", unknown=True)
        if ticket is None:
            return ()
        return await self._services.credentials.check(exchange, ((TICKET, ticket),))


async def _deny(send: Send, failure: Failure, correlation_id: str) -> None:
    headers = [(name.encode(), value.encode()) for name, value in SECURITY_HEADERS]
    headers += [(b"content-type", b"application/json"), (b"x-correlation-id", correlation_id.encode())]
    headers += failure.headers
    await send({"type": "websocket.http.response.start", "status": failure.http_status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": failure.body})

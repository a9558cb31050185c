"""The ASGI application that answers every HTTP route of the contract."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable

import grpc
from starlette.types import Receive, Scope, Send

from gateway.connections import connection_of
from gateway.exchange import Exchange, exchange_of
from gateway.transcoder.encoder import SharedPayloads
from gateway.transcoder.endpoint import Endpoint, StreamEndpoint, UnaryEndpoint
from gateway.transcoder.failure import Failure, FailureEncoder
from gateway.transcoder.framer import Wanted, wanted
from gateway.transcoder.matcher import Found, Matcher, WrongMethod
from gateway.transcoder.message import Codec
from gateway.transcoder.problem import Headers, Problem, not_found, wrong_method
from gateway.transcoder.request import Disconnected, check_media_type, read_body
from gateway.transcoder.routes import Route
from gateway.transcoder.streamer import Streamer
from gateway.upstream import Upstream, headers_of, metadata_of, timeout_of

JSON = (b"content-type", b"application/json")
_NO_STORE = (b"cache-control", b"no-store")
_VARY = (b"vary", b"accept, authorization, origin")


class Transcoder:
    """Serves routes. Paths that no route has are answered with 404, other methods of a route's path with 405."""

    def __init__(
        self, routes: Iterable[Route], codec: Codec, failures: FailureEncoder, upstream: Upstream, streamer: Streamer,
        shared: SharedPayloads, body_limit: int,
    ) -> None:  # fmt: skip
        self.endpoints = tuple(_endpoint(route, codec, upstream, shared) for route in routes)
        self._matcher = Matcher(
            (verb, item.route.template, item) for item in self.endpoints for verb in _verbs(item.route)
        )
        self._failures = failures
        self._streamer = streamer
        self._body_limit = body_limit

    def by_method(self) -> dict[str, Endpoint]:
        """The first endpoint of each method, by short name and by gRPC path."""
        found: dict[str, Endpoint] = {}
        for endpoint in self.endpoints:
            found.setdefault(endpoint.name, endpoint)
            found.setdefault(endpoint.route.method.path, endpoint)
        return found

    def match(self, scope: Scope) -> Found[Endpoint] | WrongMethod | None:
        """The route of an HTTP request."""
        return self._matcher.match(scope["method"], scope["raw_path"].decode("latin-1"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry for what nothing else answers."""
        if scope["type"] == "http":
            await self.answer(self.match(scope), scope, receive, send)

    async def answer(
        self, found: Found[Endpoint] | WrongMethod | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Answers a request whose route is known."""
        exchange = exchange_of(scope)
        try:
            if isinstance(found, Found):
                await self._serve(found, scope, exchange, receive, send)
            elif found is None:
                raise not_found(scope["path"])
            else:
                raise wrong_method(scope["method"], found.allowed)
        except Problem as problem:
            await fail(self._failures.of_problem(problem, exchange.correlation_id), exchange, send)
        except grpc.aio.AioRpcError as error:
            failure = self._failures.of_call(error, exchange)
            await fail(failure, exchange, send, headers_of(error.trailing_metadata() or ()))
        except Disconnected:
            exchange.code = "CANCELLED"

    async def _serve(
        self, found: Found[Endpoint], scope: Scope, exchange: Exchange, receive: Receive, send: Send
    ) -> None:
        endpoint = found.target
        exchange.rpc, exchange.method = endpoint.name, endpoint.route.method.path[1:]
        wants = wanted(exchange.headers)
        body = b""
        if endpoint.binder.takes_body:
            body = await read_body(receive, exchange.headers, self._body_limit)
            if body:
                check_media_type(exchange.headers)
        resume_token = exchange.headers.get(b"last-event-id", b"").decode("latin-1")
        wire = endpoint.wire(found.segments, scope["query_string"], body, resume_token)
        if isinstance(endpoint, StreamEndpoint):
            await self._streamer.stream(endpoint, wire, wants, scope, receive, send)
        elif isinstance(endpoint, UnaryEndpoint):
            await self._unary(endpoint, wire, wants, scope, send)

    async def _unary(self, endpoint: UnaryEndpoint, wire: bytes, wants: Wanted, scope: Scope, send: Send) -> None:
        exchange, connection = exchange_of(scope), connection_of(scope)
        timeout = timeout_of(exchange, endpoint.route.method)
        call = endpoint.call(wire, metadata=metadata_of(exchange), timeout=timeout)
        connection.when_left(call.cancel)
        try:
            reply = await call
        except asyncio.CancelledError:
            if connection.left and call.cancelled():
                raise Disconnected from None
            raise
        headers = [JSON, _VARY, *headers_of(await call.trailing_metadata())]
        if not any(name == b"cache-control" for name, _ in headers):
            headers.append(_NO_STORE)
        if endpoint.cacheable:
            tag = b'"%b"' % hashlib.blake2b(reply, digest_size=12, salt=b"%d" % wants.proto_names).hexdigest().encode()
            headers.append((b"etag", tag))
            if tag in exchange.headers.get(b"if-none-match", b""):
                await respond(send, 304, headers[1:], b"")
                return
        await respond(send, 200, headers, endpoint.encoder.encode(reply, proto_names=wants.proto_names))


def _verbs(route: Route) -> tuple[str, ...]:
    """HTTP methods of a route: HEAD wherever GET has an end. The HTTP server keeps the body of such answers back."""
    verb = route.rule.verb
    return ("GET", "HEAD") if verb == "GET" and not route.method.server_streaming else (verb,)


def _endpoint(route: Route, codec: Codec, upstream: Upstream, shared: SharedPayloads) -> Endpoint:
    if route.method.server_streaming:
        return StreamEndpoint(route, codec, upstream, shared)
    return UnaryEndpoint(route, codec, upstream, shared)


async def respond(send: Send, status: int, headers: Headers, body: bytes) -> None:
    """Sends a whole response."""
    if status != 304:
        headers = [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def fail(failure: Failure, exchange: Exchange, send: Send, headers: Headers | None = None) -> None:
    """Sends an error as a whole response. `headers`: what the server said beside it."""
    exchange.code = failure.code.name
    exchange.reason = failure.reason
    more = [item for item in headers or [] if item[0] != b"cache-control"]
    await respond(send, failure.http_status, [JSON, _NO_STORE, *failure.headers, *more], failure.body)

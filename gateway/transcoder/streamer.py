"""Relays a stream of the server into an HTTP body, message by message, as fast as the slower side allows."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import grpc
from starlette.types import Receive, Scope, Send

from gateway.connections import connection_of
from gateway.exchange import Exchange, exchange_of
from gateway.open_streams import OpenStreams
from gateway.relay import Left, Relay, draining
from gateway.transcoder.endpoint import StreamEndpoint
from gateway.transcoder.failure import FailureEncoder
from gateway.transcoder.framer import Wanted
from gateway.transcoder.problem import Headers, Problem
from gateway.upstream import headers_of, metadata_of, timeout_of

_HEADERS = [(b"cache-control", b"no-store"), (b"x-accel-buffering", b"no"), (b"vary", b"accept, authorization, origin")]


class Streamer:
    """Serves streaming methods over HTTP."""

    def __init__(self, failures: FailureEncoder, open_streams: OpenStreams, send_timeout: float) -> None:
        """`send_timeout`: seconds that a client may take to accept one frame."""
        self._failures = failures
        self._open = open_streams
        self._send_timeout = send_timeout

    async def stream(
        self, endpoint: StreamEndpoint, wire: bytes, wants: Wanted, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Calls the method and relays. Raises AioRpcError or Problem only before the response has started."""
        if self._open.draining:
            raise draining()
        exchange = exchange_of(scope)
        timeout = timeout_of(exchange, endpoint.route.method)
        relay = Relay(endpoint.call(wire, metadata=metadata_of(exchange), timeout=timeout))
        watcher = asyncio.create_task(_watch(receive, relay))
        body = _Body(send, self._send_timeout, connection_of(scope).abort)
        try:
            with self._open.opened(relay.drain):
                await self._relay(relay, endpoint, wants, exchange, body)
        except Left:
            exchange.code = "CANCELLED"
        finally:
            relay.close()
            watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watcher

    async def _relay(
        self, relay: Relay, endpoint: StreamEndpoint, wants: Wanted, exchange: Exchange, body: _Body
    ) -> None:
        framer = wants.framer
        # An error that comes before the first message keeps its HTTP status.
        message = await relay.read()
        await body.start([(b"content-type", framer.content_type), *headers_of(await relay.initial_metadata())])
        try:
            while message is not None:
                await body.write(endpoint.frame(message, framer, proto_names=wants.proto_names))
                exchange.messages += 1
                message = await relay.read()
            await body.finish(framer.end())
        except SlowClient:
            exchange.code, exchange.reason = "RESOURCE_EXHAUSTED", "SLOW_CONSUMER"
        except (grpc.aio.AioRpcError, Problem) as error:
            failure = self._failures.of_error(error, exchange)
            exchange.code, exchange.reason = failure.code.name, failure.reason
            with contextlib.suppress(SlowClient):
                await body.finish(framer.error(failure.body))


async def _watch(receive: Receive, relay: Relay) -> None:
    """Ends the relay when the client leaves; whatever else it sends is ignored."""
    while (await receive())["type"] != "http.disconnect":
        pass
    relay.leave()


class SlowClient(Exception):
    """The client did not accept a frame in time; its connection is aborted."""


class _Body:
    """A response body of unknown length with a time limit on each part."""

    def __init__(self, send: Send, timeout: float, abort: Callable[[], None]) -> None:
        self._send = send
        self._timeout = timeout
        self._abort = abort

    async def start(self, headers: Headers) -> None:
        """Status and headers."""
        await self._send({"type": "http.response.start", "status": 200, "headers": [*headers, *_HEADERS]})

    async def write(self, part: bytes) -> None:
        """One part. Raises SlowClient."""
        await self._within({"type": "http.response.body", "body": part, "more_body": True})

    async def finish(self, part: bytes) -> None:
        """The last part. Raises SlowClient."""
        await self._within({"type": "http.response.body", "body": part})

    async def _within(self, message: dict[str, object]) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await self._send(message)
        except TimeoutError as error:
            self._abort()
            raise SlowClient from error

"""What every request and response has in common: correlation, processing time, origins, the last resort for errors."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.exchange import Exchange, attach
from gateway.telemetry import Telemetry
from gateway.transcoder.failure import FailureEncoder
from gateway.transcoder.problem import Headers, Problem
from gateway.transcoder.transcoder import fail, respond

_CONTENT_SECURITY = (
    "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: https:; "
    "font-src 'self'; connect-src 'self'; frame-ancestors 'none'; base-uri 'self'"
)
SECURITY_HEADERS = (
    ("x-frame-options", "DENY"),
    ("x-content-type-options", "nosniff"),
    ("x-xss-protection", "1; mode=block"),
    ("referrer-policy", "strict-origin-when-cross-origin"),
    ("content-security-policy", _CONTENT_SECURITY),
    ("permissions-policy", "geolocation=(), microphone=(), camera=()"),
)
"""On every response, errors of the HTTP server itself included: the server is configured with them."""

_CORRELATION_FORM = re.compile(rb"[A-Za-z0-9._:-]{1,64}").fullmatch
_EXPOSED = (
    b"X-Correlation-ID, X-Process-Time, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, RateLimit-Status, "
    b"Retry-After, ETag, WWW-Authenticate"
)
_PREFLIGHT: Headers = [
    (b"access-control-allow-methods", b"GET, POST, PUT, DELETE, PATCH, OPTIONS"),
    (b"access-control-allow-headers", b"Content-Type, Authorization, X-Account-ID, X-Correlation-ID"),
    (b"access-control-max-age", b"600"),
]

log = logging.getLogger(__name__)


class Origins:
    """Which browser pages may call."""

    def __init__(self, allowed: frozenset[str]) -> None:
        self._allowed = frozenset(origin.encode() for origin in allowed)

    def listed(self, headers: Mapping[bytes, bytes]) -> bytes | None:
        """The request's origin when it is on the list."""
        origin = headers.get(b"origin")
        return origin if origin in self._allowed else None

    def may_connect(self, headers: Mapping[bytes, bytes]) -> bool:
        """Whether a socket may be opened: no browser, one of our own pages, or a listed page."""
        origin = headers.get(b"origin")
        if origin is None or origin in self._allowed:
            return True
        return urlsplit(origin).netloc == headers.get(b"host", b"")


class Edge:
    """The outermost part of the application."""

    def __init__(self, app: ASGIApp, *, origins: Origins, telemetry: Telemetry, failures: FailureEncoder) -> None:
        self._app = app
        self._origins = origins
        self._telemetry = telemetry
        self._failures = failures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._socket(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = _exchange(scope)
        started = time.perf_counter()
        response = _Response(send, exchange, started, self._origins.listed(exchange.headers))
        try:
            if scope["method"] == "OPTIONS" and b"access-control-request-method" in exchange.headers:
                await respond(response.send, 204, _PREFLIGHT if response.origin else [], b"")
            else:
                await self._app(scope, receive, response.send)
        except Problem as problem:
            await fail(self._failures.of_problem(problem, exchange.correlation_id), exchange, response.send)
        except Exception:
            log.exception("request failed; correlation id %s", exchange.correlation_id)
            exchange.code, exchange.reason = "INTERNAL", "INTERNAL"
            if response.status:
                raise  # half a response cannot be repaired: the server closes the connection
            text = f"internal error; quote correlation id {exchange.correlation_id}"
            failure = self._failures.of_problem(Problem("INTERNAL", text), exchange.correlation_id)
            await fail(failure, exchange, response.send)
        finally:
            seconds = time.perf_counter() - started
            self._telemetry.ended(exchange, scope["method"], scope["path"], response.status or 499, seconds)

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = _exchange(scope)
        started = time.perf_counter()
        status = 101

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "websocket.http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            self._telemetry.ended(exchange, "WEBSOCKET", scope["path"], status, time.perf_counter() - started)


class _Response:
    """Adds to a response what all have in common."""

    def __init__(self, send: Send, exchange: Exchange, started: float, origin: bytes | None) -> None:
        self._send = send
        self._exchange = exchange
        self._started = started
        self.origin = origin
        self.status = 0

    async def send(self, message: Message) -> None:
        """ASGI's send."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [
                *message.get("headers", ()),
                (b"x-correlation-id", self._exchange.correlation_id.encode()),
                (b"x-process-time", b"%.6f" % (time.perf_counter() - self._started)),
            ]
            if self.origin is not None:
                headers += [
                    (b"access-control-allow-origin", self.origin),
                    (b"access-control-expose-headers", _EXPOSED),
                ]
            message["headers"] = headers
        await self._send(message)


def _exchange(scope: Scope) -> Exchange:
    headers: dict[bytes, bytes] = dict(scope["headers"])
    stated = headers.get(b"x-correlation-id")
    correlation = stated.decode() if stated is not None and _CORRELATION_FORM(stated) else os.urandom(16).hex()
    exchange = Exchange(correlation, headers, scope["client"][0] if scope["client"] else "unknown")
    attach(scope, exchange)
    return exchange

"""The way to the api: one channel, what of a browser's headers goes along, how long a call may take."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import TypeAlias

import grpc

from gateway.exchange import Exchange
from gateway.transcoder.problem import BadRequest, Headers
from server.contract.methods import Method

Metadata: TypeAlias = tuple[tuple[str, str], ...]
UnaryCallable: TypeAlias = "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]"
StreamCallable: TypeAlias = "grpc.aio.UnaryStreamMultiCallable[bytes, bytes]"
StreamCall: TypeAlias = "grpc.aio.UnaryStreamCall[bytes, bytes]"

CORRELATION = "x-correlation-id"
SESSION = "x-strikeline-session"
TICKET = "x-strikeline-ticket"

_FORWARDED = ((b"authorization", "authorization"), (b"traceparent", "traceparent"))
_RETURNED = ("ratelimit-", "cache-control", "etag")
_TIMEOUT = re.compile(rb"([0-9]{1,8})([HMSmun])")
_UNPRINTABLE = re.compile(r"[^ -~]")
_UNITS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_LARGEST_REPLY = 64 * 1024 * 1024


def metadata_of(exchange: Exchange, credential: Metadata = ()) -> Metadata:
    """The metadata of a call on behalf of a request.

    Only what is listed here goes to the server: a client cannot speak for another by a header. `credential` replaces
    the request's own authorization.
    """
    headers = exchange.headers
    found = [(CORRELATION, exchange.correlation_id)]
    for name, key in _FORWARDED:
        value = headers.get(name)
        if value is not None and not (credential and key == "authorization"):
            found.append((key, _printable(value)))
    before = _printable(headers.get(b"x-forwarded-for", b""))
    chain = f"{before}, {exchange.client}" if before else exchange.client
    return (*found, ("x-forwarded-for", chain), *credential)


def _printable(value: bytes) -> str:
    """What gRPC accepts as metadata; other characters become question marks, which no credential has."""
    text = value.decode("latin-1")
    return text if text.isascii() and text.isprintable() else _UNPRINTABLE.sub("?", text)


def timeout_of(exchange: Exchange, method: Method) -> float | None:
    """Seconds that a call may take: the method's deadline, or less when the header `Grpc-Timeout` says so.

    The exchange keeps them.
    """
    exchange.timeout = _timeout(exchange, method.policy.deadline)
    return exchange.timeout


def _timeout(exchange: Exchange, longest: float | None) -> float | None:
    stated = exchange.headers.get(b"grpc-timeout")
    if stated is None:
        return longest
    match = _TIMEOUT.fullmatch(stated)
    if match is None:
        raise BadRequest.of("grpc-timeout", "must be a number and a unit, such as 500m (milliseconds) or 5S (seconds)")
    seconds = int(match[1]) * _UNITS[match[2]]
    return seconds if longest is None else min(seconds, longest)


def headers_of(metadata: Iterable[tuple[str, str | bytes]]) -> Headers:
    """Which of the server's metadata a client sees as headers."""
    return [
        (name.encode(), value.encode())
        for name, value in metadata
        if isinstance(value, str) and name.startswith(_RETURNED)
    ]


class Upstream:
    """Makes the calls. One channel, which must be made inside the running loop."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel

    def unary(self, path: str) -> UnaryCallable:
        """A callable of a unary method: serialised request -> serialised response."""
        return self._channel.unary_unary(path, request_serializer=None, response_deserializer=None)

    def stream(self, path: str) -> StreamCallable:
        """A callable of a streaming method."""
        return self._channel.unary_stream(path, request_serializer=None, response_deserializer=None)


@contextlib.asynccontextmanager
async def connect(addresses: str, methods: Iterable[Method], most_bytes: int) -> AsyncIterator[Upstream]:
    """The channel to the api, as long as the block runs.

    `addresses`: host:port, several separated by commas. `most_bytes`: of one request.
    """
    options: list[tuple[str, int | str]] = [
        ("grpc.service_config", json.dumps(_service_config(methods))),
        ("grpc.max_receive_message_length", _LARGEST_REPLY),
        ("grpc.max_send_message_length", 2 * most_bytes),
        # Without probing a stalled browser holds one window (64 kB) of old events here instead of megabytes.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1000),
        ("grpc.keepalive_time_ms", 20_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        # Two gateways in one process (tests) share nothing.
        ("grpc.use_local_subchannel_pool", 1),
    ]
    async with grpc.aio.insecure_channel(target_of(addresses), options=options) as channel:
        yield Upstream(channel)


def target_of(addresses: str) -> str:
    """GRPC's name for one or several servers. Raises ValueError for several that are not all IP addresses."""
    parts = [part.strip() for part in addresses.split(",") if part.strip()]
    if not parts:
        raise ValueError("no address of a server is given")
    if len(parts) == 1:
        return parts[0]
    versions = {ipaddress.ip_address(part.rpartition(":")[0].strip("[]")).version for part in parts}
    if len(versions) > 1:
        raise ValueError("addresses of several servers must be all IPv4 or all IPv6")
    return f"ipv{versions.pop()}:{','.join(parts)}"


def _service_config(methods: Iterable[Method]) -> Mapping[str, object]:
    """Balances over all servers; repeats calls that change nothing when a server is away, within their deadline."""
    safe = [{"service": method.service, "method": method.name} for method in methods if method.safe]
    retry = {
        "maxAttempts": 4,
        "initialBackoff": "0.05s",
        "maxBackoff": "0.5s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    return {
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [{"name": safe, "retryPolicy": retry}] if safe else [],
        "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1},
    }

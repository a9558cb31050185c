"""Lets betterproto2's generated stubs speak over grpc.aio."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar, cast

import betterproto2
import grpc

from server.client.contract import ClientContract
from server.client.converters import Converters
from server.client.errors import CallError

Answer = TypeVar("Answer", bound=betterproto2.Message)
TokenSource = Callable[[], Awaitable[str]]
Metadata = tuple[tuple[str, str], ...]


class Transport:
    """One channel with what every call on it shares: credentials, deadlines, parsers."""

    def __init__(self, channel: grpc.aio.Channel, contract: ClientContract, token: TokenSource | None) -> None:
        self._channel = channel
        self._contract = contract
        self._token = token
        self._converters = Converters()
        self._unary: dict[str, Any] = {}
        self._streams: dict[str, Any] = {}

    async def unary(
        self, route: str, request: betterproto2.Message, answer: type[Answer], seconds: float | None, extra: object
    ) -> Answer:
        """One call. Raises CallError."""
        if route not in self._unary:
            parse = self._converters.parser(answer)
            self._unary[route] = self._channel.unary_unary(route, request_serializer=bytes, response_deserializer=parse)
        deadline = seconds if seconds is not None else self._contract.deadlines.get(route)
        try:
            return cast(
                "Answer", await self._unary[route](request, timeout=deadline, metadata=await self._metadata(extra))
            )
        except grpc.aio.AioRpcError as error:
            raise CallError.of(error) from error

    async def stream(
        self, route: str, request: betterproto2.Message, answer: type[Answer], seconds: float | None, extra: object
    ) -> AsyncIterator[Answer]:
        """The messages of one server stream. Raises CallError; leaving the iteration cancels the call."""
        if route not in self._streams:
            parse = self._converters.parser(answer)
            self._streams[route] = self._channel.unary_stream(
                route, request_serializer=bytes, response_deserializer=parse
            )
        call = self._streams[route](request, timeout=seconds, metadata=await self._metadata(extra))
        try:
            async for message in call:
                yield message
        except grpc.aio.AioRpcError as error:
            raise CallError.of(error) from error
        finally:
            call.cancel()

    async def _metadata(self, extra: object) -> Metadata:
        given = tuple(cast("Any", extra).items()) if hasattr(extra, "items") else tuple(cast("Any", extra) or ())
        if self._token is None:
            return given
        return (*given, ("authorization", f"Bearer {await self._token()}"))


class OverTransport:
    """First base of every client class: what the generated stubs call, over our transport."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def _unary_unary(
        self,
        route: str,
        request: betterproto2.Message,
        response_type: type[Answer],
        *,
        timeout: float | None = None,
        deadline: object | None = None,
        metadata: object | None = None,
    ) -> Answer:
        return await self._transport.unary(route, request, response_type, _seconds(timeout, deadline), metadata)

    async def _unary_stream(
        self,
        route: str,
        request: betterproto2.Message,
        response_type: type[Answer],
        *,
        timeout: float | None = None,
        deadline: object | None = None,
        metadata: object | None = None,
    ) -> AsyncIterator[Answer]:
        answers = self._transport.stream(route, request, response_type, _seconds(timeout, deadline), metadata)
        try:
            async for message in answers:
                yield message
        finally:
            # An iteration that is left early must cancel the call now, not when the collector finds it.
            await cast("Any", answers).aclose()


def _seconds(timeout: float | None, deadline: object | None) -> float | None:
    if deadline is None:
        return timeout
    remaining = getattr(deadline, "time_remaining", None)
    if remaining is None:
        raise TypeError("deadline must be a grpclib Deadline; a plain number of seconds is the argument timeout")
    return cast("float", remaining())


def backoff(attempt: int, longest: float, jitter: float) -> float:
    """Delay in seconds before the given attempt (from 1); `jitter` in 0..1 spreads it over its upper half."""
    full = min(longest, 0.05 * 2.0 ** min(attempt, 16))
    return full * (0.5 + 0.5 * jitter)


async def fixed_token(token: str) -> str:
    """A token source for a token that is known."""
    return token

"""Streams that go on after a broken connection, exactly behind the last envelope that was given out."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, Protocol, TypeVar, cast

import grpc

from generated.clients.strikeline.v1 import StreamOptions
from server.client.errors import CallError
from server.client.options import ClientOptions
from server.client.transport import backoff

_EXPIRED = "RESUME_TOKEN_EXPIRED"
_MENDABLE = frozenset(
    {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.CANCELLED}
)
"""What a new connection may mend: servers that drain, die or are restarted, and proxies that lose their upstream."""


_FULL = "STREAM_LIMIT_EXCEEDED"
LIMIT_ATTEMPTS = 10
"""Refusals for too many streams that a resumption outlasts: a server that died may still be counted for seconds."""


class StreamRequest(Protocol):
    """A request of any stream."""

    options: StreamOptions | None


class Envelope(Protocol):
    """A message of any stream."""

    resume_token: str


RequestType = TypeVar("RequestType", bound=StreamRequest)
EnvelopeType = TypeVar("EnvelopeType", bound=Envelope)
Request_contra = TypeVar("Request_contra", contravariant=True)
Envelope_co = TypeVar("Envelope_co", covariant=True)


class OpenStream(Protocol[Request_contra, Envelope_co]):
    """A streaming method of a generated stub."""

    def __call__(self, message: Request_contra, /) -> AsyncIterator[Envelope_co]:
        """Opens the stream."""
        ...


class _Silent(Exception):
    """Neither an event nor a heartbeat came in time."""


class Resuming:
    """The loop of opening, reading and opening again."""

    def __init__(self, options: ClientOptions, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep) -> None:
        self._options = options
        self._sleep = sleep

    async def run(
        self, method: OpenStream[RequestType, EnvelopeType], request: RequestType
    ) -> AsyncIterator[EnvelopeType]:
        """See Client.resuming."""
        token = request.options.resume_token if request.options else ""
        attempt = refusals = 0
        resumed = bool(token)
        while True:
            pause = 0.0
            try:
                async with aclosing(self._watched(method, _from(request, token), self._silence(request))) as envelopes:
                    async for envelope in envelopes:
                        attempt = refusals = 0
                        resumed = True
                        yield envelope
                        token = envelope.resume_token or token
                return
            except CallError as error:
                if error.reason == _FULL:
                    refusals, pause = refusals + 1, error.retry_after or 0.0
                if error.reason == _EXPIRED:
                    token = ""
                elif not _mendable(error, resumed=resumed, refusals=refusals):
                    raise
            except _Silent:
                pass
            attempt += 1
            shortest = backoff(attempt, self._options.reconnect_longest_delay, random.random())
            await self._sleep(max(shortest, pause))

    async def _watched(
        self, method: OpenStream[RequestType, EnvelopeType], request: RequestType, silence: float
    ) -> AsyncGenerator[EnvelopeType, None]:
        envelopes = method(request)
        try:
            while True:
                try:
                    async with asyncio.timeout(silence):
                        envelope = await anext(envelopes)
                except StopAsyncIteration:
                    return
                except TimeoutError as error:
                    raise _Silent from error
                yield envelope
        finally:
            await cast("Any", envelopes).aclose()

    def _silence(self, request: StreamRequest) -> float:
        asked = request.options.heartbeat_interval if request.options else None
        interval = asked.total_seconds() if asked else self._options.default_heartbeat
        return interval * self._options.silence_factor


def _mendable(error: CallError, *, resumed: bool, refusals: int) -> bool:
    if error.reason == _FULL:
        return resumed and refusals < LIMIT_ATTEMPTS
    return error.code in _MENDABLE


def _from(request: RequestType, token: str) -> RequestType:
    options = dataclasses.replace(request.options or StreamOptions(), resume_token=token)
    return cast("RequestType", dataclasses.replace(cast("Any", request), options=options))

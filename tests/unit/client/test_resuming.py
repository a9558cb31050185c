"""A resuming stream against scripted connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import grpc
import pytest

from generated.clients.strikeline.v1 import StreamOptions, StreamTicksRequest, StreamTicksResponse
from server.client.errors import CallError
from server.client.options import ClientOptions
from server.client.resuming import LIMIT_ATTEMPTS, Resuming

Step = StreamTicksResponse | Exception | None


def envelope(sequence: int) -> StreamTicksResponse:
    return StreamTicksResponse(sequence=sequence, resume_token=f"token-{sequence}")


class Connections:
    """Each opening plays the next script: envelopes, then an error, silence (None) or a normal end."""

    def __init__(self, *scripts: list[Step]) -> None:
        self.scripts = list(scripts)
        self.tokens: list[str] = []
        self.closed = 0

    async def open(self, request: StreamTicksRequest) -> AsyncIterator[StreamTicksResponse]:
        self.tokens.append(request.options.resume_token if request.options else "")
        try:
            for step in self.scripts.pop(0):
                if step is None:
                    await asyncio.Event().wait()
                elif isinstance(step, Exception):
                    raise step
                else:
                    yield step
        finally:
            self.closed += 1


async def collect(connections: Connections, request: StreamTicksRequest | None = None) -> list[int]:
    stream = Resuming(ClientOptions(), sleep=no_wait).run(connections.open, request or StreamTicksRequest())
    return [message.sequence async for message in stream]


async def no_wait(_: float) -> None:
    await asyncio.sleep(0)


def broken(code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE, reason: str = "") -> CallError:
    return CallError(code, "broken", reason=reason)


async def test_goes_on_behind_the_last_envelope() -> None:
    connections = Connections([envelope(1), envelope(2), broken()], [envelope(3)])

    sequences = await collect(connections)

    assert sequences == [1, 2, 3]
    assert connections.tokens == ["", "token-2"]


async def test_starts_from_the_token_of_the_request() -> None:
    connections = Connections([envelope(9)])

    await collect(connections, StreamTicksRequest(options=StreamOptions(resume_token="kept")))

    assert connections.tokens == ["kept"]


async def test_expired_token_begins_anew() -> None:
    expired = broken(grpc.StatusCode.OUT_OF_RANGE, "RESUME_TOKEN_EXPIRED")
    connections = Connections([envelope(1), broken()], [expired], [envelope(1)])

    await collect(connections)

    assert connections.tokens == ["", "token-1", ""]


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.INVALID_ARGUMENT])
async def test_what_a_new_connection_cannot_mend_is_raised(code: grpc.StatusCode) -> None:
    connections = Connections([envelope(1), broken(code)])

    with pytest.raises(CallError) as caught:
        await collect(connections)

    assert caught.value.code == code


def full(retry_after: float | None = 1.0) -> CallError:
    return CallError(
        grpc.StatusCode.RESOURCE_EXHAUSTED, "full", reason="STREAM_LIMIT_EXCEEDED", retry_after=retry_after
    )


async def test_a_dead_servers_streams_are_waited_out_before_resuming() -> None:
    connections = Connections([envelope(1), broken()], [full()], [full()], [envelope(2)])

    sequences = await collect(connections)

    assert sequences == [1, 2]
    assert connections.tokens == ["", "token-1", "token-1", "token-1"]


async def test_a_full_server_is_asked_again_when_it_says() -> None:
    delays: list[float] = []

    async def remember(delay: float) -> None:
        delays.append(delay)

    connections = Connections([envelope(1), full(2.5)], [envelope(2)])
    stream = Resuming(ClientOptions(), sleep=remember).run(connections.open, StreamTicksRequest())
    _ = [message async for message in stream]

    assert delays == [2.5]


async def test_a_server_that_stays_full_is_told_after_a_while() -> None:
    connections = Connections([envelope(1), broken()], *[[full()] for _ in range(LIMIT_ATTEMPTS)])

    with pytest.raises(CallError) as caught:
        await collect(connections)

    assert caught.value.reason == "STREAM_LIMIT_EXCEEDED"
    assert len(connections.tokens) == 1 + LIMIT_ATTEMPTS


async def test_patience_begins_anew_with_each_envelope() -> None:
    spent: list[list[Step]] = [[full()] for _ in range(LIMIT_ATTEMPTS - 1)]
    connections = Connections([envelope(1), broken()], *spent, [envelope(2), broken()], *spent, [envelope(3)])

    assert await collect(connections) == [1, 2, 3]


async def test_a_first_stream_that_is_one_too_many_is_refused_at_once() -> None:
    connections = Connections([full()])

    with pytest.raises(CallError) as caught:
        await collect(connections)

    assert caught.value.reason == "STREAM_LIMIT_EXCEEDED"


async def test_another_limit_is_not_waited_out() -> None:
    connections = Connections([envelope(1), broken(grpc.StatusCode.RESOURCE_EXHAUSTED, "SLOW_CONSUMER")])

    with pytest.raises(CallError) as caught:
        await collect(connections)

    assert caught.value.reason == "SLOW_CONSUMER"


async def test_silence_is_taken_for_a_dead_connection() -> None:
    connections = Connections([envelope(1), None], [envelope(2)])
    options = ClientOptions(silence_factor=0.01)
    request = StreamTicksRequest(options=StreamOptions(heartbeat_interval=timedelta(seconds=1)))

    stream = Resuming(options, sleep=no_wait).run(connections.open, request)
    sequences = [message.sequence async for message in stream]

    assert sequences == [1, 2]
    assert connections.closed == 2


async def test_leaving_the_iteration_closes_the_connection() -> None:
    connections = Connections([envelope(1), None])
    stream = Resuming(ClientOptions(), sleep=no_wait).run(connections.open, StreamTicksRequest())

    await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]

    assert connections.closed == 1


async def test_delays_grow_to_their_bound() -> None:
    delays: list[float] = []
    failing: list[list[Step]] = [[broken()] for _ in range(12)]
    connections = Connections(*failing, [envelope(1)])

    async def remember(delay: float) -> None:
        delays.append(delay)

    stream = Resuming(ClientOptions(reconnect_longest_delay=1.0), sleep=remember).run(
        connections.open, StreamTicksRequest()
    )
    await anext(stream)

    assert all(0.5 * min(1.0, 0.05 * 2**attempt) <= delay <= 1.0 for attempt, delay in enumerate(delays, 1))

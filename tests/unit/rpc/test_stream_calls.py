"""Streams through the whole wrapper, over a real connection."""

import asyncio

import grpc
import pytest

from server.domain.errors import OutOfRange
from server.rpc import streaming
from strikeline.v1 import system_service_pb2
from tests.support.rpc_server import Caller, Parts, running
from tests.support.waiting import eventually

WATCH = "/strikeline.v1.SystemService/WatchComponents"
REQUEST = system_service_pb2.WatchComponentsRequest()
FRAME = system_service_pb2.WatchComponentsResponse(sequence=1).SerializeToString()


class System:
    """Sends one frame and stays open until it is told to end."""

    def __init__(self) -> None:
        self.end = asyncio.Event()
        self.error = None
        self.opened = 0
        self.closed = 0

    async def WatchComponents(self, request, call):  # noqa: N802
        if self.error:
            raise self.error
        self.opened += 1
        try:
            yield FRAME
            await self.end.wait()
        finally:
            self.closed += 1


@pytest.fixture
def parts() -> Parts:
    return Parts()


@pytest.fixture
def system() -> System:
    return System()


@pytest.fixture
async def call(parts, system):
    async with running(parts, {"SystemService": system}) as caller:
        yield caller


async def opened(call: Caller, token: str, **metadata: str) -> grpc.aio.UnaryStreamCall:
    """A stream whose first message has arrived."""
    named = tuple((name.replace("_", "-"), value) for name, value in metadata.items())
    pairs = (("authorization", f"Bearer {token}"), *named)
    stream = call.channel.unary_stream(WATCH)(REQUEST.SerializeToString(), metadata=pairs)
    assert await stream.read() == FRAME
    return stream


async def reason_of(stream: grpc.aio.UnaryStreamCall) -> str:
    from google.rpc import error_details_pb2, status_pb2

    with pytest.raises(grpc.aio.AioRpcError):
        async with asyncio.timeout(5):
            await stream.read()
    status = status_pb2.Status.FromString(dict(await stream.trailing_metadata())["grpc-status-details-bin"])
    info = error_details_pb2.ErrorInfo()
    status.details[0].Unpack(info)
    return info.reason


async def test_headers_come_before_the_first_message(call, parts):
    stream = await opened(call, parts.token(), x_correlation_id="mine")

    headers = dict(await stream.initial_metadata())
    assert headers["x-correlation-id"] == "mine"
    assert headers["ratelimit-limit"] == "6000"


async def test_an_open_stream_is_listed_and_a_closed_one_is_not(call, parts):
    stream = await opened(call, parts.token())

    (entry,) = parts.directory.entries.values()
    assert (entry.user, entry.address, entry.server) == ("demo", "127.0.0.1", "test")
    assert entry.method == WATCH[1:]

    stream.cancel()
    await eventually(lambda: not parts.directory.entries)
    assert parts.streams.count == 0


async def test_a_stream_that_ends_by_itself_is_closed_properly(call, parts, system):
    stream = await opened(call, parts.token())
    system.end.set()

    assert await stream.read() is grpc.aio.EOF
    assert await stream.code() is grpc.StatusCode.OK
    assert parts.streams.count == 0


async def test_one_stream_more_than_a_user_may_have_is_refused(call, parts):
    for _ in range(2):
        await opened(call, parts.token())

    answer = await call(WATCH, REQUEST, token=parts.token())

    assert answer.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (answer.info.reason, dict(answer.info.metadata)) == (
        "STREAM_LIMIT_EXCEEDED",
        {"of": "user", "limit": "2"},
    )


async def test_a_stream_that_is_refused_may_be_asked_for_again_soon(call, parts):
    for _ in range(2):
        await opened(call, parts.token())

    answer = await call(WATCH, REQUEST, token=parts.token())

    assert answer.retry.retry_delay.ToTimedelta().total_seconds() == 1.0


async def test_one_stream_more_than_an_address_may_have_is_refused(call, parts):
    for user in ("a", "b", "c"):
        await opened(call, parts.token(sub=user))

    answer = await call(WATCH, REQUEST, token=parts.token(sub="d"))

    assert dict(answer.info.metadata) == {"of": "address", "limit": "3"}


async def test_addresses_are_told_apart_behind_our_own_proxy(call, parts, system):
    for user in ("a", "b", "c"):
        await opened(call, parts.token(sub=user), x_forwarded_for="10.0.0.1")

    await opened(call, parts.token(sub="d"), x_forwarded_for="10.0.0.2")

    assert system.opened == 4


async def test_a_stream_that_was_refused_leaves_nothing_behind(call, parts, system):
    system.error = OutOfRange("gone", reason="RESUME_TOKEN_EXPIRED")

    answer = await call(WATCH, REQUEST, token=parts.token())

    assert (answer.code, answer.info.reason) == (grpc.StatusCode.OUT_OF_RANGE, "RESUME_TOKEN_EXPIRED")
    assert parts.streams.count == 0
    assert parts.directory.entries == {}


async def test_cancelling_by_name_ends_the_stream_with_its_reason(call, parts, system):
    stream = await opened(call, parts.token())
    (name,) = parts.directory.entries

    assert parts.streams.cancel(name)

    assert await reason_of(stream) == "STREAM_CANCELLED"
    assert system.closed == 1


async def test_a_stream_that_another_replica_asks_to_end_ends_at_the_next_renewal(call, parts):
    stream = await opened(call, parts.token())
    parts.directory.ending |= parts.directory.entries.keys()

    await parts.streams.renew()

    assert await reason_of(stream) == "STREAM_CANCELLED"


async def test_a_stream_ends_when_its_credential_does(call, parts):
    import time

    stream = await opened(call, parts.token(exp=int(time.time()) + 1))

    assert await reason_of(stream) == "CREDENTIAL_EXPIRED"


@pytest.mark.parametrize("seconds", [0.0, 0.0002, 0.0004, 0.0006, 0.0008, 0.001])
async def test_a_stream_whose_time_is_over_at_once_ends_with_a_status(call, parts, monkeypatch, seconds):
    def soon(_: object) -> float:
        return asyncio.get_running_loop().time() + seconds

    monkeypatch.setattr(streaming, "_end", soon)
    pairs = (("authorization", f"Bearer {parts.token()}"),)

    stream = call.channel.unary_stream(WATCH)(REQUEST.SerializeToString(), metadata=pairs, timeout=5.0)

    with pytest.raises(grpc.aio.AioRpcError, match="the time granted to the stream is over"):
        async for _ in stream:
            pass


async def test_limits_hold_within_the_process_while_the_directory_is_away(call, parts):
    parts.directory.away = True
    for _ in range(2):
        await opened(call, parts.token())

    answer = await call(WATCH, REQUEST, token=parts.token())

    assert answer.info.reason == "STREAM_LIMIT_EXCEEDED"


async def test_no_counter_grows_over_many_streams(call, parts, system):
    for _ in range(200):
        stream = await opened(call, parts.token())
        stream.cancel()
        await eventually(lambda: parts.streams.count == 0)

    await eventually(lambda: system.closed == 200)
    labels = {"service": "SystemService", "method": "WatchComponents"}
    assert parts.registry.get_sample_value("strikeline_rpc_streams", labels) == 0

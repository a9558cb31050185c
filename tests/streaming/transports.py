"""The same subscription over gRPC, WebSocket, SSE and NDJSON, as clients of the public port would make it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import grpc
import httpx
import websockets
from google.protobuf import json_format
from google.protobuf.message import Message

from strikeline.v1 import m2m_requests_pb2, option_stream_pb2
from strikeline.v1 import market_data_service_pb2 as pb
from tests.streaming.histories import Connection, received
from tests.support.system import DevSystem
from tests.support.waiting import PATIENCE, eventually

Response = Any
"""A message of the stream: every stream's has `sequence`, `resume_token` and `event`."""


class Broken(Exception):
    """The connection ended, whatever the transport says about it."""


@dataclass(frozen=True)
class StreamKind:
    """A streaming method: its service and name, its path with the fields that it names, and its messages."""

    service: str
    method: str
    path: str
    request: type[Message]
    response: type[Message]


TICKS = StreamKind(
    "MarketDataService", "StreamTicks", "/v1/ticks:stream", pb.StreamTicksRequest, pb.StreamTicksResponse
)
BARS = StreamKind("MarketDataService", "StreamBars", "/v1/bars:stream", pb.StreamBarsRequest, pb.StreamBarsResponse)
M2M = StreamKind(
    "StrategyService",
    "StreamM2m",
    "/v1/accounts/{account}/strategies/{strategy}:streamM2m",
    m2m_requests_pb2.StreamM2mRequest,
    m2m_requests_pb2.StreamM2mResponse,
)
CHAINS = StreamKind(
    "OptionService",
    "StreamOptionChain",
    "/v1/options/{underlying}:streamChain",
    option_stream_pb2.StreamOptionChainRequest,
    option_stream_pb2.StreamOptionChainResponse,
)
STRIKES = StreamKind(
    "OptionService",
    "StreamStrike",
    "/v1/options/{underlying}:streamStrike",
    option_stream_pb2.StreamStrikeRequest,
    option_stream_pb2.StreamStrikeResponse,
)


@dataclass(frozen=True)
class Subscription:
    """What a client asks for: every event at once, behind a token. `fields` are the request's own, as in JSON."""

    address: str
    token: str
    fields: Mapping[str, Any]
    stream: StreamKind = TICKS
    resume: str = ""
    options: Mapping[str, str] = field(default_factory=lambda: {"flushInterval": "0s", "heartbeatInterval": "1s"})

    def request(self) -> dict[str, Any]:
        """As JSON."""
        return {**self.fields, "options": self._options()}

    def path(self) -> str:
        """Path of the stream, with the fields that belong there."""
        return self.stream.path.format(**self.fields)

    def query(self) -> list[tuple[str, str]]:
        """As query parameters: all but what the path says."""
        parameters = []
        for name, value in self.fields.items():
            if f"{{{name}}}" not in self.stream.path:
                parameters += _parameters(name, value)
        return parameters + [(f"options.{name}", value) for name, value in self._options().items()]

    def parsed(self, message: dict[str, Any]) -> Response:
        """A message of the stream from its JSON. Raises Broken when it says that the stream failed."""
        if "error" in message:
            raise Broken(message["error"])
        return json_format.ParseDict(message, self.stream.response())

    def _options(self) -> dict[str, str]:
        return {**self.options} | ({"resumeToken": self.resume} if self.resume else {})


def _parameters(name: str, value: Any) -> list[tuple[str, str]]:
    """A field as query parameters: one for each element of a list, and for each field of a message."""
    if isinstance(value, Mapping):
        return [pair for part, inner in value.items() for pair in _parameters(f"{name}.{part}", inner)]
    return [(name, str(item)) for item in (value if isinstance(value, list) else [value])]


Transport = Callable[[Subscription], AsyncIterator[Response]]


async def over_grpc(subscription: Subscription) -> AsyncIterator[Response]:
    stream = subscription.stream
    request = json_format.ParseDict(subscription.request(), stream.request())
    metadata = (("authorization", f"Bearer {subscription.token}"),)
    async with grpc.aio.insecure_channel(subscription.address) as channel:
        path = f"/strikeline.v1.{stream.service}/{stream.method}"
        call = channel.unary_stream(path, response_deserializer=stream.response.FromString)
        try:
            async for message in call(request.SerializeToString(), metadata=metadata):
                yield message
        except grpc.aio.AioRpcError as error:
            raise Broken(error.code(), error.details()) from error
    raise Broken("the stream ended")


async def over_ndjson(subscription: Subscription) -> AsyncIterator[Response]:
    async with contextlib.aclosing(_lines(subscription, "application/x-ndjson")) as lines:
        async for line in lines:
            yield subscription.parsed(json.loads(line))


async def over_sse(subscription: Subscription) -> AsyncIterator[Response]:
    event = ""
    async with contextlib.aclosing(_lines(subscription, "text/event-stream")) as lines:
        async for line in lines:
            name, _, value = line.partition(": ")
            if name == "event":
                event = value
            elif name == "data":
                if event in {"error", "end"}:
                    raise Broken(value)
                yield subscription.parsed(json.loads(value))


async def over_websocket(subscription: Subscription) -> AsyncIterator[Response]:
    try:
        async with websockets.connect(f"ws://{subscription.address}/v1/ws", subprotocols=["json"]) as socket:
            await socket.send(json.dumps({"auth": subscription.token}))
            method = f"{subscription.stream.service}.{subscription.stream.method}"
            start = {"id": "1", "method": method, "request": subscription.request()}
            await socket.send(json.dumps(start))
            async for text in socket:
                event = json.loads(text)
                if "message" in event:
                    yield subscription.parsed(event["message"])
                elif event.get("id") is not None:
                    raise Broken(event)
    except (OSError, websockets.WebSocketException) as error:
        raise Broken(str(error)) from error
    raise Broken("the socket was closed")


TRANSPORTS: dict[str, Transport] = {
    "grpc": over_grpc,
    "ndjson": over_ndjson,
    "sse": over_sse,
    "websocket": over_websocket,
}


async def _lines(subscription: Subscription, accepted: str) -> AsyncIterator[str]:
    headers = {"authorization": f"Bearer {subscription.token}", "accept": accepted}
    async with httpx.AsyncClient(timeout=PATIENCE) as client:
        url = f"http://{subscription.address}{subscription.path()}"
        try:
            async with client.stream("GET", url, params=subscription.query(), headers=headers) as response:
                if response.status_code != 200:
                    raise Broken(response.status_code, (await response.aread()).decode())
                async for line in response.aiter_lines():
                    if line:
                        yield line
        except httpx.HTTPError as error:
            raise Broken(str(error)) from error
    raise Broken("the response ended")


class ResumingClient:
    """Reads over one transport, and connects again behind its last message whenever the connection breaks."""

    def __init__(self, transport: Transport, subscription: Subscription) -> None:
        self.history: list[Connection] = []
        self.first_arrivals: list[float] = []
        self.breaks: list[str] = []
        self._transport = transport
        self._subscription = subscription
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> ResumingClient:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    @property
    def event_count(self) -> int:
        """Events so far, over all connections."""
        return sum(len(connection.events) for connection in self.history)

    @property
    def started(self) -> bool:
        """The first connection has its snapshot."""
        return bool(self.history) and len(self.history[0].envelopes) >= 2

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits for a condition; tells what broke when it does not come."""
        assert self._task is not None
        try:
            await eventually(condition, beside=self._task)
        except AssertionError as error:
            error.add_note(f"{self.event_count} events, {len(self.history)} connections, {self.breaks}")
            raise

    async def _run(self) -> None:
        while True:
            token = self._last_token()
            connection = Connection(token)
            self.history.append(connection)
            subscription = replace(self._subscription, resume=token)
            try:
                async with contextlib.aclosing(self._transport(subscription)) as messages:
                    async for message in messages:
                        if not connection.envelopes:
                            self.first_arrivals.append(asyncio.get_running_loop().time())
                        connection.envelopes.append(received(message))
            except Broken as error:
                self.breaks.append(str(error))
                await asyncio.sleep(0.05)

    def _last_token(self) -> str:
        tokens = [envelope.token for connection in self.history for envelope in connection.envelopes]
        return tokens[-1] if tokens else ""


def events_of(history: Sequence[Connection]) -> list[Any]:
    """All events over all connections, in order."""
    return [event for connection in history for event in connection.events]


@contextlib.asynccontextmanager
async def clients_of(
    system: DevSystem,
    fields: Mapping[str, Any],
    stream: StreamKind = TICKS,
    transports: Sequence[str] = tuple(TRANSPORTS),
) -> AsyncIterator[dict[str, ResumingClient]]:
    """A resuming client for each transport, all started."""
    subscription = Subscription(system.envoy, system.token(), fields, stream)
    async with contextlib.AsyncExitStack() as stack:
        clients = {
            name: await stack.enter_async_context(ResumingClient(TRANSPORTS[name], subscription)) for name in transports
        }
        for client in clients.values():
            await client.until(lambda client=client: client.started)
        yield clients


async def more_events(clients: Mapping[str, ResumingClient], count: int = 50) -> None:
    """Waits until each client has got so many more events than it has now."""
    seen = {name: client.event_count for name, client in clients.items()}
    for name, client in clients.items():
        await client.until(lambda client=client, name=name: client.event_count >= seen[name] + count)

"""The same subscription over gRPC, WebSocket, SSE and NDJSON, as clients of the public port would make it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import httpx
import websockets
from google.protobuf import json_format

from strikeline.v1 import market_data_service_pb2 as pb
from tests.streaming.histories import Connection, received

PATH = "/strikeline.v1.MarketDataService/StreamTicks"
PATIENCE = 40.0
"""Seconds of real time after which something that should come is missing."""

Response = pb.StreamTicksResponse


class Broken(Exception):
    """The connection ended, whatever the transport says about it."""


@dataclass(frozen=True)
class Subscription:
    """What a client asks for: every tick at once, behind a token."""

    address: str
    token: str
    instruments: tuple[str, ...]
    resume: str = ""

    def request(self) -> dict[str, Any]:
        """As JSON."""
        options = {"flushInterval": "0s", "heartbeatInterval": "1s"} | (
            {"resumeToken": self.resume} if self.resume else {}
        )
        return {"instruments": list(self.instruments), "options": options}

    def query(self) -> list[tuple[str, str]]:
        """As query parameters."""
        options = self.request()["options"]
        parameters = [("instruments", instrument) for instrument in self.instruments]
        return parameters + [(f"options.{name}", value) for name, value in options.items()]


Transport = Callable[[Subscription], AsyncIterator[Response]]


async def over_grpc(subscription: Subscription) -> AsyncIterator[Response]:
    request = json_format.ParseDict(subscription.request(), pb.StreamTicksRequest())
    metadata = (("authorization", f"Bearer {subscription.token}"),)
    async with grpc.aio.insecure_channel(subscription.address) as channel:
        call = channel.unary_stream(PATH, response_deserializer=Response.FromString)
        try:
            async for message in call(request.SerializeToString(), metadata=metadata):
                yield message
        except grpc.aio.AioRpcError as error:
            raise Broken(error.code(), error.details()) from error
    raise Broken("the stream ended")


async def over_ndjson(subscription: Subscription) -> AsyncIterator[Response]:
    async with contextlib.aclosing(_lines(subscription, "application/x-ndjson")) as lines:
        async for line in lines:
            yield _parsed(json.loads(line))


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
                yield _parsed(json.loads(value))


async def over_websocket(subscription: Subscription) -> AsyncIterator[Response]:
    try:
        async with websockets.connect(f"ws://{subscription.address}/v1/ws", subprotocols=["json"]) as socket:
            await socket.send(json.dumps({"auth": subscription.token}))
            start = {"id": "1", "method": "MarketDataService.StreamTicks", "request": subscription.request()}
            await socket.send(json.dumps(start))
            async for text in socket:
                event = json.loads(text)
                if "message" in event:
                    yield _parsed(event["message"])
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
        url = f"http://{subscription.address}/v1/ticks:stream"
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


def _parsed(message: dict[str, Any]) -> Response:
    if "error" in message:
        raise Broken(message["error"])
    return json_format.ParseDict(message, Response())


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
            async with asyncio.timeout(PATIENCE):
                while not condition():
                    if self._task.done():
                        self._task.result()
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise AssertionError(f"{self.event_count} events, {len(self.history)} connections, {self.breaks}") from None

    async def _run(self) -> None:
        while True:
            token = self._last_token()
            connection = Connection(token)
            self.history.append(connection)
            subscription = Subscription(
                self._subscription.address, self._subscription.token, self._subscription.instruments, token
            )
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

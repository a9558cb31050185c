"""One open WebSocket: its commands, its calls, its limits."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NoReturn

import grpc
from starlette.types import Receive, Scope, Send

from gateway.connections import connection_of
from gateway.exchange import Exchange, exchange_of
from gateway.relay import Left, Relay, draining
from gateway.socket_protocols import Authenticate, BadCommand, CallId, Cancel, SocketProtocol, Start
from gateway.transcoder.endpoint import Endpoint, StreamEndpoint, UnaryEndpoint
from gateway.transcoder.problem import BadRequest, Problem
from gateway.upstream import Metadata, metadata_of

if TYPE_CHECKING:
    from gateway.sockets import SocketServices

CLOSE_BASE = 4000
"""Close codes of ours are this plus the gRPC code."""


class Gone(Exception):
    """The client closed the socket, or was too slow and was cut off."""


class MessageBudget:
    """A token bucket: so many messages a second, and as many at once."""

    def __init__(self, per_second: int) -> None:
        self._rate = per_second
        self._tokens = float(per_second)
        self._at = time.monotonic()

    def take(self) -> bool:
        """Whether one more message is allowed now."""
        now = time.monotonic()
        self._tokens = min(float(self._rate), self._tokens + (now - self._at) * self._rate)
        self._at = now
        self._tokens -= 1.0
        return self._tokens >= 0.0


class SocketConnection:
    """Serves one client until either side ends it."""

    def __init__(
        self, services: SocketServices, protocol: SocketProtocol, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self._services = services
        self._protocol = protocol
        self._exchange = exchange_of(scope)
        self._abort = connection_of(scope).abort
        self._receive = receive
        self._send = send
        self._credential: Metadata = ()
        self._calls: dict[CallId, SocketCall] = {}
        self._started = 0
        self._drained = asyncio.Event()
        self._budget = MessageBudget(services.settings.messages_per_second)

    async def run(self, credential: Metadata) -> None:
        """Serves. `credential`: empty when the first message shall bring one."""
        self._credential = credential
        try:
            with self._services.open_streams.opened(self._drained.set):
                async with asyncio.TaskGroup() as group:
                    await self._serve(group)
        except* Gone:
            pass

    async def _serve(self, group: asyncio.TaskGroup) -> None:
        reader = asyncio.create_task(self._read(group))
        drained = asyncio.create_task(self._drained.wait())
        try:
            await asyncio.wait({reader, drained}, return_when=asyncio.FIRST_COMPLETED)
            if reader.done():
                reader.result()
            else:
                await self._drain()
        except Problem as problem:
            await self._close(problem)
        except grpc.aio.AioRpcError as error:
            await self._close(error)
        finally:
            for task in (reader, drained):
                task.cancel()
            await asyncio.gather(reader, drained, return_exceptions=True)

    async def _read(self, group: asyncio.TaskGroup) -> None:
        """Obeys commands until the client leaves. Raises what the socket is to be closed for."""
        if not self._credential:
            await self._first_message()
        while True:
            try:
                command = self._protocol.command(await self._next())
                if isinstance(command, Authenticate):
                    await self._authenticate(command.token)
                elif isinstance(command, Cancel):
                    self._cancel(command)
                else:
                    self._call(group, command)
            except BadCommand as error:
                await self._refuse(error)

    async def _refuse(self, error: BadCommand) -> None:
        """Explains a command that is not obeyed. Under the id of a call that goes on, this would look like its end."""
        failure = self._services.failures.of_problem(error.problem, self._exchange.correlation_id)
        await self.send(self._protocol.failed(None if error.id in self._calls else error.id, failure))

    async def _first_message(self) -> None:
        """Nothing but a token is accepted from a client that has not shown one."""
        missing = Problem("CREDENTIAL_MISSING", 'the first message must be {"auth":TOKEN}')
        try:
            async with asyncio.timeout(self._services.settings.authentication_timeout):
                command = self._protocol.command(await self._next())
        except (TimeoutError, BadCommand) as error:
            raise missing from error
        if not isinstance(command, Authenticate):
            raise missing
        await self._authenticate(command.token)

    async def _next(self) -> Mapping[str, object]:
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            raise Gone
        if not self._budget.take():
            limit = str(self._services.settings.messages_per_second)
            raise Problem("MESSAGE_RATE_EXCEEDED", f"more than {limit} messages a second", metadata={"limit": limit})
        return message

    async def _authenticate(self, token: str) -> None:
        credential: Metadata = (("authorization", f"Bearer {token}"),)
        self._credential = await self._services.credentials.check(self._exchange, credential)
        await self.send(self._protocol.authenticated())

    def _cancel(self, command: Cancel) -> None:
        call = self._calls.get(command.id)
        if call is None:
            raise BadCommand(command.id, BadRequest.of("id", "names no call that is under way"))
        call.leave()

    def _call(self, group: asyncio.TaskGroup, command: Start) -> None:
        endpoint = self._services.endpoints.get(command.method)
        if endpoint is None:
            raise BadCommand(command.id, BadRequest.of("method", f"{command.method!r} is not a method"))
        if command.id in self._calls:
            raise BadCommand(command.id, BadRequest.of("id", f"{command.id!r} is in use by a call that is under way"))
        limit = self._services.settings.subscriptions_per_socket
        if len(self._calls) >= limit:
            raise BadCommand(command.id, _too_many(limit))
        self._started += 1
        exchange = Exchange(
            f"{self._exchange.correlation_id[:56]}.{self._started}", self._exchange.headers, self._exchange.client
        )
        call = SocketCall(self, self._services, self._protocol, endpoint, command, exchange)
        self._calls[command.id] = call
        group.create_task(self._run_call(call, command.id))

    async def _run_call(self, call: SocketCall, call_id: CallId) -> None:
        try:
            await call.run(self._credential)
        finally:
            self._calls.pop(call_id, None)

    async def send(self, message: dict[str, object]) -> None:
        """Sends one message within its time. Raises Gone."""
        try:
            async with asyncio.timeout(self._services.settings.send_timeout):
                await self._send(message)
        except TimeoutError as error:
            self._abort()
            self._exchange.code, self._exchange.reason = "RESOURCE_EXHAUSTED", "SLOW_CONSUMER"
            raise Gone from error
        except OSError as error:
            raise Gone from error
        self._exchange.messages += 1

    async def _drain(self) -> None:
        """Every call ends with its own error, then the socket."""
        calls = list(self._calls.values())
        for call in calls:
            call.drain()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._services.settings.drain_grace / 2):
                await asyncio.gather(*(call.ended.wait() for call in calls))
        await self._close(draining())

    async def _close(self, error: Problem | grpc.aio.AioRpcError) -> NoReturn:
        """Says why, closes, and ends all calls by raising Gone."""
        failure = self._services.failures.of_error(error, self._exchange)
        self._exchange.code, self._exchange.reason = failure.code.name, failure.reason
        close = {"type": "websocket.close", "code": CLOSE_BASE + failure.status.code, "reason": failure.reason}
        await self.send(self._protocol.failed(None, failure))
        await self.send(close)
        raise Gone


def _too_many(limit: int) -> Problem:
    text = f"a socket carries at most {limit} calls at once"
    return Problem("STREAM_LIMIT_EXCEEDED", text, metadata={"of": "socket", "limit": str(limit)})


class SocketCall:
    """One call on a socket, unary or streaming."""

    def __init__(
        self, connection: SocketConnection, services: SocketServices, protocol: SocketProtocol, endpoint: Endpoint,
        command: Start, exchange: Exchange,
    ) -> None:  # fmt: skip
        self._connection = connection
        self._services = services
        self._protocol = protocol
        self._endpoint = endpoint
        self._command = command
        self._exchange = exchange
        self._relay: Relay | None = None
        self._how: Callable[[Relay], None] | None = None
        self.ended = asyncio.Event()
        exchange.rpc, exchange.method = endpoint.name, endpoint.route.method.path[1:]

    def leave(self) -> None:
        """The client cancels. A unary call runs on: it is short."""
        self._end(Relay.leave)

    def drain(self) -> None:
        """The gateway goes down."""
        self._end(Relay.drain)

    def _end(self, how: Callable[[Relay], None]) -> None:
        self._how = how
        if self._relay is not None:
            how(self._relay)

    async def run(self, credential: Metadata) -> None:
        """Calls, and sends the client everything up to the end or the error. Raises Gone."""
        started = time.perf_counter()
        status = 200
        try:
            await self._connection.send(await self._outcome(metadata_of(self._exchange, credential)))
        except (grpc.aio.AioRpcError, Problem) as error:
            failure = self._services.failures.of_error(error, self._exchange)
            self._exchange.code, self._exchange.reason = failure.code.name, failure.reason
            status = failure.http_status
            await self._connection.send(self._protocol.failed(self._command.id, failure))
        finally:
            self.ended.set()
            seconds = time.perf_counter() - started
            self._services.telemetry.ended(self._exchange, "CALL", "/v1/ws", status, seconds)

    async def _outcome(self, metadata: Metadata) -> dict[str, object]:
        wire = self._request()
        try:
            if isinstance(self._endpoint, StreamEndpoint):
                await self._stream(self._endpoint, wire, metadata)
            elif isinstance(self._endpoint, UnaryEndpoint):
                timeout = self._exchange.timeout = self._endpoint.route.method.policy.deadline
                await self._pass_on(await self._endpoint.call(wire, metadata=metadata, timeout=timeout))
        except Left:
            self._exchange.code = "CANCELLED"
        return self._protocol.ended(self._command.id, self._exchange.code)

    def _request(self) -> bytes:
        request = self._command.request
        if isinstance(request, bytes):
            return request
        return self._endpoint.wire_of(request)

    async def _stream(self, endpoint: StreamEndpoint, wire: bytes, metadata: Metadata) -> None:
        self._relay = Relay(endpoint.call(wire, metadata=metadata))
        if self._how is not None:
            self._how(self._relay)
        try:
            while (message := await self._relay.read()) is not None:
                await self._pass_on(message)
        finally:
            self._relay.close()

    async def _pass_on(self, wire: bytes) -> None:
        await self._connection.send(self._protocol.message(self._command.id, wire, self._endpoint))
        self._exchange.messages += 1

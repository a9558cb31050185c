"""Uvicorn's protocols: the application can abort a connection, hears of clients that leave, and answers at once.

A client that stopped reading keeps a closed connection open for as long as it likes, since closing waits for the buffer
to drain. Aborting frees it at once.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import cast

from starlette.types import Scope
from uvicorn._types import ASGI3Application, ASGISendEvent
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

_KEY = "strikeline.connection"


class Connection:
    """What a request may know of the connection it came by; under another server nothing happens to that."""

    def __init__(self, transport: asyncio.Transport | None = None) -> None:
        self._transport = transport
        self._act: Callable[[], object] | None = None
        self.left = False
        """The client has gone."""

    def abort(self) -> None:
        """Drops what waits here and in the kernel, and tells the peer by a reset."""
        if self._transport is not None:
            no_linger = struct.pack("ii", 1, 0)
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_linger)
            self._transport.abort()

    def when_left(self, act: Callable[[], object]) -> None:
        """Calls `act` once the client leaves; the one that was named before is forgotten."""
        self._act = act
        if self.left:
            act()

    def leave(self) -> None:
        """The client is gone."""
        self.left = True
        if self._act is not None:
            self._act()


def connection_of(scope: Scope) -> Connection:
    """The connection of a request or a socket."""
    return cast("Connection", scope.get(_KEY) or Connection())


class HttpProtocol(HttpToolsProtocol):
    """HTTP/1.1."""

    _answering: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Small writes leave at once; otherwise a response whose headers and body are two writes takes 40 ms."""
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().connection_made(transport)

    def on_message_begin(self) -> None:
        """Every request tells of the connection for itself."""
        super().on_message_begin()
        cast("Scope", self.scope)[_KEY] = Connection(self.transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tells the request that is being answered."""
        super().connection_lost(exc)
        if self._answering is not None and not self._answering.response_complete:
            connection_of(cast("Scope", self._answering.scope)).leave()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answering = cycle
        cycle.transport = cast("asyncio.Transport", WholeAnswer(self.transport, self.loop))
        super()._start_asgi_task(cycle, app)


class WholeAnswer:
    """A transport that sends the head of an answer with the body that follows at once.

    Uvloop makes a system call of each write, and the client wakes up for each: a tenth of a small answer's cost.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head: bytes | None = None
        self._waiting = True

    def write(self, data: bytes) -> None:
        """The first write of an answer is its head; it waits for the body until the task that answers gives way."""
        if self._waiting:
            self._head, self._waiting = data, False
            self._loop.call_soon(self._flush)
        elif self._head is None:
            self._transport.write(data)
        else:
            head, self._head = self._head, None
            self._transport.write(head + data)

    def close(self) -> None:
        """Closes the connection when everything is sent."""
        self._flush()
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether the connection is closing."""
        return self._transport.is_closing()

    def _flush(self) -> None:
        if self._head is not None:
            head, self._head = self._head, None
            self._transport.write(head)


class SocketProtocol(WebSocketsSansIOProtocol):
    """WebSocket."""

    def handle_connect(self, event: Request) -> None:
        """The application starts after this returns, so it finds the connection."""
        super().handle_connect(event)
        if self.response.status_code == 101:
            cast("Scope", self.scope)[_KEY] = Connection(self.transport)

    async def send(self, message: ASGISendEvent) -> None:
        """A refused handshake is complete too; without this uvicorn logs an error for each."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True

"""Uvicorn's protocols, which let the application abort a connection and send an answer by one system call.

A client that stopped reading keeps a closed connection open for as long as it likes, since closing waits for the buffer
to drain. Aborting frees it at once.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from functools import partial
from typing import cast

from starlette.types import Scope
from uvicorn._types import ASGI3Application, ASGISendEvent
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

_KEY = "strikeline.abort"


class HttpProtocol(HttpToolsProtocol):
    """HTTP/1.1."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Small writes leave at once; otherwise a response whose headers and body are two writes takes 40 ms."""
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().connection_made(transport)

    def on_message_begin(self) -> None:
        """Every request of the connection gets the function."""
        super().on_message_begin()
        cast("Scope", self.scope)[_KEY] = partial(_abort, self.transport)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
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
        """The application starts after this returns, so it finds the function."""
        super().handle_connect(event)
        if self.response.status_code == 101:
            cast("Scope", self.scope)[_KEY] = partial(_abort, self.transport)

    async def send(self, message: ASGISendEvent) -> None:
        """A refused handshake is complete too; without this uvicorn logs an error for each."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True


def aborter(scope: Scope) -> Callable[[], None]:
    """What aborts the connection of a request; does nothing under another server."""
    return cast("Callable[[], None]", scope.get(_KEY, _nothing))


def _abort(transport: asyncio.Transport) -> None:
    """Drops what waits here and in the kernel, and tells the peer by a reset."""
    no_linger = struct.pack("ii", 1, 0)
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_linger)
    transport.abort()


def _nothing() -> None:
    return

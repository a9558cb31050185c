"""Uvicorn's protocols, which let the application abort a connection.

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
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
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

"""Runs the application under uvicorn, and shuts it down in order."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import uvicorn

from gateway.connections import HttpProtocol, SocketProtocol
from gateway.edge import SECURITY_HEADERS
from gateway.open_streams import OpenStreams
from gateway.settings import GatewaySettings

if TYPE_CHECKING:
    from fastapi import FastAPI


class Server(uvicorn.Server):
    """On shutdown it first ends the streams, whose clients resume elsewhere, then waits for the other requests."""

    def __init__(self, config: uvicorn.Config, open_streams: OpenStreams, grace: float) -> None:
        """`grace`: seconds that open streams have to end properly."""
        super().__init__(config)
        self._open_streams = open_streams
        self._grace = grace

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Called by uvicorn after a signal."""
        await self._open_streams.drain(self._grace)
        await super().shutdown(sockets)


def make_server(app: FastAPI, settings: GatewaySettings, open_streams: OpenStreams) -> Server:
    """The server, not yet listening."""
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="none",
        http=HttpProtocol,
        ws=SocketProtocol,
        ws_max_size=settings.message_limit,
        ws_ping_interval=settings.ping_interval,
        ws_ping_timeout=settings.ping_interval,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        headers=list(SECURITY_HEADERS),
        limit_concurrency=settings.connection_limit,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=max(1, round(settings.drain_grace)),
    )
    return Server(config, open_streams, settings.drain_grace)

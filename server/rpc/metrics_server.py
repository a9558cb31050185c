"""`/metrics` on the loopback address: not for the outside, and not on the port that serves clients."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

LOOPBACK = "127.0.0.1"
READ_TIMEOUT = 5.0
MAX_HEADER = 8192


@contextlib.asynccontextmanager
async def metrics_server(registry: CollectorRegistry, port: int) -> AsyncIterator[int]:
    """Serves the registry while the block runs. -> the port, which the system picks for 0."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(READ_TIMEOUT):
                writer.write(_response(await _request_line(reader), registry))
                await writer.drain()
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            writer.transport.abort()
        finally:
            writer.close()

    server = await asyncio.start_server(answer, LOOPBACK, port, limit=MAX_HEADER, family=socket.AF_INET)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def _request_line(reader: asyncio.StreamReader) -> list[str]:
    head = await reader.readuntil(b"\r\n\r\n")
    return head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")


def _response(request: list[str], registry: CollectorRegistry) -> bytes:
    if len(request) != 3 or request[0] not in {"GET", "HEAD"}:
        return _http("405 Method Not Allowed", "text/plain", b"")
    if request[1].split("?", 1)[0] != "/metrics":
        return _http("404 Not Found", "text/plain", b"")
    return _http("200 OK", CONTENT_TYPE_LATEST, generate_latest(registry))


def _http(status: str, content_type: str, body: bytes) -> bytes:
    lines = (f"HTTP/1.1 {status}", f"Content-Type: {content_type}", f"Content-Length: {len(body)}", "Connection: close")
    return "\r\n".join((*lines, "", "")).encode() + body

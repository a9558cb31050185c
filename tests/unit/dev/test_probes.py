"""Probes tell a serving process from one that only exists."""

import asyncio
import contextlib
import socket

import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from server.dev.probes import answers_http, listens, serves_grpc


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def http_server(status: str) -> asyncio.Server:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):  # a caller that only connects
            await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()

    return await asyncio.start_server(answer, "127.0.0.1", 0)


async def test_http():
    for status, ready in (("200 OK", True), ("404 Not Found", True), ("503 Service Unavailable", False)):
        async with await http_server(status) as server:
            port = server.sockets[0].getsockname()[1]
            assert await answers_http(f"http://127.0.0.1:{port}/")() is ready
    assert not await answers_http(f"http://127.0.0.1:{closed_port()}/")()


async def test_listening():
    async with await http_server("200 OK") as server:
        assert await listens(server.sockets[0].getsockname()[1])()
    assert not await listens(closed_port())()


async def test_grpc_health():
    servicer = health.aio.HealthServicer()
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    await servicer.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    assert not await serves_grpc(port)()
    await servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    assert await serves_grpc(port)()
    await server.stop(None)
    assert not await serves_grpc(port)()

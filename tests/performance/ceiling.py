"""A bare grpc.aio server that sends one ready frame to every stream as fast as it is taken: the bound of any fan-out.

`python -m tests.performance.ceiling PORT BYTES` sends frames of that many bytes.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator

import grpc
import uvloop

from tests.performance.load import raw

ROUTE = "/hello.Hello/Stream"


async def serve(port: int, size: int) -> None:
    """Serves until it is killed."""
    frame = b"\x2a" * size

    async def stream(_: bytes, __: grpc.aio.ServicerContext[bytes, bytes]) -> AsyncIterator[bytes]:
        while True:
            yield frame

    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    handler = grpc.unary_stream_rpc_method_handler(stream, request_deserializer=raw, response_serializer=raw)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("hello.Hello", {"Stream": handler}),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2])))

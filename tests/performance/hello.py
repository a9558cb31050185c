"""A bare grpc.aio server on uvloop: the most that a call could reach. `python -m tests.performance.hello PORT`."""

from __future__ import annotations

import asyncio
import sys

import grpc
import uvloop

from tests.performance.load import raw

ROUTE = "/hello.Hello/Say"


async def _say(request: bytes, _: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
    return request


async def serve(port: int) -> None:
    """Serves until it is killed."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    handler = grpc.unary_unary_rpc_method_handler(_say, request_deserializer=raw, response_serializer=raw)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("hello.Hello", {"Say": handler}),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(serve(int(sys.argv[1])))

"""The grpc.aio server: options, generic handlers, listening and draining."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1._async import HealthServicer

from server.rpc.unknown import UnknownMethods

MAX_REQUEST_BYTES = 10 * 1024 * 1024
MAX_RESPONSE_BYTES = 64 * 1024 * 1024

OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.so_reuseport", 0),  # a taken port is an error, not a second server that gets half of the connections
    ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
    ("grpc.max_send_message_length", MAX_RESPONSE_BYTES),
    ("grpc.max_metadata_size", 32 * 1024),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.max_ping_strikes", 5),
)


class Handlers(grpc.GenericRpcHandler):
    """All methods of a server in one table, found in one step."""

    def __init__(self, methods: Mapping[str, grpc.RpcMethodHandler[bytes, bytes]]) -> None:
        self._methods = methods

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        """The handler of a method; None makes gRPC ask the next of its handlers."""
        return self._methods.get(handler_call_details.method)


@contextlib.asynccontextmanager
async def serve(
    address: str, handlers: Handlers, health: HealthServicer, *, reflected: Sequence[str] = ()
) -> AsyncIterator[tuple[grpc.aio.Server, int]]:
    """Listens while the block runs. -> the server and its port, which the system picks for 0.

    Raises OSError that names the address when it is taken. Reflection is served when services are given.
    """
    server = grpc.aio.server(options=OPTIONS)
    server.add_generic_rpc_handlers((handlers,))
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    if reflected:
        from grpc_reflection.v1alpha import reflection

        reflection.enable_server_reflection((*reflected, reflection.SERVICE_NAME), server)
    server.add_generic_rpc_handlers((UnknownMethods(),))
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise OSError(f"cannot listen on {address}: is it taken?") from error
    await server.start()
    try:
        yield server, port
    finally:
        await server.stop(0)

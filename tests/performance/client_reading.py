"""How many ticks a second the typed client turns into objects, the server in another process."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator

import grpc
import uvloop

from generated.clients.strikeline.v1 import StreamTicksRequest
from server.client import connect
from strikeline.v1 import market_data_service_pb2
from tests.performance.load import raw
from tests.performance.processes import bare
from tests.performance.report import Figure, alternate, show

TICKS_A_FRAME = 100
FLOOR = 150_000


async def run(rounds: int, seconds: float) -> None:
    """Prints the rate."""
    async with bare("client_reading") as target:

        async def read() -> float:
            ticks, began = 0, time.perf_counter()
            async with connect(target) as client:
                async for envelope in client.market_data.stream_ticks(StreamTicksRequest(instruments=["NSE:BENCH"])):
                    ticks += len(envelope.batch.ticks) if envelope.batch else 0
                    if time.perf_counter() - began > seconds:
                        break
            return ticks / (time.perf_counter() - began)

        (rate,) = await alternate(rounds, read)
    show(f"Typed client, {TICKS_A_FRAME} ticks a message", [Figure("read", rate, "ticks/s", floor=FLOOR)])


def frame() -> bytes:
    """A batch of ticks with every field."""
    envelope = market_data_service_pb2.StreamTicksResponse(sequence=1, resume_token="t" * 80)
    for number in range(TICKS_A_FRAME):
        tick = envelope.batch.ticks.add(
            instrument="NFO:NIFTY25NOV24500CE",
            last_price=100 + number / 20,
            last_quantity=75,
            volume=1_000 + number,
            open_interest=500_000,
            bid_price=100.0,
            bid_quantity=75,
            ask_price=100.1,
            ask_quantity=150,
        )
        tick.event_time.FromNanoseconds(1_764_000_000_000_000_000 + number)
    return envelope.SerializeToString()


async def serve(port: int) -> None:
    """Serves one frame again and again until it is killed."""
    data = frame()

    async def stream(_: bytes, __: grpc.aio.ServicerContext[bytes, bytes]) -> AsyncIterator[bytes]:
        while True:
            yield data

    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    handler = grpc.unary_stream_rpc_method_handler(stream, request_deserializer=raw, response_serializer=raw)
    handlers = {"StreamTicks": handler}
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("strikeline.v1.MarketDataService", handlers),)
    )
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(serve(int(sys.argv[1])))

"""What a client that does not read costs the api: its memory, with one healthy client beside it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc

from tests.performance.delivery import INSTRUMENTS, OFFERED, TICKS, subscription
from tests.performance.load import raw
from tests.performance.market import feeder, list_instruments
from tests.performance.processes import api, bench
from tests.performance.report import Figure, show

FEW, MANY = 20, 60
"""Stalled clients of the two measurements: their difference leaves out what the first one costs once, whoever comes."""


async def run(_: int, seconds: float) -> None:
    """Prints the growth of the api's resident memory for each further stalled subscriber of everything."""
    async with bench() as setting:
        listed = await list_instruments(setting.database.worker_url, INSTRUMENTS)
        request = subscription([item.key for item in listed], 100)
        async with (
            api(setting) as served,
            feeder(setting, listed, OFFERED, 20, seconds * 4 + 30),
            # A client's own window is part of the network, not of the server: keep it small.
            grpc.aio.insecure_channel(served.target, [("grpc.http2.bdp_probe", 0)]) as channel,
        ):
            stream = channel.unary_stream(TICKS, request_serializer=raw, response_deserializer=raw)
            healthy = asyncio.create_task(_read(stream(request, metadata=setting.bearer())))
            await asyncio.sleep(seconds)
            memory, stalled = [_resident(served.pid)], []
            for count in (FEW, MANY - FEW):
                calls = [stream(request, metadata=setting.bearer()) for _ in range(count)]
                await asyncio.gather(*(call.read() for call in calls))
                stalled += calls
                await asyncio.sleep(seconds)
                memory.append(_resident(served.pid))
            for call in stalled:
                call.cancel()
            healthy.cancel()
    before, few, many = memory
    show(
        f"Clients that stop reading everything at {OFFERED:,} ticks/s, {seconds:.0f} s",
        [
            Figure(f"the first {FEW}, together", (few - before) / 1e6, "MB"),
            Figure("each further one", (many - few) / (MANY - FEW) / 1e6, "MB", floor=1.0, lower_is_better=True),
        ],
    )


async def _read(call: grpc.aio.UnaryStreamCall[bytes, bytes]) -> None:
    async for _ in call:
        pass


def _resident(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"process {pid} is gone")

"""Load generators: raw bytes in, raw bytes out, so that the client costs as little as a Python client can."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import grpc


def raw(value: bytes) -> bytes:
    """The identity serialiser."""
    return value


async def unary_rate(
    target: str, route: str, request: bytes, metadata: Sequence[tuple[str, str]], tasks: int, seconds: float
) -> float:
    """Calls a second with `tasks` callers on one connection."""
    async with grpc.aio.insecure_channel(target) as channel:
        call = channel.unary_unary(route, request_serializer=raw, response_deserializer=raw)
        await call(request, metadata=metadata, timeout=5, wait_for_ready=True)
        done = 0
        end = time.perf_counter() + seconds

        async def caller() -> None:
            nonlocal done
            while time.perf_counter() < end:
                await call(request, metadata=metadata, timeout=5)
                done += 1

        began = time.perf_counter()
        async with asyncio.timeout(seconds + 30):
            await asyncio.gather(*(caller() for _ in range(tasks)))
        return done / (time.perf_counter() - began)

"""Load generators: raw bytes in, raw bytes out, so that the client costs as little as a Python client can."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

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


@dataclass
class Received:
    """What all streams of one client got between two moments."""

    frames: int = 0
    size: int = 0
    seconds: float = 0.0
    samples: list[bytes] = field(default_factory=list)
    """Every hundredth frame, to be decoded afterwards."""
    ages: list[float] = field(default_factory=list)
    """Seconds from event to arrival, where `age` was given."""


async def receive(
    target: str,
    route: str,
    requests: Sequence[bytes],
    metadata: Sequence[tuple[str, str]],
    warm_up: float,
    seconds: float,
    age: Callable[[bytes], float | None] | None = None,
) -> Received:
    """Opens one stream a request on one connection and counts what arrives in `seconds` after `warm_up`."""
    result = Received()
    counting = False

    async def read(channel: grpc.aio.Channel, request: bytes) -> None:
        call = channel.unary_stream(route, request_serializer=raw, response_deserializer=raw)(
            request, metadata=metadata
        )
        async for frame in call:
            if not counting:
                continue
            result.frames += 1
            result.size += len(frame)
            if result.frames % 100 == 0:
                result.samples.append(frame)
            if age is not None and (value := age(frame)) is not None:
                result.ages.append(value)

    options = [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(target, options) as channel:
        readers = [asyncio.create_task(read(channel, request)) for request in requests]
        try:
            await asyncio.sleep(warm_up)
            broken = [reader for reader in readers if reader.done()]
            if broken:
                await broken[0]
            counting = True
            began = time.perf_counter()
            await asyncio.sleep(seconds)
            counting = False
            result.seconds = time.perf_counter() - began
        finally:
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)
    return result


async def http_rate(
    address: str, paths: Sequence[str], headers: Sequence[tuple[str, str]], connections: int, seconds: float
) -> float:
    """GET requests a second of these paths in turn over keep-alive connections.

    Raises RuntimeError for any answer but 200.
    """
    host, port = address.split(":")
    after = [f"host: {address}", *(f"{name}: {value}" for name, value in headers), "", ""]
    requests = itertools.cycle(["\r\n".join([f"GET {path} HTTP/1.1", *after]).encode() for path in paths])
    done = 0
    end = time.perf_counter() + seconds

    async def caller() -> None:
        nonlocal done
        reader, writer = await asyncio.open_connection(host, int(port), limit=2**20)
        try:
            while time.perf_counter() < end:
                writer.write(next(requests))
                await _read_answer(reader)
                done += 1
        finally:
            writer.close()

    began = time.perf_counter()
    async with asyncio.timeout(seconds + 30):
        await asyncio.gather(*(caller() for _ in range(connections)))
    return done / (time.perf_counter() - began)


async def _read_answer(reader: asyncio.StreamReader) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if not head.startswith(b"http/1.1 200"):
        raise RuntimeError(f"answered {head!r}")
    start = head.find(b"content-length: ")
    if start >= 0:
        await reader.readexactly(int(head[start + 16 : head.index(b"\r\n", start)]))
        return
    while size := int(await reader.readuntil(b"\r\n"), 16):
        await reader.readexactly(size + 2)
    await reader.readexactly(2)

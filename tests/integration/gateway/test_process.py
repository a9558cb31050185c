"""`python -m gateway` as a process, and what it does when the api comes and goes."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import httpx
import pytest

from tests.fixtures.everything import EchoServicer, Everything, compile_everything, handlers
from tests.support.gateway import blueprint_of, running_gateway
from tests.support.system import free_ports
from tests.support.waiting import eventually


async def start(**settings: str) -> asyncio.subprocess.Process:
    environment = {**os.environ, **{f"STRIKELINE_{name.upper()}": value for name, value in settings.items()}}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", env=environment, stderr=asyncio.subprocess.PIPE
    )


async def end(process: asyncio.subprocess.Process) -> tuple[int, str]:
    """Exit status and what it wrote."""
    async with asyncio.timeout(30):
        _, errors = await process.communicate()
    return process.returncode or 0, errors.decode()


async def test_it_serves_until_a_signal_and_logs_each_request() -> None:
    port, metrics_port = free_ports(2)
    process = await start(gateway_address=f"127.0.0.1:{port}", metrics_port=str(metrics_port))
    async with httpx.AsyncClient() as http:

        async def answers() -> bool:
            try:
                return (await http.get(f"http://127.0.0.1:{port}/healthz?secret=1")).status_code == 200
            except httpx.TransportError:
                return False

        await eventually(answers)
        metrics = await http.get(f"http://127.0.0.1:{metrics_port}/metrics")
    process.send_signal(signal.SIGTERM)
    status, written = await end(process)

    names = ("strikeline_gateway_requests_total", "strikeline_loop_lag_seconds_count", "process_resident_memory_bytes")
    for name in names:
        assert name in metrics.text
    lines = [json.loads(line) for line in written.splitlines()]
    assert [line["path"] for line in lines if line["logger"] == "strikeline.gateway"] == ["/healthz"]
    assert "secret" not in written
    assert status in (0, -signal.SIGTERM)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("allowed_origins", "http://localhost:3000"), ("body_limit", "0"), ("send_timeout", "soon")],
)
async def test_a_wrong_setting_is_named(setting: str, value: str) -> None:
    status, written = await end(await start(**{setting: value}))

    assert status == 2
    assert f"STRIKELINE_{setting.upper()}" in written


async def test_a_taken_port_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        status, written = await end(await start(gateway_address=f"127.0.0.1:{port}"))

    assert status == 1
    assert str(port) in written


@asynccontextmanager
async def echo_server(port: int, everything: Everything) -> AsyncIterator[None]:
    """The everything server on a port of the test's choice."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((handlers(everything, EchoServicer(everything)),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield
    finally:
        await server.stop(grace=None)


async def test_calls_succeed_soon_after_the_api_is_back() -> None:
    everything = compile_everything()
    (port,) = free_ports(1)
    loop = asyncio.get_running_loop()
    async with (
        running_gateway(f"127.0.0.1:{port}", blueprint_of(everything)) as gateway,
        httpx.AsyncClient(base_url=gateway.http) as http,
    ):
        async with echo_server(port, everything):
            before = await http.get("/v1/segments/a")
        away = await http.get("/v1/segments/a")

        async def answers() -> bool:
            return (await http.get("/v1/segments/a")).status_code == 200

        async with echo_server(port, everything):
            started = loop.time()
            await eventually(answers)
            seconds = loop.time() - started

    assert (before.status_code, away.status_code) == (200, 503)
    assert seconds < 5

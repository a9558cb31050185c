"""A gateway in this process, on a free port, in front of whatever gRPC server a test runs."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass

from gateway.app import Blueprint, create_app
from gateway.open_streams import OpenStreams
from gateway.serve import Server, make_server
from gateway.settings import GatewaySettings
from gateway.upstream import connect
from server.contract.errors import load_catalogue
from server.contract.methods import load_contract
from tests.fixtures.everything import Everything
from tests.support.waiting import eventually

SECURITY = {
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "x-xss-protection": "1; mode=block",
    "referrer-policy": "strict-origin-when-cross-origin",
    "permissions-policy": "geolocation=(), microphone=(), camera=()",
}
"""Headers that every answer has once, and their values."""


@dataclass(frozen=True)
class RunningGateway:
    """A gateway that serves."""

    address: str
    server: Server
    open_streams: OpenStreams

    @property
    def http(self) -> str:
        """Base address of HTTP."""
        return f"http://{self.address}"

    @property
    def socket(self) -> str:
        """Address of the WebSocket."""
        return f"ws://{self.address}/v1/ws"

    def stop(self) -> None:
        """Begins the shutdown, as a signal would."""
        self.server.should_exit = True


def blueprint_of(everything: Everything) -> Blueprint:
    """What a gateway needs to know to serve the everything contract."""
    files = [everything.pool.FindFileByName("everything/v1/everything.proto")]
    return Blueprint(load_contract(files), load_catalogue(), everything.descriptors, everything.descriptors)


@functools.cache
def own_blueprint() -> Blueprint:
    """Strikeline's contract, read once for all tests."""
    return Blueprint.read()


@contextlib.asynccontextmanager
async def running_gateway(
    upstream: str, blueprint: Blueprint | None = None, settings: GatewaySettings | None = None
) -> AsyncIterator[RunningGateway]:
    """Runs a gateway while the block runs. Without a blueprint it serves Strikeline's own contract."""
    blueprint = blueprint or own_blueprint()
    settings = settings or GatewaySettings(environment="development")
    open_streams = OpenStreams()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        async with connect(upstream, blueprint.contract, settings.body_limit) as channel:
            app = create_app(settings, channel, open_streams, blueprint, None)
            server = make_server(app, settings, open_streams)
            task = asyncio.create_task(server.serve([listener]))
            await eventually(lambda: server.started, beside=task)
            try:
                yield RunningGateway(f"127.0.0.1:{listener.getsockname()[1]}", server, open_streams)
            finally:
                server.should_exit = True
                await task

"""Fixtures of the suite, over pytest-grpc's: its `grpc_channel` leads to the system under test.

Import them into the module or conftest that uses them; they override pytest-grpc's fixtures of the same name there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import grpc
import httpx
import pytest

from server.contract.methods import Contract
from server.contract.testing.grpc_calls import GrpcCaller
from server.contract.testing.http_calls import HttpCaller
from server.contract.testing.system import System
from server.contract.testing.world import World

Callers = Mapping[str, GrpcCaller | HttpCaller]


@pytest.fixture(scope="module")
def grpc_addr(strikeline_system: System) -> str:
    """Where pytest-grpc's channels lead."""
    return strikeline_system.grpc_address


@pytest.fixture(scope="module")
def grpc_server(strikeline_system: System) -> System:
    """The system runs already: there is nothing to start."""
    return strikeline_system


@pytest.fixture(scope="module")
def grpc_caller(grpc_channel: grpc.Channel) -> Iterator[GrpcCaller]:
    """Calls over gRPC."""
    caller = GrpcCaller(grpc_channel)
    yield caller
    caller.close()


@pytest.fixture(scope="module")
def http_client(strikeline_system: System) -> Iterator[httpx.Client]:
    """Requests to the gateway, by path."""
    with httpx.Client(base_url=strikeline_system.http_url) as client:
        yield client


@pytest.fixture(scope="module")
def callers(grpc_caller: GrpcCaller, http_client: httpx.Client) -> Callers:
    """Both ways to call, by the name of the transport."""
    return {"grpc": grpc_caller, "http": HttpCaller(http_client)}


@pytest.fixture(scope="module")
def world(strikeline_contract: Contract, grpc_caller: GrpcCaller, strikeline_system: System) -> World:
    """Users, accounts, strategies and instruments to name in requests."""
    return World(strikeline_contract, grpc_caller, strikeline_system.signer).prepare()


@pytest.fixture(scope="module")
def scratch(world: World) -> World:
    """The same, with a strategy and a leg that tests may spoil."""
    return world.scratch()

"""Reflection and health, which any gRPC tool expects, and pytest-grpc's stubs, which client teams' tests expect."""

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from server.contract.methods import Contract, load_contract
from server.contract.testing.fixtures import *  # noqa: F403
from server.contract.testing.world import World
from strikeline.v1.instrument_service_pb2 import GetInstrumentRequest
from strikeline.v1.instrument_service_pb2_grpc import InstrumentServiceStub
from tests.contract.committed import COMMITTED

SERVICES = load_contract().services


@pytest.fixture(scope="module")
def grpc_stub_cls() -> type[InstrumentServiceStub]:
    """pytest-grpc makes its `grpc_stub` of this."""
    return InstrumentServiceStub


def test_reflection_names_every_service(grpc_channel: grpc.Channel, strikeline_contract: Contract) -> None:
    database = ProtoReflectionDescriptorDatabase(grpc_channel)

    assert set(strikeline_contract.services) <= set(database.get_services())


@pytest.mark.parametrize("service", SERVICES)
def test_what_the_server_reflects_is_what_is_committed(grpc_channel: grpc.Channel, service: str) -> None:
    committed = descriptor_pb2.FileDescriptorSet.FromString(COMMITTED.read_bytes()).file
    reflected = ProtoReflectionDescriptorDatabase(grpc_channel).FindFileContainingSymbol(service)

    expected = next(file for file in committed if file.name == reflected.name)
    assert reflected == expected


@pytest.mark.parametrize("service", ["", *SERVICES])
def test_every_service_is_healthy(grpc_channel: grpc.Channel, service: str) -> None:
    answer = health_pb2_grpc.HealthStub(grpc_channel).Check(health_pb2.HealthCheckRequest(service=service), timeout=5)

    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_the_health_of_an_unknown_service_is_not_found(grpc_channel: grpc.Channel) -> None:
    request = health_pb2.HealthCheckRequest(service="strikeline.v1.NoSuchService")

    with pytest.raises(grpc.RpcError) as raised:
        health_pb2_grpc.HealthStub(grpc_channel).Check(request, timeout=5)

    assert raised.value.code() is grpc.StatusCode.NOT_FOUND


def test_a_client_teams_stub_reaches_the_system(grpc_stub: InstrumentServiceStub, world: World) -> None:
    request = GetInstrumentRequest(instrument="NSE:NIFTY50")

    answer = grpc_stub.GetInstrument(request, metadata=(("authorization", f"Bearer {world.token()}"),), timeout=5)

    assert answer.instrument == "NSE:NIFTY 50"


def test_an_rpc_that_does_not_exist_is_unimplemented(grpc_channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        grpc_channel.unary_unary("/strikeline.v1.MarketDataService/GetNothing")(b"", timeout=5)

    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_bytes_that_are_no_request_are_refused(grpc_channel: grpc.Channel, world: World) -> None:
    call = grpc_channel.unary_unary("/strikeline.v1.MarketDataService/ListBars")

    with pytest.raises(grpc.RpcError) as raised:
        call(b"\xff\xff\xff", metadata=(("authorization", f"Bearer {world.token()}"),), timeout=5)

    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT

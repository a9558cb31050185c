"""The everything fixture itself: it compiles, it has every feature, and its server echoes."""

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.rpc import error_details_pb2, status_pb2

from tests.fixtures.everything import SERVICE, Everything, compile_everything, serve_everything

SCALARS = set(range(1, 19)) - {FieldDescriptor.TYPE_GROUP, FieldDescriptor.TYPE_MESSAGE}


@pytest.fixture(scope="module")
def everything() -> Everything:
    return compile_everything()


async def collect(stream, seen: list[int]) -> None:
    async for message in stream:
        seen.append(message.sequence)


def test_it_has_a_field_of_every_scalar_type(everything: Everything) -> None:
    fields = everything.message("Specimen").DESCRIPTOR.fields

    assert {field.type for field in fields} >= SCALARS
    assert any(field.message_type and field.message_type.GetOptions().map_entry for field in fields)


def test_it_has_http_rules_of_every_kind(everything: Everything) -> None:
    methods = everything.pool.FindServiceByName(SERVICE).methods

    assert len(methods) == 24
    assert sum(method.server_streaming for method in methods) == 2


async def test_its_server_echoes_the_request(everything: Everything) -> None:
    specimen = everything.message("Specimen")
    request = specimen(int64_value=-(2**63), string_value="NSE:NIFTY 50", numbers=[1, 2])

    async with serve_everything(everything) as server, grpc.aio.insecure_channel(server.address) as channel:
        call = channel.unary_unary(f"/{SERVICE}/EchoQuery", specimen.SerializeToString, specimen.FromString)
        answer = await call(request)

    assert answer == request


async def test_its_server_fails_with_details_when_asked(everything: Everything) -> None:
    fail = everything.message("FailRequest")

    async with serve_everything(everything) as server, grpc.aio.insecure_channel(server.address) as channel:
        call = channel.unary_unary(f"/{SERVICE}/Fail", fail.SerializeToString)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call(fail(code=3, message="wrong", detailed=True))

    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    content = dict(raised.value.trailing_metadata())["grpc-status-details-bin"]
    status = status_pb2.Status.FromString(content)
    assert status.details[0].Is(error_details_pb2.ErrorInfo.DESCRIPTOR)
    assert len(status.details) == 5


async def test_its_stream_fails_after_the_number_of_messages_asked_for(everything: Everything) -> None:
    request = everything.message("StreamSpecimensRequest")
    response = everything.message("StreamSpecimensResponse")
    seen = []

    async with serve_everything(everything) as server, grpc.aio.insecure_channel(server.address) as channel:
        stream = channel.unary_stream(f"/{SERVICE}/StreamSpecimens", request.SerializeToString, response.FromString)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await collect(stream(request(count=5, fail_after=2, fail_code=14)), seen)

    assert seen == [1, 2]
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE

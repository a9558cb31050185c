"""The WebSocket: handshake, calls by id, limits, end."""

import asyncio
import contextlib
import json
import time

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway.settings import GatewaySettings
from strikeline.v1 import market_data_service_pb2 as market
from strikeline.v1 import socket_pb2
from tests.integration.gateway.servicers import Api
from tests.support.gateway import RunningGateway, running_gateway
from tests.support.waiting import eventually

TICKS = {"method": "MarketDataService.StreamTicks", "request": {"instruments": ["NSE:RELIANCE"]}}
QUOTES = {"method": "MarketDataService.BatchGetQuotes", "request": {"instruments": ["NSE:INFY"]}}


def bearer(api: Api, **changes: object) -> dict[str, str]:
    return {"Authorization": f"Bearer {api.parts.token(**changes)}"}


async def tell(socket: ClientConnection, **members: object) -> None:
    await socket.send(json.dumps(members))


async def hear(socket: ClientConnection) -> dict:
    async with asyncio.timeout(10):
        return json.loads(await socket.recv())


async def close_code(socket: ClientConnection) -> int:
    with contextlib.suppress(ConnectionClosed):
        async with asyncio.timeout(10):
            while True:
                await socket.recv()
    return socket.close_code or 0


@pytest.fixture
async def socket(gateway: RunningGateway, api: Api):
    async with connect(gateway.socket, additional_headers=bearer(api)) as connection:
        yield connection


async def test_a_stream_is_carried_under_the_clients_id(socket: ClientConnection) -> None:
    await tell(socket, id="ticks", **TICKS)

    first, second = await hear(socket), await hear(socket)

    assert first["id"] == "ticks"
    assert first["message"]["subscribed"]["results"][0]["key"] == "NSE:RELIANCE"
    assert second["message"]["batch"]["ticks"][0]["lastPrice"] == 102.0


async def test_a_unary_call_is_answered_and_done(socket: ClientConnection) -> None:
    await tell(socket, id=7, **QUOTES)

    message, done = await hear(socket), await hear(socket)

    assert message == {"id": 7, "message": {"quotes": [{"instrument": "NSE:INFY", "lastPrice": 101.5, "stale": False}]}}
    assert done == {"id": 7, "status": "OK", "done": True}


async def test_calls_do_not_disturb_each_other(socket: ClientConnection) -> None:
    for name in ("a", "b"):
        await tell(socket, id=name, **TICKS)

    heard = [await hear(socket) for _ in range(6)]

    for name in ("a", "b"):
        assert [item["message"]["sequence"] for item in heard if item["id"] == name] == ["1", "2", "3"]


async def test_a_cancelled_stream_ends_at_the_server(socket: ClientConnection, api: Api) -> None:
    await tell(socket, id="1", **TICKS)
    for _ in range(3):
        await hear(socket)

    await tell(socket, id="1", cancel=True)

    assert await hear(socket) == {"id": "1", "status": "CANCELLED", "done": True}
    await eventually(lambda: api.market.open_streams == 0)


async def test_a_client_that_leaves_ends_all_its_streams(gateway: RunningGateway, api: Api) -> None:
    async with connect(gateway.socket, additional_headers=bearer(api)) as connection:
        for name in ("a", "b"):
            await tell(connection, id=name, **TICKS)
        await eventually(lambda: api.market.open_streams == 2)

    await eventually(lambda: api.market.open_streams == 0)
    await eventually(lambda: len(gateway.open_streams) == 0)


@pytest.mark.parametrize(
    ("command", "field"),
    [
        ({"id": "1", "method": "No.Such"}, "method"),
        ({"id": "1"}, "method"),
        ({"method": "MarketDataService.StreamTicks"}, "id"),
        ({"id": "x" * 65, **TICKS}, "id"),
        ({"id": True, **TICKS}, "id"),
        ({"id": "1", "method": "MarketDataService.StreamTicks", "request": []}, "request"),
        ({"id": "1", "cancel": True}, "id"),
        ({"id": "1", "subscribe": "x"}, "subscribe"),
        ({"id": "1", "method": "MarketDataService.StreamTicks", "request": {"instrument": "x"}}, "instrument"),
        ({"id": "1", "method": "MarketDataService.StreamTicks", "request": {}}, "instruments"),
    ],
)
async def test_a_wrong_command_is_explained_and_survived(socket: ClientConnection, command: dict, field: str) -> None:
    await socket.send(json.dumps(command))
    heard = await hear(socket)
    await tell(socket, id="next", **QUOTES)

    assert heard["status"] == "INVALID_ARGUMENT"
    assert heard["error"]["details"][1]["fieldViolations"][0]["field"] == field
    assert (await hear(socket))["id"] == "next"


@pytest.mark.parametrize("text", ["{", "[]", '"x"', "", "\u0000"])
async def test_a_message_that_is_no_object_is_explained_and_survived(socket: ClientConnection, text: str) -> None:
    await socket.send(text)

    assert (await hear(socket))["error"]["details"][1]["fieldViolations"][0]["field"] == "body"
    await tell(socket, id="next", **QUOTES)
    assert (await hear(socket))["id"] == "next"


async def test_an_id_under_way_cannot_be_used_again(socket: ClientConnection) -> None:
    await tell(socket, id="1", **TICKS)
    for _ in range(3):
        await hear(socket)

    await tell(socket, id="1", **QUOTES)

    refused = await hear(socket)
    assert set(refused) == {"status", "error"}
    assert refused["error"]["details"][1]["fieldViolations"] == [
        {"field": "id", "description": "'1' is in use by a call that is under way", "reason": ""}
    ]


async def test_a_wrong_command_under_the_id_of_a_call_does_not_look_like_its_end(socket: ClientConnection) -> None:
    await tell(socket, id="1", **TICKS)
    for _ in range(3):
        await hear(socket)

    await tell(socket, id="1", method=5)
    await tell(socket, id="1", cancel=True)

    assert [set(await hear(socket)) for _ in range(2)] == [{"status", "error"}, {"id", "status", "done"}]


async def test_the_binary_sub_protocol_carries_the_same(gateway: RunningGateway, api: Api) -> None:
    async with connect(gateway.socket, additional_headers=bearer(api), subprotocols=["protobuf"]) as connection:
        request = market.StreamTicksRequest(instruments=["NSE:RELIANCE"]).SerializeToString()
        call = socket_pb2.SocketCall(method="MarketDataService.StreamTicks", request=request)
        await connection.send(socket_pb2.SocketCommand(id="1", call=call).SerializeToString())
        events = [socket_pb2.SocketEvent.FromString(await connection.recv()) for _ in range(2)]
        await connection.send(b"\xff")
        # The refusal and the stream's third message overtake each other.
        both = [socket_pb2.SocketEvent.FromString(await connection.recv()) for _ in range(2)]
        third, refused = sorted(both, key=lambda event: event.error.code)
        await connection.send(socket_pb2.SocketCommand(id="1", cancel=True).SerializeToString())
        done = socket_pb2.SocketEvent.FromString(await connection.recv())

    assert connection.subprotocol == "protobuf"
    messages = [market.StreamTicksResponse.FromString(event.message) for event in (*events, third)]
    assert [message.sequence for message in messages] == [1, 2, 3]
    assert refused.error.code == 3
    assert (done.id, done.done) == ("1", True)


async def test_the_first_message_may_bring_the_token(gateway: RunningGateway, api: Api) -> None:
    async with connect(gateway.socket) as connection:
        await tell(connection, auth=api.parts.token())
        answer = await hear(connection)
        await tell(connection, id="1", **QUOTES)

        assert answer == {"authenticated": True}
        assert (await hear(connection))["id"] == "1"


async def test_a_later_token_counts_for_later_calls_and_a_stream_goes_on_by_its_resume_token(
    gateway: RunningGateway, api: Api
) -> None:
    async with connect(gateway.socket, additional_headers=bearer(api, exp=int(time.time()) + 2)) as connection:
        await tell(connection, id="old", **TICKS)
        heard = [await hear(connection) for _ in range(3)]
        await tell(connection, auth=api.parts.token())
        answer, ended = await hear(connection), await hear(connection)
        options = {"resumeToken": heard[-1]["message"]["resumeToken"]}
        request = {**TICKS["request"], "options": options}
        await tell(connection, id="new", method=TICKS["method"], request=request)
        resumed = await hear(connection)

    assert answer == {"authenticated": True}
    assert (ended["id"], ended["error"]["details"][0]["reason"]) == ("old", "CREDENTIAL_EXPIRED")
    assert (resumed["id"], resumed["message"]["sequence"]) == ("new", "4")


async def test_a_ticket_opens_one_socket_and_no_second(gateway: RunningGateway, api: Api, client) -> None:
    ticket = (await client.post("/v1/streamTickets", json={})).json()["ticket"]

    async with connect(f"{gateway.socket}?ticket={ticket}") as connection:
        await tell(connection, id="1", **TICKS)
        assert (await hear(connection))["message"]["sequence"] == "1"
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"{gateway.socket}?ticket={ticket}")

    assert refused.value.response.status_code == 401
    assert json.loads(refused.value.response.body)["details"][0]["reason"] == "TICKET_INVALID"


@pytest.mark.parametrize(("claims", "status"), [({"exp": 1}, 401), ({"iss": "other"}, 401), ({"scope": "trade"}, 101)])
async def test_a_handshake_is_refused_for_a_credential_that_does_not_hold(
    gateway: RunningGateway, api: Api, claims: dict, status: int
) -> None:
    try:
        async with connect(gateway.socket, additional_headers=bearer(api, **claims)) as connection:
            found = connection.response.status_code
    except InvalidStatus as error:
        found = error.response.status_code

    assert found == status


async def test_a_page_of_another_origin_is_refused(gateway: RunningGateway, api: Api) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await connect(gateway.socket, origin="https://evil.example.com", additional_headers=bearer(api))

    assert refused.value.response.status_code == 403
    assert refused.value.response.headers["x-frame-options"] == "DENY"


async def test_an_unknown_sub_protocol_or_parameter_is_refused(gateway: RunningGateway) -> None:
    with pytest.raises(InvalidStatus) as protocol:
        await connect(gateway.socket, subprotocols=["mqtt"])
    with pytest.raises(InvalidStatus) as parameter:
        await connect(f"{gateway.socket}?access_token=x")

    assert [error.value.response.status_code for error in (protocol, parameter)] == [400, 400]


async def test_a_socket_without_credential_is_closed_after_its_time(api: Api) -> None:
    settings = GatewaySettings(authentication_timeout=0.1)
    async with running_gateway(api.address, settings=settings) as gateway, connect(gateway.socket) as connection:
        assert await close_code(connection) == 4016


@pytest.mark.parametrize("first", ['{"auth":"not a token"}', '{"id":"1","method":"x"}', "{"])
async def test_a_first_message_without_a_good_token_closes(gateway: RunningGateway, first: str) -> None:
    async with connect(gateway.socket) as connection:
        await connection.send(first)

        assert await close_code(connection) == 4016


async def test_a_flood_of_messages_closes(api: Api) -> None:
    settings = GatewaySettings(messages_per_second=5)
    async with (
        running_gateway(api.address, settings=settings) as gateway,
        connect(gateway.socket, additional_headers=bearer(api)) as connection,
    ):
        for _ in range(20):
            await connection.send("{}")

        assert await close_code(connection) == 4008


async def test_a_message_that_is_too_large_is_not_read_and_closes(api: Api) -> None:
    settings = GatewaySettings(message_limit=1000)
    async with (
        running_gateway(api.address, settings=settings) as gateway,
        connect(gateway.socket, additional_headers=bearer(api)) as connection,
    ):
        await connection.send("x" * 1000)
        explained = await hear(connection)
        await connection.send("x" * 1001)

        with pytest.raises(ConnectionClosed):
            await hear(connection)
        assert explained["error"]["details"][0]["reason"] == "BODY_MALFORMED"
        assert connection.close_code == 1009


async def test_a_socket_carries_a_bounded_number_of_calls(api: Api) -> None:
    settings = GatewaySettings(subscriptions_per_socket=1)
    async with (
        running_gateway(api.address, settings=settings) as gateway,
        connect(gateway.socket, additional_headers=bearer(api)) as connection,
    ):
        await tell(connection, id="1", **TICKS)
        for _ in range(3):
            await hear(connection)
        await tell(connection, id="2", **TICKS)

        assert (await hear(connection))["status"] == "RESOURCE_EXHAUSTED"


async def test_a_shutdown_ends_calls_and_socket_with_their_reason(
    gateway: RunningGateway, socket: ClientConnection
) -> None:
    await tell(socket, id="1", **TICKS)
    for _ in range(3):
        await hear(socket)

    gateway.stop()
    heard = await hear(socket)

    assert (heard["id"], heard["status"]) == ("1", "UNAVAILABLE")
    assert heard["error"]["details"][0]["reason"] == "SERVER_DRAINING"
    assert await close_code(socket) == 4014


async def test_a_socket_that_reads_nothing_is_cut_off(api: Api) -> None:
    api.market.ticks = 2000
    api.market.released.set()
    settings = GatewaySettings(send_timeout=0.3)
    async with running_gateway(api.address, settings=settings) as gateway:
        connection = await connect(gateway.socket, additional_headers=bearer(api), max_queue=1, ping_interval=None)
        await tell(connection, id="1", **TICKS)
        await eventually(lambda: api.market.open_streams == 1)

        await eventually(lambda: api.market.open_streams == 0)
        await eventually(lambda: len(gateway.open_streams) == 0)
        connection.transport.abort()


async def test_sockets_that_come_and_go_leave_nothing(gateway: RunningGateway, api: Api) -> None:
    async def visit() -> None:
        async with connect(gateway.socket, additional_headers=bearer(api)) as connection:
            await tell(connection, id="1", **TICKS)
            await hear(connection)

    for _ in range(10):
        await asyncio.gather(*(visit() for _ in range(10)))

    await eventually(lambda: api.market.open_streams == 0)
    await eventually(lambda: len(gateway.open_streams) == 0)

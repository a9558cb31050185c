"""Streams as NDJSON and as server-sent events."""

import asyncio
import json

import httpx
import pytest

from gateway.settings import GatewaySettings
from tests.fixtures.everything import compile_everything, serve_everything
from tests.integration.gateway.servicers import Api
from tests.support.gateway import RunningGateway, blueprint_of, running_gateway
from tests.support.waiting import eventually

TICKS = "/v1/ticks:stream?instruments=NSE:RELIANCE"


async def lines(response: httpx.Response, count: int) -> list[str]:
    found = []
    async for line in response.aiter_lines():
        found.append(line)
        if len(found) == count:
            break
    return found


async def test_one_message_a_line(client: httpx.AsyncClient) -> None:
    async with client.stream("GET", TICKS) as response:
        first, second = [json.loads(line) for line in await lines(response, 2)]

    assert response.headers["content-type"] == "application/x-ndjson"
    assert first["subscribed"]["results"][0]["key"] == "NSE:RELIANCE"
    assert second["batch"]["ticks"][0]["lastPrice"] == 102.0


async def test_events_have_the_resume_token_as_id(client: httpx.AsyncClient) -> None:
    async with client.stream("GET", TICKS, headers={"accept": "text/event-stream"}) as response:
        found = await lines(response, 5)

    assert response.headers["content-type"] == "text/event-stream"
    assert [found[0], found[3]] == ["id: 1", "id: 2"]
    assert json.loads(found[1].removeprefix("data: "))["sequence"] == "1"


async def test_the_last_event_id_resumes(client: httpx.AsyncClient) -> None:
    headers = {"accept": "text/event-stream", "last-event-id": "41"}
    async with client.stream("GET", f"{TICKS}&options.resumeToken=7", headers=headers) as response:
        found = await lines(response, 1)

    assert found == ["id: 42"]


async def test_an_error_before_the_first_message_keeps_its_status(gateway: RunningGateway) -> None:
    async with httpx.AsyncClient(base_url=gateway.http) as anonymous:
        response = await anonymous.get(TICKS, headers={"accept": "text/event-stream"})

    assert (response.status_code, response.json()["code"]) == (401, 16)


async def test_a_client_that_leaves_ends_the_call(client: httpx.AsyncClient, api: Api, gateway: RunningGateway) -> None:
    async with client.stream("GET", TICKS) as response:
        await lines(response, 1)
        assert api.market.open_streams == 1

    await eventually(lambda: api.market.open_streams == 0)
    await eventually(lambda: len(gateway.open_streams) == 0)


async def test_a_shutdown_ends_a_stream_with_its_reason(client: httpx.AsyncClient, gateway: RunningGateway) -> None:
    async with client.stream("GET", TICKS) as response:
        found = response.aiter_lines()
        await anext(found)
        gateway.stop()
        rest = [json.loads(line) async for line in found]

    assert rest[-1]["error"]["details"][0]["reason"] == "SERVER_DRAINING"


async def test_a_client_that_reads_nothing_is_cut_off(api: Api) -> None:
    api.market.ticks = 2000
    api.market.released.set()
    settings = GatewaySettings(send_timeout=0.3)
    async with running_gateway(api.address, settings=settings) as gateway:
        host, _, port = gateway.address.partition(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
        request = (
            f"GET {TICKS} HTTP/1.1\r\nHost: {gateway.address}\r\nAuthorization: Bearer {api.parts.token()}\r\n\r\n"
        )
        writer.write(request.encode())
        await eventually(lambda: api.market.open_streams == 1)
        await eventually(lambda: api.market.open_streams == 0)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()


@pytest.mark.parametrize(
    ("accept", "last"),
    [("*/*", '{"error":{"code":9'), ("text/event-stream", 'data: {"code":9')],
)
async def test_an_error_after_the_first_message_is_the_last_frame(accept: str, last: str) -> None:
    everything = compile_everything()
    target = "/v1/everything:stream?count=3&failCode=9&failAfter=2"
    async with (
        serve_everything(everything) as server,
        running_gateway(server.address, blueprint_of(everything)) as gateway,
        httpx.AsyncClient(base_url=gateway.http) as http,
    ):
        response = await http.get(target, headers={"accept": accept})

    assert response.status_code == 200
    assert response.text.strip().split("\n")[-1].startswith(last)


async def test_a_complete_stream_just_ends() -> None:
    everything = compile_everything()
    async with (
        serve_everything(everything) as server,
        running_gateway(server.address, blueprint_of(everything)) as gateway,
        httpx.AsyncClient(base_url=gateway.http) as http,
    ):
        plain = await http.get("/v1/everything:stream?count=2")
        events = await http.get("/v1/everything:stream?count=0", headers={"accept": "text/event-stream"})

    assert len(plain.text.splitlines()) == 2
    assert events.text == "event: end\ndata: {}\n\n"


async def test_a_client_may_bound_a_stream(client: httpx.AsyncClient) -> None:
    response = await client.get(TICKS, headers={"grpc-timeout": "500m"})

    assert json.loads(response.text.splitlines()[-1])["error"]["code"] == 4

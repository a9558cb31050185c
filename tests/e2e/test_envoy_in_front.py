"""Clients of every kind through Envoy's one port, as it is configured for development."""

import json
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import httpx
import pytest
from websockets.asyncio.client import connect

from server.dev.envoy import EnvoyPorts, render
from server.dev.tokens import Identity
from strikeline.v1 import market_data_service_pb2 as market
from strikeline.v1.market_data_service_pb2_grpc import MarketDataServiceStub
from tests.integration.gateway.servicers import Api, running_api
from tests.support.envoy import running_envoy
from tests.support.gateway import SECURITY, RunningGateway, running_gateway
from tests.support.system import free_ports
from tests.support.waiting import eventually

TICKS = "/v1/ticks:stream?instruments=NSE:RELIANCE"
QUOTE = "/v1/quotes:batchGet?instruments=NSE:NIFTY%2050"


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


@dataclass(frozen=True)
class Front:
    """Envoy and what stands behind it."""

    address: str
    api: Api
    gateway: RunningGateway

    @property
    def bearer(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.api.parts.token()}"}

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=f"http://{self.address}", headers=self.bearer, timeout=10)


@pytest.fixture
async def front(tmp_path: Path) -> AsyncIterator[Front]:
    async with running_api() as api, running_gateway(api.address) as gateway:
        public, admin = free_ports(2)
        ports = EnvoyPorts(public, admin, port_of(gateway.address), [port_of(api.address)])
        configuration = render(ports, Identity(tmp_path).ensure(), tmp_path / "envoy.yaml")
        async with running_envoy(configuration, public) as address:
            await healthy(address)
            yield Front(address, api, gateway)


async def healthy(address: str) -> None:
    """Waits until Envoy's own health checks have passed."""
    async with httpx.AsyncClient() as http:

        async def passed() -> bool:
            return (await http.get(f"http://{address}/v1/health")).status_code == 200

        await eventually(passed)


async def test_grpc_calls_and_streams(front: Front) -> None:
    async with grpc.aio.insecure_channel(front.address) as channel:
        stub = MarketDataServiceStub(channel)
        metadata = tuple(front.bearer.items())
        quotes = await stub.BatchGetQuotes(market.BatchGetQuotesRequest(instruments=["NSE:INFY"]), metadata=metadata)
        call = stub.StreamTicks(market.StreamTicksRequest(instruments=["NSE:INFY"]), metadata=metadata)
        sequences = [(await call.read()).sequence for _ in range(3)]
        call.cancel()

    assert quotes.quotes[0].last_price == 101.5
    assert sequences == [1, 2, 3]


async def test_grpc_errors_keep_their_details(front: Front) -> None:
    async with grpc.aio.insecure_channel(front.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await MarketDataServiceStub(channel).BatchGetQuotes(market.BatchGetQuotesRequest(instruments=["NSE:INFY"]))

    assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert "grpc-status-details-bin" in dict(raised.value.trailing_metadata())


async def test_grpc_web(front: Front) -> None:
    message = market.BatchGetQuotesRequest(instruments=["NSE:INFY"]).SerializeToString()
    headers = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1", "origin": "http://localhost:3000"}

    async with front.client() as http:
        path = "/strikeline.v1.MarketDataService/BatchGetQuotes"
        response = await http.post(path, content=b"\0" + struct.pack(">I", len(message)) + message, headers=headers)

    (length,) = struct.unpack(">I", response.content[1:5])
    answer = market.BatchGetQuotesResponse.FromString(response.content[5 : 5 + length])
    assert answer.quotes[0].instrument == "NSE:INFY"
    assert response.headers["access-control-allow-origin"] == "http://localhost:3000"
    assert b"grpc-status:0" in response.content


async def test_http_lines_and_events(front: Front) -> None:
    async with front.client() as http:
        quote = await http.get(QUOTE)
        async with http.stream("GET", TICKS) as response:
            line = await anext(response.aiter_lines())
        async with http.stream("GET", TICKS, headers={"accept": "text/event-stream"}) as response:
            event = await anext(response.aiter_lines())

    assert quote.json()["quotes"][0]["instrument"] == "NSE:NIFTY 50"
    assert json.loads(line)["sequence"] == "1"
    assert event == "id: 1"


async def test_the_socket(front: Front) -> None:
    async with connect(f"ws://{front.address}/v1/ws", additional_headers=front.bearer) as socket:
        command = {"id": "1", "method": "MarketDataService.StreamTicks", "request": {"instruments": ["NSE:INFY"]}}
        await socket.send(json.dumps(command))

        assert json.loads(await socket.recv())["message"]["sequence"] == "1"


async def test_a_large_body_is_refused(front: Front) -> None:
    async with front.client() as http:
        headers = {"content-type": "application/json", "x-correlation-id": "desk-4711"}
        response = await http.post("/v1/streamTickets", content=b" " * (11 * 2**20), headers=headers)

    assert (response.status_code, response.json()["code"]) == (413, 8)
    assert response.json()["details"][0]["reason"] == "BODY_TOO_LARGE"
    assert response.json()["details"][1]["requestId"] == "desk-4711"
    assert response.headers["x-correlation-id"] == "desk-4711"


async def test_a_refusal_of_envoys_without_a_stated_id_has_one(front: Front) -> None:
    async with front.client() as http:
        headers = {"content-type": "application/json"}
        response = await http.post("/v1/streamTickets", content=b" " * (11 * 2**20), headers=headers)

    assert len(response.headers["x-correlation-id"]) == 36
    assert response.json()["details"][1]["requestId"] == response.headers["x-correlation-id"]


async def test_an_answer_of_the_gateway_has_its_correlation_id_once(front: Front) -> None:
    async with front.client() as http:
        response = await http.get(QUOTE, headers={"x-correlation-id": "desk-4712"})

    assert response.headers.get_list("x-correlation-id") == ["desk-4712"]


@pytest.mark.parametrize("target", [QUOTE, "/nosuch", "/metrics", "/v1/quotes:batchGet?nope=1"])
async def test_every_answer_has_the_security_headers_once(front: Front, target: str) -> None:
    async with front.client() as http:
        response = await http.get(target)

    assert {name: response.headers.get_list(name) for name in SECURITY} == {
        name: [value] for name, value in SECURITY.items()
    }
    assert "server" not in response.headers


async def test_metrics_and_sessions_do_not_pass(front: Front) -> None:
    async with front.client() as http:
        metrics = await http.get("/metrics")
        forged = await http.get(QUOTE, headers={"authorization": "", "x-strikeline-session": "forged"})

    assert (metrics.status_code, forged.status_code) == (404, 401)


async def test_a_gateway_that_is_away_is_answered_in_the_same_shape(front: Front) -> None:
    front.gateway.stop()

    async with front.client() as http:

        async def failed() -> httpx.Response | None:
            answer = await http.get(QUOTE)
            return answer if answer.status_code != 200 else None

        response = await eventually(failed)

    assert (response.status_code, response.json()["code"]) == (503, 14)
    assert response.json()["details"][0]["reason"] == "SERVER_UNREACHABLE"
    assert response.headers["retry-after"] == "1"
    assert response.headers["x-frame-options"] == "DENY"

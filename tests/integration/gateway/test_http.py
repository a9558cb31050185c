"""Unary calls over HTTP, with what every answer carries."""

import asyncio
import json
import time

import httpx
import pytest

from gateway.settings import GatewaySettings
from server.rpc.call import Principal
from tests.integration.gateway.servicers import POOL, Api, Probes, running_api
from tests.support.gateway import SECURITY, RunningGateway, running_gateway
from tests.support.waiting import eventually

QUOTE = "/v1/quotes:batchGet?instruments=NSE:NIFTY%2050"


def reason(response: httpx.Response) -> str:
    return response.json()["details"][0]["reason"]


async def test_a_call_is_answered_with_quota_and_time(client: httpx.AsyncClient) -> None:
    response = await client.get(QUOTE, headers={"x-correlation-id": "desk-4711"})

    assert response.status_code == 200
    assert response.json() == {"quotes": [{"instrument": "NSE:NIFTY 50", "lastPrice": 101.5, "stale": False}]}
    assert response.headers["x-correlation-id"] == "desk-4711"
    assert float(response.headers["x-process-time"]) < 5
    assert int(response.headers["ratelimit-limit"]) > 0
    assert response.headers["cache-control"] == "no-store"


async def test_a_client_that_leaves_ends_its_call(client: httpx.AsyncClient, api: Api) -> None:
    asked = asyncio.create_task(client.get("/v1/quotes:batchGet?instruments=NSE:SLOW"))
    await eventually(lambda: api.market.open_calls == 1)

    asked.cancel()

    await eventually(lambda: api.market.open_calls == 0)
    metrics = (await client.get("/metrics")).text
    assert 'requests_total{rpc="MarketDataService.BatchGetQuotes",status="499"} 1.0' in metrics


async def test_head_has_the_headers_of_get_and_no_body(client: httpx.AsyncClient) -> None:
    whole = await client.get(QUOTE)

    response = await client.head(QUOTE)

    assert (response.status_code, response.content) == (200, b"")
    told = ("content-type", "content-length", "cache-control", "vary", "ratelimit-limit")
    assert [response.headers[name] for name in told] == [whole.headers[name] for name in told]


async def test_head_fails_as_get_does(client: httpx.AsyncClient) -> None:
    response = await client.head("/v1/quotes:batchGet")

    assert (response.status_code, response.content) == (400, b"")


@pytest.mark.parametrize(
    ("verb", "path", "allowed"),
    [
        ("POST", "/v1/quotes:batchGet", "GET, HEAD"),
        ("HEAD", "/v1/ticks:stream", "GET"),
        ("HEAD", "/v1/options:calculateGreeks", "POST"),
    ],
)
async def test_allow_names_head_where_get_has_an_end(
    client: httpx.AsyncClient, verb: str, path: str, allowed: str
) -> None:
    response = await client.request(verb, path)

    assert (response.status_code, response.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize(
    ("headers", "server"),
    [
        ({"host": "127.0.0.1:9000"}, ("127.0.0.1:9000", "ws")),
        ({"host": "api.example.com", "x-forwarded-proto": "https"}, ("api.example.com", "wss")),
        ({"host": "10.0.0.1", "x-forwarded-host": "api.example.com:443"}, ("api.example.com:443", "ws")),
        ({"host": 'a"b'}, ("localhost", "ws")),
    ],
)
async def test_the_streams_document_names_the_host_that_it_is_read_from(
    client: httpx.AsyncClient, headers: dict[str, str], server: tuple[str, str]
) -> None:
    response = await client.get("/v1/asyncapi.json", headers=headers)

    found = response.json()["servers"]["gateway"]
    assert (found["host"], found["protocol"]) == server
    assert "x-forwarded-host" in response.headers["vary"]


@pytest.mark.parametrize("path", ["/", "/docs/"])
async def test_who_looks_for_the_documents_finds_them(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(path)

    assert (response.status_code, response.headers["location"]) == (307, "/docs")
    assert response.headers["x-correlation-id"]


async def test_proto_names_on_request(client: httpx.AsyncClient) -> None:
    response = await client.get(QUOTE, headers={"accept": "application/json; names=proto"})

    assert "last_price" in response.json()["quotes"][0]


@pytest.mark.parametrize("target", [QUOTE, "/v1/nosuch", "/v1/quotes:batchGet?nope=1", "/v1/bars", "/healthz", "/docs"])
async def test_every_answer_has_the_security_headers(client: httpx.AsyncClient, target: str) -> None:
    response = await client.get(target)

    assert {name: response.headers.get(name) for name in SECURITY} == SECURITY
    assert "default-src 'self'" in response.headers["content-security-policy"]
    assert "server" not in response.headers
    assert "x-powered-by" not in response.headers


async def test_a_correlation_id_that_would_disturb_the_log_is_replaced(client: httpx.AsyncClient) -> None:
    response = await client.get(QUOTE, headers={"x-correlation-id": 'a"b c'})

    assert len(response.headers["x-correlation-id"]) == 32


async def test_a_call_without_credential_is_challenged(gateway: RunningGateway) -> None:
    async with httpx.AsyncClient(base_url=gateway.http) as anonymous:
        response = await anonymous.get(QUOTE)

    assert (response.status_code, reason(response)) == (401, "CREDENTIAL_MISSING")
    assert response.headers["www-authenticate"] == 'Bearer realm="strikeline"'
    assert response.json()["details"][-1]["requestId"] == response.headers["x-correlation-id"]


async def test_a_session_cannot_be_brought_by_a_header(gateway: RunningGateway, api: Api) -> None:
    demo = Principal("demo", frozenset({"read"}), frozenset(), None, "credential-1", time.time() + 600)
    session = api.parts.sessions.seal(demo)

    async with httpx.AsyncClient(base_url=gateway.http, headers={"x-strikeline-session": session}) as stranger:
        response = await stranger.get(QUOTE)

    assert response.status_code == 401


async def test_the_rules_of_the_contract_name_the_field(client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/quotes:batchGet")

    assert (response.status_code, reason(response)) == (400, "VALIDATION_FAILED")
    assert response.json()["details"][1]["fieldViolations"][0]["field"] == "instruments"


async def test_a_body_that_is_too_large_is_not_read(client: httpx.AsyncClient) -> None:
    async def endless():
        for _ in range(200):
            yield b" " * 65536

    fixed = await client.post(
        "/v1/streamTickets", content=b"x" * (11 * 2**20), headers={"content-type": "application/json"}
    )
    chunked = await client.post("/v1/streamTickets", content=endless(), headers={"content-type": "application/json"})

    assert [fixed.status_code, chunked.status_code] == [413, 413]
    assert reason(chunked) == "BODY_TOO_LARGE"


async def test_cached_answers_have_a_tag(client: httpx.AsyncClient) -> None:
    first = await client.get("/v1/errorReasons")

    second = await client.get("/v1/errorReasons", headers={"if-none-match": first.headers["etag"]})

    assert first.headers["cache-control"] == "private, max-age=3600"
    assert (second.status_code, second.content) == (304, b"")


async def test_a_server_that_is_away_is_503(unused_tcp_port: int) -> None:
    async with (
        running_gateway(f"127.0.0.1:{unused_tcp_port}") as gateway,
        httpx.AsyncClient(base_url=gateway.http) as http,
    ):
        response = await http.get(QUOTE)

    assert (response.status_code, reason(response)) == (503, "SERVER_UNREACHABLE")
    assert response.headers["retry-after"] == "1"
    assert str(unused_tcp_port) not in response.text


async def test_a_method_that_the_server_lacks_is_501(client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/accounts")

    assert (response.status_code, reason(response)) == (501, "METHOD_UNKNOWN")


async def test_origins_on_the_list_get_their_headers_and_others_none(api: Api) -> None:
    settings = GatewaySettings(allowed_origins="https://desk.example.com")
    preflight = {"access-control-request-method": "GET"}
    async with (
        running_gateway(api.address, settings=settings) as gateway,
        httpx.AsyncClient(base_url=gateway.http) as http,
    ):
        listed = await http.options(QUOTE, headers={"origin": "https://desk.example.com", **preflight})
        other = await http.options(QUOTE, headers={"origin": "https://evil.example.com", **preflight})
        error = await http.get("/v1/nosuch", headers={"origin": "https://desk.example.com"})

    assert listed.headers["access-control-allow-origin"] == "https://desk.example.com"
    assert (
        listed.headers["access-control-allow-headers"] == "Content-Type, Authorization, X-Account-ID, X-Correlation-ID"
    )
    assert listed.headers["access-control-max-age"] == "600"
    assert not any(name.startswith("access-control") for name in other.headers)
    assert error.headers["access-control-allow-origin"] == "https://desk.example.com"


@pytest.mark.parametrize(
    ("away", "overall", "ready"), [(set(), 200, 200), ({"redis"}, 503, 200), ({"database"}, 503, 503)]
)
async def test_health_tells_what_is_away(away: set[str], overall: int, ready: int) -> None:
    probes = Probes()
    async with running_api(probes) as api, running_gateway(api.address) as gateway:
        probes.away = away
        await api.health.check()
        async with httpx.AsyncClient(base_url=gateway.http) as http:
            answers = [await http.get(path) for path in ("/v1/health", "/readyz", "/healthz")]

    assert [answer.status_code for answer in answers] == [overall, ready, 200]
    components = answers[0].json()["components"]
    assert {name for name, state in components.items() if state != "SERVING"} >= away


async def test_health_without_any_server(unused_tcp_port: int) -> None:
    async with (
        running_gateway(f"127.0.0.1:{unused_tcp_port}") as gateway,
        httpx.AsyncClient(base_url=gateway.http) as http,
    ):
        overall, live, startup = [await http.get(path) for path in ("/v1/health", "/healthz", "/startupz")]

    assert (overall.status_code, overall.json()["components"]["api"]) == (503, "UNREACHABLE")
    assert (live.status_code, startup.status_code) == (200, 503)


async def test_what_has_started_stays_so(unused_tcp_port: int) -> None:
    probes = Probes()
    probes.away = {"database"}
    async with (
        running_api(probes) as api,
        running_gateway(api.address) as gateway,
        httpx.AsyncClient(base_url=gateway.http) as http,
    ):
        first = await http.get("/startupz")
        await api.health.drain()
        second = await http.get("/startupz")

    assert [(answer.status_code, answer.json()) for answer in (first, second)] == [(200, {"status": "SERVING"})] * 2


async def test_health_shows_the_figures_of_a_dependency(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/health")).json()["details"] == {"database": POOL}


async def test_metrics_are_for_this_machine_only(client: httpx.AsyncClient) -> None:
    await client.get(QUOTE)

    here = await client.get("/metrics")
    through_a_proxy = await client.get("/metrics", headers={"x-forwarded-for": "203.0.113.9"})

    assert 'strikeline_gateway_requests_total{rpc="MarketDataService.BatchGetQuotes",status="200"} 1.0' in here.text
    assert through_a_proxy.status_code == 404


async def test_documents_are_served_with_a_tag(client: httpx.AsyncClient) -> None:
    for path in ("/v1/openapi.json", "/v1/asyncapi.json"):
        first = await client.get(path)
        assert json.loads(first.content)["info"]["title"].startswith("Strikeline")
        assert (await client.get(path, headers={"if-none-match": first.headers["etag"]})).status_code == 304

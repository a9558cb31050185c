"""The last resort for errors, and rules of the contract that cannot be served."""

import json
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from gateway.edge import Edge, Origins
from gateway.telemetry import Telemetry
from gateway.transcoder.failure import FailureEncoder
from gateway.transcoder.message import NativeCodec
from gateway.transcoder.routes import Route, routes_of
from server.contract.errors import load_catalogue
from server.contract.methods import ContractError, HttpRule

SCOPE = {"type": "http", "method": "GET", "path": "/v1/bars", "headers": [], "client": ("198.51.100.7", 1)}


async def run(codec: NativeCodec, app) -> list[dict]:
    """What the edge sends when the application does that."""
    sent: list[dict] = []

    async def send(message: dict) -> None:
        sent.append(message)

    telemetry = Telemetry(CollectorRegistry(), None)
    failures = FailureEncoder(codec, load_catalogue())
    edge = Edge(app, origins=Origins(frozenset()), telemetry=telemetry, failures=failures)
    await edge(dict(SCOPE), None, send)
    return sent


async def test_an_unforeseen_error_says_nothing_but_the_id_to_quote(codec: NativeCodec) -> None:
    async def app(scope, receive, send) -> None:
        raise RuntimeError("SELECT * FROM secrets")

    start, body = await run(codec, app)

    answer = json.loads(body["body"])
    correlation = dict(start["headers"])[b"x-correlation-id"].decode()
    assert (start["status"], answer["code"]) == (500, 13)
    assert answer["message"] == f"internal error; quote correlation id {correlation}"
    assert b"secrets" not in body["body"]


async def test_half_a_response_is_left_to_the_server_to_break_off(codec: NativeCodec) -> None:
    async def app(scope, receive, send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        await run(codec, app)


@pytest.mark.parametrize(
    "rule",
    [
        HttpRule("GET", "/v1/{nope}", "", ""),
        HttpRule("GET", "/v1/{part}", "", ""),
        HttpRule("GET", "/v1/{numbers}", "", ""),
        HttpRule("GET", "/v1/{parts.name}", "", ""),
        HttpRule("POST", "/v1/a", "nope", ""),
        HttpRule("POST", "/v1/a", "*", "nope"),
    ],
)
def test_a_rule_that_cannot_be_served_stops_the_start(routes: dict[str, Route], rule: HttpRule) -> None:
    method = replace(routes["EchoQuery"].method, http=(rule,))

    with pytest.raises(ContractError, match=r"everything\.v1\.EverythingService\.EchoQuery"):
        list(routes_of([method]))

"""Bad input of every kind has its typed error with the field named, the same over gRPC and HTTP, through Envoy."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import httpx
import pytest
import pytest_asyncio
from google.protobuf import json_format
from google.rpc import error_details_pb2, status_pb2

from server.contract.methods import load_contract
from server.contract.testing.grpc_calls import GrpcCaller
from tests.e2e.http_client import MODULE_LOOP, Http
from tests.support.system import DevSystem

pytestmark = MODULE_LOOP
ARGUMENTS = ("--feed", "none")

MIB = 1024 * 1024
NEW_STRATEGY = "/v1/accounts/demo/strategies"
BARS = "MarketDataService/ListBars"
STRATEGY = "StrategyService/GetStrategy"


@dataclass(frozen=True)
class Case:
    """One wrong call that both transports can express, and what must come of it."""

    name: str
    method: str
    request: dict[str, Any]
    path: str
    query: dict[str, Any]
    code: grpc.StatusCode
    status: int
    reason: str
    fields: tuple[str, ...] = ()
    token: str | None = "valid"


def bars(**request: Any) -> dict[str, Any]:
    return {"instrument": "NSE:INFY", "timeframe": "1min", **request}


def case_of_bars(name: str, reason: str, *fields: str, status: int = 400, **wrong: Any) -> Case:
    code = grpc.StatusCode.INVALID_ARGUMENT if status == 400 else grpc.StatusCode.NOT_FOUND
    return Case(name, BARS, bars(**wrong), "/v1/bars", bars(**wrong), code, status, reason, fields)


def case_of_token(name: str, reason: str, token: str | None, *, forbidden: bool = False) -> Case:
    code = grpc.StatusCode.PERMISSION_DENIED if forbidden else grpc.StatusCode.UNAUTHENTICATED
    return Case(name, BARS, bars(), "/v1/bars", bars(), code, 403 if forbidden else 401, reason, (), token)


CASES = [
    case_of_token("no token", "CREDENTIAL_MISSING", None),
    case_of_token("no JWT", "CREDENTIAL_INVALID", "nonsense"),
    case_of_token("signature of another", "CREDENTIAL_INVALID", "forged"),
    case_of_token("expired token", "CREDENTIAL_EXPIRED", "expired"),
    case_of_token("token without the scope", "SCOPE_MISSING", "trade only", forbidden=True),
    case_of_bars("unknown timeframe", "TIMEFRAME_UNKNOWN", "timeframe", timeframe="7min"),
    case_of_bars("unknown instrument", "INSTRUMENT_NOT_FOUND", "instrument", instrument="NSE:NOSUCH", status=404),
    case_of_bars("empty instrument", "VALIDATION_FAILED", "instrument", instrument=""),
    case_of_bars("nul character", "VALIDATION_FAILED", "instrument", instrument="NSE:\0"),
    case_of_bars("page too large", "VALIDATION_FAILED", "page_size", page_size=10_001),
    case_of_bars("end before start", "VALIDATION_FAILED", "end_time",
                 start_time="2025-11-03T04:00:00Z", end_time="2025-11-03T03:00:00Z"),
    case_of_bars("foreign page token", "PAGE_TOKEN_INVALID", "page_token", page_token="bm9uc2Vuc2U"),
    Case("foreign account", STRATEGY, {"account": "somebody", "strategy": "x"},
         "/v1/accounts/somebody/strategies/x", {}, grpc.StatusCode.PERMISSION_DENIED, 403, "ACCOUNT_FORBIDDEN"),
    Case("unknown strategy", STRATEGY, {"account": "demo", "strategy": "nosuch"},
         "/v1/accounts/demo/strategies/nosuch", {}, grpc.StatusCode.NOT_FOUND, 404, "RESOURCE_NOT_FOUND"),
]  # fmt: skip


@pytest.fixture(scope="module")
def channel(system: DevSystem) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(system.envoy) as channel:
        yield channel


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def anybody(system: DevSystem) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://{system.envoy}", timeout=30) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def known_instrument(system: DevSystem, channel: grpc.Channel) -> None:
    """NSE:INFY, so that only what a case spoils is wrong."""
    method = load_contract().method("/strikeline.v1.InstrumentService/ImportInstruments")
    csv = (
        b"instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,"
        b"instrument_type,segment,exchange\n408065,1594,INFY,INFOSYS,0,,0,0.05,1,EQ,NSE,NSE\n"
    )
    request = json_format.ParseDict({}, method.input())
    request.csv = csv
    outcome = GrpcCaller(channel).call(method, request, system.token("operator", ["admin"]))
    assert outcome.succeeded, outcome.text


def token_of(system: DevSystem, kind: str | None) -> str | None:
    valid = system.token()
    known = {
        "valid": valid,
        "forged": valid[:-20] + valid[-20:][::-1],
        "expired": system.token(lifetime_seconds=-60),
        "trade only": system.token(scopes=["trade"]),
    }
    return None if kind is None else known.get(kind, kind)


@dataclass(frozen=True)
class Failure:
    """What both transports must say alike. Fields are in the proto's spelling."""

    code: int
    message: str
    reason: str
    fields: tuple[str, ...]


def failure_of(status: dict[str, Any]) -> Failure:
    details = {item["@type"].rpartition(".")[2]: item for item in status["details"]}
    violations = details.get("BadRequest", {}).get("fieldViolations", [])
    fields = tuple(snake(violation["field"]) for violation in violations)
    return Failure(status["code"], status["message"], details["ErrorInfo"]["reason"], fields)


def snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_both_transports_refuse_alike(
    system: DevSystem, channel: grpc.Channel, anybody: httpx.AsyncClient, case: Case
) -> None:
    token = token_of(system, case.token)
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    response = await anybody.get(case.path, params=case.query, headers=headers)
    status = raw_status(channel, case, token)

    assert response.status_code == case.status, response.text
    assert failure_of(response.json()) == status
    assert (status.code, status.reason, status.fields) == (case.code.value[0], case.reason, case.fields)


def raw_status(channel: grpc.Channel, case: Case, token: str | None) -> Failure:
    """The status of a gRPC call, from its trailer."""
    method = load_contract().method(f"/strikeline.v1.{case.method}")
    call = channel.unary_unary(f"/strikeline.v1.{case.method}")
    request = json_format.ParseDict(case.request, method.input()).SerializeToString()
    metadata = [] if token is None else [("authorization", f"Bearer {token}")]
    with pytest.raises(grpc.RpcError) as raised:
        call(request, metadata=metadata, timeout=30)
    trailer = dict(raised.value.trailing_metadata())
    status = status_pb2.Status.FromString(trailer["grpc-status-details-bin"])
    assert status.code == raised.value.code().value[0]
    return failure_of_message(status)


def failure_of_message(status: Any) -> Failure:
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details:
        for message in (info, bad):
            if detail.Is(message.DESCRIPTOR):
                detail.Unpack(message)
    return Failure(status.code, status.message, info.reason, tuple(item.field for item in bad.field_violations))


async def test_an_unknown_query_parameter_is_named(http: Http) -> None:
    response = await http.client.get("/v1/bars", params={**bars(), "tmeframe": "5min"})

    assert response.status_code == 400
    failure = failure_of(response.json())
    assert (failure.reason, failure.fields) == ("FIELD_UNKNOWN", ("tmeframe",))


async def test_an_unknown_body_field_is_named(http: Http) -> None:
    response = await http.client.post(NEW_STRATEGY, json={"displayName": "condor", "colour": "red"})

    assert response.status_code == 400
    failure = failure_of(response.json())
    assert (failure.reason, failure.fields) == ("FIELD_UNKNOWN", ("strategy.colour",))


async def test_malformed_json_is_refused(http: Http) -> None:
    response = await http.client.post(
        NEW_STRATEGY, content='{"displayName": "con', headers={"Content-Type": "application/json"}
    )

    assert response.status_code == 400
    assert failure_of(response.json()).reason == "BODY_MALFORMED"


async def test_a_wrong_type_within_a_body_names_its_field(http: Http) -> None:
    strategy = await http.post(NEW_STRATEGY, {"displayName": "for a leg"})
    path = f"{NEW_STRATEGY}/{strategy['strategy']}/legs"

    response = await http.client.post(path, json={"instrument": "NSE:INFY", "quantity": "many"})

    assert response.status_code == 400
    assert failure_of(response.json()).fields == ("leg.quantity",)


def large_body() -> bytes:
    return json.dumps({"displayName": "condor", "description": "x" * (11 * MIB)}).encode()


async def in_chunks(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 64 * 1024):
        yield body[start : start + 64 * 1024]


@pytest.mark.parametrize("framing", ["fixed length", "chunked"])
async def test_a_body_of_11_mb_is_too_large(http: Http, framing: str) -> None:
    body = large_body()

    response = await http.client.post(
        NEW_STRATEGY,
        content=body if framing == "fixed length" else in_chunks(body),
        headers={"Content-Type": "application/json"},
    )

    assert response.status_code == 413
    assert response.headers["content-type"] == "application/json"
    assert response.json()["code"] == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]


async def test_a_grpc_message_of_11_mb_is_too_large(system: DevSystem, channel: grpc.Channel) -> None:
    call = channel.unary_unary(f"/strikeline.v1.{STRATEGY}")

    with pytest.raises(grpc.RpcError) as raised:
        call(b"x" * (11 * MIB), metadata=[("authorization", f"Bearer {system.token()}")], timeout=30)

    assert raised.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_stream_of_unknown_instruments_fails_after_saying_which(http: Http) -> None:
    parameters = {"instruments": ["NSE:NOSUCH", "NSE:NEITHER"]}

    async with http.client.stream("GET", "/v1/ticks:stream", params=parameters) as response:
        lines = [json.loads(line) async for line in response.aiter_lines() if line]

    results = lines[0]["subscribed"]["results"]
    assert [(item["item"], item["refusal"]) for item in results] == [
        ("NSE:NOSUCH", "ITEM_REFUSAL_NOT_FOUND"),
        ("NSE:NEITHER", "ITEM_REFUSAL_NOT_FOUND"),
    ]
    failure = failure_of(lines[-1]["error"])
    assert (failure.reason, failure.fields) == ("INSTRUMENT_NOT_FOUND", ("instruments[0]",))

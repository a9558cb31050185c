"""Errors as answers."""

import json

import grpc
import pytest
from google.rpc import status_pb2

from gateway.exchange import Exchange
from gateway.transcoder.failure import FailureEncoder
from gateway.transcoder.message import NativeCodec
from gateway.transcoder.problem import BadRequest, Problem, body_too_large, wrong_method
from server.contract.errors import HTTP_STATUS, load_catalogue
from tests.fixtures.everything import details


@pytest.fixture
def failures(codec: NativeCodec) -> FailureEncoder:
    return FailureEncoder(codec, load_catalogue())


def call_error(
    code: grpc.StatusCode, text: str = "secret 10.0.0.1", status: bytes | None = None
) -> grpc.aio.AioRpcError:
    trailing = grpc.aio.Metadata() if status is None else grpc.aio.Metadata(("grpc-status-details-bin", status))
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing, text, text)


def an_exchange(timeout: float | None = 0.5) -> Exchange:
    return Exchange("id-1", {}, "10.0.0.9", method="strikeline.v1.XService/GetX", timeout=timeout)


def info(body: bytes) -> dict:
    return json.loads(body)["details"][0]


@pytest.mark.parametrize(
    "code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK], ids=lambda code: code.name
)
def test_every_code_has_its_http_status_and_hides_what_a_library_says(
    failures: FailureEncoder, code: grpc.StatusCode
) -> None:
    failure = failures.of_call(call_error(code), an_exchange())

    assert failure.http_status == HTTP_STATUS[failure.code]
    assert failure.code in (code, grpc.StatusCode.INTERNAL)
    assert b"secret" not in failure.body


@pytest.mark.parametrize(
    ("code", "timeout", "metadata"),
    [
        (grpc.StatusCode.DEADLINE_EXCEEDED, 0.5, {"deadline_ms": "500"}),
        (grpc.StatusCode.DEADLINE_EXCEEDED, 1e-9, {"deadline_ms": "1"}),
        (grpc.StatusCode.UNIMPLEMENTED, 0.5, {"method": "strikeline.v1.XService/GetX"}),
        (grpc.StatusCode.UNAVAILABLE, 0.5, {}),
    ],
)
def test_what_only_the_code_says_has_the_metadata_of_its_reason(
    failures: FailureEncoder, code: grpc.StatusCode, timeout: float, metadata: dict[str, str]
) -> None:
    failure = failures.of_call(call_error(code), an_exchange(timeout))

    assert info(failure.body).get("metadata", {}) == metadata


def test_the_servers_status_is_passed_on_with_its_details(failures: FailureEncoder) -> None:
    status = status_pb2.Status(code=3, message="wrong")
    for detail in details():
        status.details.add().Pack(detail)

    error = call_error(grpc.StatusCode.INVALID_ARGUMENT, status=status.SerializeToString())

    failure = failures.of_call(error, an_exchange())

    body = json.loads(failure.body)
    assert (body["code"], body["message"], failure.http_status) == (3, "wrong", 400)
    assert [item["@type"].rpartition(".")[2] for item in body["details"]] == [
        "ErrorInfo",
        "BadRequest",
        "RetryInfo",
        "RequestInfo",
    ]


def test_a_detail_of_an_unknown_type_keeps_its_bytes(failures: FailureEncoder) -> None:
    status = status_pb2.Status(code=5, message='say "no"')
    status.details.add().Pack(details()[0])
    status.details.add(type_url="type.googleapis.com/unknown.v1.Mystery", value=b"\x08\x01")

    body = json.loads(failures.of_status(status, []).body)

    assert body["message"] == 'say "no"'
    assert body["details"][0]["reason"] == "VALIDATION_FAILED"
    assert body["details"][1] == {"@type": "type.googleapis.com/unknown.v1.Mystery", "value": "CAE="}


def test_damaged_details_are_an_internal_error(failures: FailureEncoder) -> None:
    failure = failures.of_call(call_error(grpc.StatusCode.NOT_FOUND, status=b"\xff"), an_exchange())

    assert (failure.http_status, failure.reason) == (500, "INTERNAL")


def test_a_server_that_is_away_is_worth_a_retry(failures: FailureEncoder) -> None:
    failure = failures.of_call(call_error(grpc.StatusCode.UNAVAILABLE), an_exchange())

    assert (failure.http_status, failure.reason) == (503, "SERVER_UNREACHABLE")
    assert (b"retry-after", b"1") in failure.headers


@pytest.mark.parametrize(
    ("problem", "http_status"),
    [
        (BadRequest.of("page_size", "must not be negative"), 400),
        (BadRequest.of("pageSzie", "is not a parameter", unknown=True), 400),
        (wrong_method("POST", ["GET"]), 405),
        (body_too_large(10), 413),
        (Problem("UNSUPPORTED_MEDIA_TYPE", "no"), 415),
        (Problem("LOCKED_OUT", "wait", retry_after=899.5), 423),
        (Problem("RATE_LIMITED", "wait", retry_after=1.2), 429),
        (Problem("CREDENTIAL_EXPIRED", "over"), 401),
        (Problem("ROUTE_NOT_FOUND", "no"), 404),
    ],
)
def test_the_status_of_our_own_errors_follows_from_the_catalogue(
    failures: FailureEncoder, problem: Problem, http_status: int
) -> None:
    failure = failures.of_problem(problem, "id-1")

    assert failure.http_status == http_status
    assert info(failure.body)["reason"] == problem.reason
    assert json.loads(failure.body)["details"][-1]["requestId"] == "id-1"


def test_the_time_to_wait_is_rounded_up(failures: FailureEncoder) -> None:
    failure = failures.of_problem(Problem("RATE_LIMITED", "wait", retry_after=1.2), "id-1")

    assert (b"retry-after", b"2") in failure.headers


@pytest.mark.parametrize(
    ("reason", "challenge"),
    [
        ("CREDENTIAL_MISSING", b'Bearer realm="strikeline"'),
        ("CREDENTIAL_INVALID", b'Bearer realm="strikeline", error="invalid_token"'),
    ],
)
def test_401_challenges(failures: FailureEncoder, reason: str, challenge: bytes) -> None:
    failure = failures.of_problem(Problem(reason, "no"), "id-1")

    assert (b"www-authenticate", challenge) in failure.headers

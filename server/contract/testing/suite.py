"""The tests that every method of the contract must pass, over gRPC and over HTTP, with equal results.

Import `*` into a test module of one's own, or name this file to pytest.
"""

from __future__ import annotations

import grpc
import httpx
import pytest
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from server.contract.errors import load_catalogue
from server.contract.methods import Method
from server.contract.testing.examples import example_of
from server.contract.testing.examples.example import Wrong, changed
from server.contract.testing.faults import Fault
from server.contract.testing.fixtures import *  # noqa: F403 - fixtures work in the module that holds them
from server.contract.testing.fixtures import Callers
from server.contract.testing.generation import meaningful_messages
from server.contract.testing.http_calls import Inexpressible, http_request
from server.contract.testing.outcomes import without
from server.contract.testing.system import SCOPES
from server.contract.testing.world import World

USES = (
    "method", "guarded_method", "public_method", "account_method", "safe_method",
    "fault", "http_fault", "wrong", "missing", "foreign", "stream", "transport",
)  # fmt: skip
"""Names that the plugin makes cases for in a module that imports this one."""

SYSTEM_DRAWS_TOO = pytest.mark.filterwarnings("ignore:Do not use the .random. module inside strategies")
"""A system that runs in the tests' own process uses `random` while an example is drawn."""

ALLOWED_CODES = frozenset(
    {
        grpc.StatusCode.OK,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
)
"""What a request that the contract allows may come to, the end of the caller's quota included. A fault of the server
is none of it."""


def with_account(method: Method, request: Message, account: str) -> Message:
    """A copy of the request that names another account."""
    return changed(request, **{method.policy.account_field.replace(".", "__"): account})


def test_the_example_succeeds(method: Method, transport: str, callers: Callers, world: World) -> None:
    """A right request gets an answer of the promised type."""
    outcome = callers[transport].call(method, example_of(method).request(world), world.token())

    assert outcome.succeeded, (outcome.failure, outcome.text)
    assert type(outcome.message) is method.output


def test_a_stream_begins_with_what_became_of_its_items(
    stream: Method, transport: str, callers: Callers, world: World
) -> None:
    """The first message of a stream has number 1 and says what was subscribed."""
    outcome = callers[transport].call(stream, example_of(stream).request(world), world.token())

    assert outcome.answer.WhichOneof("event") == "subscribed"
    assert getattr(outcome.answer, "sequence") == 1
    assert getattr(outcome.answer, "subscribed").stream


def test_both_transports_give_the_same_answer(method: Method, callers: Callers, world: World) -> None:
    """The gateway adds nothing and loses nothing."""
    example = example_of(method)
    outcomes = [callers[name].call(method, example.request(world), world.token()) for name in ("grpc", "http")]

    direct, transcoded = (without(outcome.answer, example.volatile) for outcome in outcomes)
    assert transcoded == direct


def test_no_credential_is_refused(guarded_method: Method, transport: str, callers: Callers, world: World) -> None:
    """Default deny: only methods that say so are public."""
    outcome = callers[transport].call(guarded_method, example_of(guarded_method).request(world), None)

    assert outcome.failure == ("UNAUTHENTICATED", "CREDENTIAL_MISSING", ())


def test_a_damaged_credential_is_refused(
    guarded_method: Method, transport: str, callers: Callers, world: World
) -> None:
    """A token whose signature does not hold is worth nothing."""
    token = world.token()
    damaged = token[:-6] + ("AAAAAA" if token[-6:] != "AAAAAA" else "BBBBBB")

    outcome = callers[transport].call(guarded_method, example_of(guarded_method).request(world), damaged)

    assert outcome.failure == ("UNAUTHENTICATED", "CREDENTIAL_INVALID", ())


def test_an_expired_credential_is_refused(
    guarded_method: Method, transport: str, callers: Callers, world: World
) -> None:
    """A client can tell an old token from a bad one."""
    expired = world.signer.token(world.owner.user, lifetime=-60)

    outcome = callers[transport].call(guarded_method, example_of(guarded_method).request(world), expired)

    assert outcome.failure == ("UNAUTHENTICATED", "CREDENTIAL_EXPIRED", ())
    assert set(outcome.metadata) == {"expired_at"}


def test_no_other_scope_implies_the_methods_own(
    guarded_method: Method, transport: str, callers: Callers, world: World
) -> None:
    """A token with all scopes but the method's is refused, and the scope is named."""
    needed = guarded_method.policy.scope.lower()
    token = world.token(scopes=[scope for scope in SCOPES if scope != needed])

    outcome = callers[transport].call(guarded_method, example_of(guarded_method).request(world), token)

    assert outcome.failure == ("PERMISSION_DENIED", "SCOPE_MISSING", ())
    assert outcome.metadata == {"scope": needed}


def test_the_methods_own_scope_is_enough(guarded_method: Method, callers: Callers, world: World) -> None:
    """A token needs the method's scope and no other."""
    token = world.token(scopes=[guarded_method.policy.scope.lower()])

    outcome = callers["grpc"].call(guarded_method, example_of(guarded_method).request(world), token)

    assert outcome.succeeded, (outcome.failure, outcome.text)


def test_a_public_method_needs_no_credential(
    public_method: Method, transport: str, callers: Callers, world: World
) -> None:
    """Public methods answer anybody."""
    outcome = callers[transport].call(public_method, example_of(public_method).request(world), None)

    assert outcome.succeeded, (outcome.failure, outcome.text)


def test_another_users_account_is_refused(
    account_method: Method, transport: str, callers: Callers, world: World
) -> None:
    """An account that is named and foreign is refused as such."""
    request = with_account(account_method, example_of(account_method).request(world), world.stranger.account)

    outcome = callers[transport].call(account_method, request, world.token())

    assert outcome.failure == ("PERMISSION_DENIED", "ACCOUNT_FORBIDDEN", ())


def test_an_account_that_does_not_exist_looks_like_another_users(
    account_method: Method, transport: str, callers: Callers, world: World
) -> None:
    """Nobody learns which accounts exist."""
    request = with_account(account_method, example_of(account_method).request(world), "no-such-account")

    outcome = callers[transport].call(account_method, request, world.token())

    assert outcome.failure == ("PERMISSION_DENIED", "ACCOUNT_FORBIDDEN", ())


def test_a_resource_that_does_not_exist_is_not_found(
    missing: Method, transport: str, callers: Callers, world: World
) -> None:
    """An unknown id is not found, with the reason that fits its kind."""
    example = example_of(missing)
    assert example.missing is not None

    ending = callers[transport].end_of_stream if missing.server_streaming else callers[transport].call
    outcome = ending(missing, example.missing(world), world.token())

    assert outcome.failure[:2] == ("NOT_FOUND", example.missing_reason)


def test_another_users_resource_is_not_found(foreign: Method, transport: str, callers: Callers, world: World) -> None:
    """Nobody learns which ids exist."""
    example = example_of(foreign)
    assert example.foreign is not None

    outcome = callers[transport].call(foreign, example.foreign(world), world.token())

    assert outcome.failure[:2] == ("NOT_FOUND", "RESOURCE_NOT_FOUND")


def test_a_field_out_of_its_bounds_is_named(fault: tuple[Method, Fault], callers: Callers, world: World) -> None:
    """Each bound of the contract holds, and the refusal names the field."""
    assert_named(fault, "grpc", callers, world)


def test_a_field_out_of_its_bounds_is_named_over_http(
    http_fault: tuple[Method, Fault], callers: Callers, world: World
) -> None:
    """Likewise for every bound that a path, a query or a body can break."""
    assert_named(http_fault, "http", callers, world)


def assert_named(fault: tuple[Method, Fault], transport: str, callers: Callers, world: World) -> None:
    """Spoils the method's example and expects that the refusal names the spoilt field."""
    method, flaw = fault
    request = example_of(method).request(world)
    flaw.apply(request)

    outcome = callers[transport].call(method, request, world.token())

    assert outcome.failure[:2] == ("INVALID_ARGUMENT", "VALIDATION_FAILED"), outcome.text
    assert flaw.field in outcome.fields


def test_a_wrong_request_is_refused_with_its_reason(
    wrong: tuple[Method, Wrong], transport: str, callers: Callers, world: World
) -> None:
    """What no single field tells is refused with its own reason."""
    method, case = wrong
    request = example_of(method).request(world)
    case.change(request)

    outcome = callers[transport].call(method, request, world.token())

    assert outcome.reason == case.reason, outcome.text
    assert not case.field or case.field in outcome.fields


def test_a_failure_has_the_code_and_status_of_its_reason(
    guarded_method: Method, transport: str, callers: Callers, world: World
) -> None:
    """A reason always comes with one code and one HTTP status, and with an id to quote."""
    outcome = callers[transport].call(guarded_method, example_of(guarded_method).request(world), None)

    reason = load_catalogue().reason(outcome.reason)
    assert outcome.code is reason.code
    assert outcome.headers.get(":status", str(reason.http_status)) == str(reason.http_status)
    assert outcome.request_id


def test_the_callers_correlation_id_comes_back(method: Method, transport: str, callers: Callers, world: World) -> None:
    """A caller finds its own id in the answer."""
    request = example_of(method).request(world)

    outcome = callers[transport].call(method, request, world.token(), **{"x-correlation-id": "contract-test-4711"})

    assert outcome.headers["x-correlation-id"] == "contract-test-4711"


@SYSTEM_DRAWS_TOO
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(data=st.data())
def test_no_allowed_request_is_a_fault_of_the_server(
    method: Method, callers: Callers, scratch: World, data: st.DataObject
) -> None:
    """Random requests within the contract never meet an internal error."""
    request = data.draw(meaningful_messages(method.request, scratch.known))

    outcome = callers["grpc"].call(method, request, scratch.token())

    assert outcome.code in ALLOWED_CODES, (outcome.failure, outcome.text)


@SYSTEM_DRAWS_TOO
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(data=st.data())
def test_both_transports_treat_any_allowed_request_alike(
    safe_method: Method, callers: Callers, world: World, data: st.DataObject
) -> None:
    """Random requests come to the same end over both transports."""
    request = data.draw(meaningful_messages(safe_method.request, world.known))
    try:
        transcoded = callers["http"].call(safe_method, request, world.token())
    except Inexpressible:
        reject()

    direct = callers["grpc"].call(safe_method, request, world.token())

    assert transcoded.failure == direct.failure


def test_another_http_method_is_refused_with_those_allowed(
    method: Method, http_client: httpx.Client, world: World
) -> None:
    """405 says which HTTP methods the path has."""
    sent = http_request(method, example_of(method).request(world))

    response = http_client.request("OPTIONS" if sent.verb == "TRACE" else "TRACE", sent.path)

    assert response.status_code == httpx.codes.METHOD_NOT_ALLOWED
    assert sent.verb in response.headers["allow"].split(", ")


def test_a_query_parameter_that_the_request_does_not_have_is_refused(
    method: Method, http_client: httpx.Client, world: World
) -> None:
    """A misspelt parameter is never ignored."""
    sent = http_request(method, example_of(method).request(world))
    headers = {"Authorization": f"Bearer {world.token()}", "Content-Type": "application/json"}

    response = http_client.request(
        sent.verb, sent.path, params=[*sent.query, ("pageSzie", "1")], content=sent.body, headers=headers
    )

    assert response.status_code == httpx.codes.BAD_REQUEST
    assert "pageSzie" in response.text

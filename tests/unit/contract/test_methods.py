"""What the server reads about its methods from the protos, and which protos it refuses."""

from collections.abc import Callable

import pytest
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2, descriptor_pool, duration_pb2
from google.protobuf.descriptor import FileDescriptor

from server.contract.methods import ContractError, HttpRule, load_contract
from strikeline.v1 import market_data_service_pb2, method_pb2

Fault = Callable[[descriptor_pb2.MethodDescriptorProto], None]


def policy_of(method: descriptor_pb2.MethodDescriptorProto) -> method_pb2.MethodPolicy:
    return method.options.Extensions[method_pb2.policy]


def without(extension: object) -> Fault:
    return lambda method: method.options.ClearExtension(extension)


def with_policy(**values: object) -> Fault:
    return lambda method: policy_of(method).MergeFrom(method_pb2.MethodPolicy(**values))


def clear_policy(field: str) -> Fault:
    return lambda method: policy_of(method).ClearField(field)


def as_stream(kind: str) -> Fault:
    return lambda method: setattr(method, kind, True)


def service_file(name: str, fault: Fault | None = None) -> FileDescriptor:
    """A file with one unary RPC that is right, but for one deliberate fault."""
    file = descriptor_pb2.FileDescriptorProto(name=f"test/{name}.proto", package=f"test.{name}", syntax="proto3")
    file.dependency.append("strikeline/v1/account_service.proto")
    method = file.service.add(name="ThingService").method.add(
        name="GetThing",
        input_type=".strikeline.v1.GetAccountRequest",
        output_type=".strikeline.v1.Account",
    )
    method.options.Extensions[annotations_pb2.http].get = "/v1/things/{account}"
    method.options.idempotency_level = descriptor_pb2.MethodOptions.NO_SIDE_EFFECTS
    policy_of(method).CopyFrom(
        method_pb2.MethodPolicy(
            scope=method_pb2.SCOPE_READ,
            rate_class=method_pb2.RATE_CLASS_GENERAL,
            deadline=duration_pb2.Duration(seconds=2),
            account_field="account",
        )
    )
    if fault is not None:
        fault(method)
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    return pool.FindFileByName(file.name)


def test_a_method_is_known_with_all_that_the_proto_says() -> None:
    method = load_contract().method("/strikeline.v1.MarketDataService/BatchGetQuotes")

    assert method.input is market_data_service_pb2.BatchGetQuotesRequest
    assert method.output is market_data_service_pb2.BatchGetQuotesResponse
    assert not method.server_streaming
    assert method.safe
    assert (method.policy.scope, method.policy.rate_class, method.policy.deadline) == ("READ", "GENERAL", 2.0)
    assert method.http == (HttpRule("GET", "/v1/quotes:batchGet", "", ""),)


def test_a_stream_has_no_deadline_and_draws_from_the_quota_of_streams() -> None:
    method = load_contract().method("/strikeline.v1.StrategyService/StreamM2m")

    assert method.server_streaming
    assert method.policy.deadline is None
    assert method.policy.rate_class == "STREAM"


def test_the_account_of_an_update_is_found_within_its_resource() -> None:
    method = load_contract().method("/strikeline.v1.StrategyService/UpdateLeg")

    assert method.policy.account_field == "leg.account"
    assert method.http[0] == HttpRule(
        "PATCH", "/v1/accounts/{leg.account}/strategies/{leg.strategy}/legs/{leg.leg}", "leg", ""
    )


def test_methods_are_ordered_and_grouped_by_service() -> None:
    contract = load_contract()

    assert [method.path for method in contract] == sorted(contract.methods)
    assert contract.services == (
        "strikeline.v1.AccountService",
        "strikeline.v1.FuturesService",
        "strikeline.v1.InstrumentService",
        "strikeline.v1.MarketDataService",
        "strikeline.v1.OptionService",
        "strikeline.v1.StrategyService",
        "strikeline.v1.SystemService",
    )
    assert [method.name for method in contract if method.service == "strikeline.v1.AccountService"] == [
        "CreateAccount",
        "GetAccount",
        "ListAccounts",
    ]


def test_every_method_that_names_an_account_checks_its_owner() -> None:
    unguarded = [
        method.path
        for method in load_contract()
        if any("{account}" in rule.path or ".account}" in rule.path for rule in method.http)
        and not method.policy.account_field
    ]

    assert unguarded == []


def test_a_method_that_changes_something_is_no_http_get() -> None:
    wrong = [
        method.path for method in load_contract() if not method.safe and any(rule.verb == "GET" for rule in method.http)
    ]

    assert wrong == []


def test_a_method_that_changes_nothing_is_an_http_get_unless_its_request_is_a_body() -> None:
    others = [rule for method in load_contract() if method.safe for rule in method.http if rule.verb != "GET"]

    assert {(rule.verb, rule.body) for rule in others} == {("POST", "*")}
    assert all(":" in rule.path for rule in others)


def test_a_right_file_is_accepted() -> None:
    contract = load_contract([service_file("right")])

    assert list(contract.methods) == ["/test.right.ThingService/GetThing"]


@pytest.mark.parametrize(
    ("name", "fault", "complaint"),
    [
        ("nopolicy", without(method_pb2.policy), "has no policy option"),
        ("noscope", clear_policy("scope"), "without scope or rate class"),
        ("noclass", clear_policy("rate_class"), "without scope or rate class"),
        ("nodeadline", clear_policy("deadline"), "calls have a deadline"),
        ("streamdeadline", as_stream("server_streaming"), "streams have none"),
        ("streamclass", with_policy(rate_class=method_pb2.RATE_CLASS_STREAM), "RATE_CLASS_STREAM"),
        ("noaccount", with_policy(account_field="strategy.account"), "account_field strategy.account is no field"),
        ("nohttp", without(annotations_pb2.http), "no google.api.http rule"),
        ("nopath", lambda m: m.options.Extensions[annotations_pb2.http].additional_bindings.add(), "without a path"),
        ("noidempotency", lambda method: method.options.ClearField("idempotency_level"), "no idempotency_level"),
        ("clientstream", as_stream("client_streaming"), "streams from the client"),
    ],
)
def test_a_file_with_a_fault_is_refused_with_the_methods_name(name: str, fault: Fault, complaint: str) -> None:
    with pytest.raises(ContractError, match=complaint) as raised:
        load_contract([service_file(name, fault)])

    assert f"test.{name}.ThingService.GetThing" in str(raised.value)

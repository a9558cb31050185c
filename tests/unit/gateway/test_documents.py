"""OpenAPI and AsyncAPI: valid, complete, stable."""

import base64
import json
from functools import reduce
from importlib import resources

import jsonschema
import protovalidate
import pytest
from google.protobuf import json_format
from google.protobuf.message import Message
from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway.asyncapi import asyncapi
from gateway.comments import read_comments, summary
from gateway.examples import BODIES
from gateway.openapi import openapi
from gateway.transcoder.routes import Route, routes_of
from server.contract.methods import Contract, load_contract
from server.market.feeds.kite_instruments import parse_instruments
from tests.fixtures.everything import Everything


@pytest.fixture(scope="module")
def contract() -> Contract:
    return load_contract()


@pytest.fixture(scope="module")
def commented() -> bytes:
    return resources.files("generated").joinpath("descriptors_with_comments.binpb").read_bytes()


@pytest.fixture(scope="module")
def document(contract: Contract, commented: bytes) -> dict:
    return json.loads(openapi(contract, commented))


@pytest.fixture(scope="module")
def streams(contract: Contract, commented: bytes) -> dict:
    return json.loads(asyncapi(contract, commented))


def references(value: object) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*map(references, value.values()))
    if isinstance(value, list):
        return set().union(*map(references, value))
    return set()


def at(document: dict, reference: str) -> object:
    for part in reference.removeprefix("#/").split("/"):
        document = document[part]
    return document


def test_the_openapi_document_is_valid(document: dict) -> None:
    OpenAPIV31SpecValidator(document).validate()


def test_the_everything_contract_makes_a_valid_document_too(everything: Everything) -> None:
    contract = load_contract([everything.pool.FindFileByName("everything/v1/everything.proto")])

    found = json.loads(openapi(contract, everything.descriptors))

    OpenAPIV31SpecValidator(
        {**found, "paths": {path: _without_report(item) for path, item in found["paths"].items()}}
    ).validate()
    assert "/v1/shelves/{string_value_1}/books/{string_value_2}" in found["paths"]
    assert found["components"]["schemas"]["everything.v1.Specimen"]["properties"]["anotherName"] == {"type": "string"}


def _without_report(item: dict) -> dict:
    """OpenAPI knows no HTTP methods beside the usual ones."""
    return {verb: operation for verb, operation in item.items() if verb != "report"}


def test_every_route_is_in_the_document(contract: Contract, document: dict) -> None:
    rules = {(rule.verb.lower(), rule.path) for method in contract for rule in method.http}

    assert {(verb, path) for path, item in document["paths"].items() for verb in item} == rules


def test_the_same_contract_gives_the_same_bytes(contract: Contract, commented: bytes) -> None:
    assert openapi(contract, commented) == openapi(load_contract(), commented)
    assert asyncapi(contract, commented) == asyncapi(load_contract(), commented)


def test_an_operation_says_what_the_proto_says(document: dict) -> None:
    operation = document["paths"]["/v1/bars"]["get"]

    names = {item["name"]: item for item in operation["parameters"]}
    assert operation["operationId"] == "MarketDataService_ListBars"
    assert operation["summary"]
    assert names["instrument"]["required"]
    assert names["startTime"]["schema"]["format"] == "date-time"
    assert operation["x-strikeline-policy"]["scope"] == "READ"
    assert operation["responses"]["default"] == {"$ref": "#/components/responses/Error"}
    assert operation["security"] == [{"bearer": []}]


def example_request(route: Route) -> Message:
    """The request that the documentation's body makes, with a word for each part of the path."""
    body = BODIES[f"{route.method.service.rpartition('.')[2]}.{route.method.name}"]
    request = route.method.input()
    target = request if route.rule.body == "*" else getattr(request, route.rule.body)
    target.SetInParent()
    json_format.ParseDict(body, target)
    for path in (variable.field_path for variable in route.template.variables):
        *parents, last = path.split(".")
        owner = reduce(getattr, parents, request)
        setattr(owner, last, "x")
    return request


@pytest.mark.parametrize(
    "route", [route for route in routes_of(load_contract()) if route.rule.body], ids=lambda route: route.method.name
)
def test_the_example_of_a_body_is_what_the_contract_allows(document: dict, route: Route) -> None:
    request = example_request(route)

    operation = document["paths"][route.rule.path][route.rule.verb.lower()]
    shown = operation["requestBody"]["content"]["application/json"]["example"]
    assert shown == BODIES[f"{route.method.service.rpartition('.')[2]}.{route.method.name}"]
    assert protovalidate.Validator().collect_violations(request) == []


def test_no_example_is_of_a_method_that_takes_no_body() -> None:
    taking = {
        f"{r.method.service.rpartition('.')[2]}.{r.method.name}" for r in routes_of(load_contract()) if r.rule.body
    }

    assert set(BODIES) == taking


def test_the_example_of_a_file_is_a_file() -> None:
    found = parse_instruments(base64.b64decode(str(BODIES["InstrumentService.ImportInstruments"]["csv"])))

    assert [item.key for item in found.instruments] == ["NSE:INFY"]


def test_a_public_method_needs_no_credential(document: dict) -> None:
    assert document["paths"]["/v1/serverInfo"]["get"]["security"] == []


def test_every_field_of_the_public_contract_is_described(document: dict) -> None:
    own = {name: item for name, item in document["components"]["schemas"].items() if not name.startswith("google.")}

    missing = [f"{name}.{field}" for name, item in own.items() for field, schema in item.get("properties", {}).items()
               if "description" not in schema]  # fmt: skip
    assert missing == []


def test_every_stream_is_a_channel(contract: Contract, streams: dict) -> None:
    assert streams["asyncapi"] == "3.0.0"
    assert set(streams["channels"]) == {
        "socket",
        *(item.name for item in contract if item.server_streaming),
    }


def test_every_reference_leads_somewhere(document: dict, streams: dict) -> None:
    for found in (document, streams):
        assert all(at(found, reference) for reference in references(found))


@pytest.mark.parametrize(
    ("message", "example"),
    [
        ("authenticate", {"auth": "token"}),
        ("call", {"id": "1", "method": "MarketDataService.StreamTicks", "request": {"instruments": ["NSE:INFY"]}}),
        ("cancel", {"id": 1, "cancel": True}),
        ("authenticated", {"authenticated": True}),
        ("message", {"id": "1", "message": {"sequence": "1"}}),
        ("done", {"id": "1", "status": "OK", "done": True}),
        ("error", {"id": "1", "status": "NOT_FOUND", "error": {"code": 5, "message": "no", "details": []}}),
    ],
)
def test_the_sockets_messages_fit_their_schemas(streams: dict, message: str, example: dict) -> None:
    payload = streams["channels"]["socket"]["messages"][message]["payload"]

    jsonschema.validate(example, {**payload, "components": streams["components"]})


def test_comments_are_read_by_name(commented: bytes) -> None:
    comments = read_comments(commented)

    assert comments["strikeline.v1.Tick.last_price"].startswith("Last traded price")
    assert comments["strikeline.v1.MarketDataService.StreamTicks"]
    assert comments["strikeline.v1.SlowConsumer.SLOW_CONSUMER_CONFLATE"]


def test_a_summary_is_the_first_sentence() -> None:
    assert summary("Streams every tick. The first message says more.\n\nAnd so on.") == "Streams every tick"
    assert summary("One line") == "One line"

"""The OpenAPI 3.1 document of the HTTP routes. The same contract gives the same bytes."""

from __future__ import annotations

from collections.abc import Iterator

import orjson
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.rpc import status_pb2

from gateway.comments import read_comments, summary
from gateway.examples import BODIES
from gateway.schemas import Schemas, is_required
from gateway.transcoder.routes import WHOLE_BODY, Route, fields_at, routes_of
from gateway.transcoder.template import ANY_REST, ANY_SEGMENT
from gateway.transcoder.values import TEXTUAL, WELL_KNOWN, WRAPPED, Json, JsonObject, is_map
from gateway.version import VERSION
from server.contract.methods import PUBLIC, Contract, Policy

DEEPEST = 3
"""Levels of nested messages whose fields are listed as query parameters."""

_ERROR: JsonObject = {"$ref": "#/components/responses/Error"}
_ABOUT = (
    "Indian F&O market data, strategies and live M2M. The same methods are served over gRPC. Times are UTC; 64-bit "
    "integers and money are strings; an absent value is left out; every error is a google.rpc.Status."
)


def openapi(contract: Contract, commented: bytes) -> bytes:
    """The document as JSON. `commented`: the contract's descriptors with comments."""
    schemas = Schemas(read_comments(commented))
    paths: dict[str, Json] = {}
    for route in routes_of(contract):
        path, names = _path(route)
        operations = paths.setdefault(path, {})
        if isinstance(operations, dict):
            operations[route.rule.verb.lower()] = _operation(route, names, schemas)
    status: Json = schemas.ref(status_pb2.Status.DESCRIPTOR)
    services = sorted({method.service for method in contract})
    document: JsonObject = {
        "openapi": "3.1.0",
        "info": {"title": "Strikeline", "version": VERSION, "description": _ABOUT},
        "servers": [{"url": "/"}],
        "tags": [{"name": _tag(name), "description": schemas.comment(name)} for name in services],
        "paths": {path: paths[path] for path in sorted(paths)},
        "components": {
            "schemas": schemas.collected(),
            "responses": {
                "Error": {
                    "description": "Why the call failed.",
                    "content": {"application/json": {"schema": status}},
                }
            },
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }
    return orjson.dumps(document)


def _tag(service: str) -> str:
    return service.rpartition(".")[2]


def _path(route: Route) -> tuple[str, dict[str, FieldDescriptor]]:
    """The path as OpenAPI writes it, and the field of each of its parameters.

    OpenAPI knows no parameter of several segments: each wildcard gets a parameter of its own.
    """
    segments = list(route.template.segments)
    parameters: dict[str, FieldDescriptor] = {}
    for variable in route.template.variables:
        end = len(segments) if variable.end is None else variable.end
        wild = [index for index in range(variable.start, end) if segments[index] in (ANY_SEGMENT, ANY_REST)]
        for count, index in enumerate(wild, start=1):
            name = variable.field_path if len(wild) == 1 else f"{variable.field_path}_{count}"
            segments[index] = f"{{{name}}}"
            parameters[name] = fields_at(route.request, variable.field_path)[-1]
    verb = f":{route.template.verb}" if route.template.verb else ""
    return f"/{'/'.join(segments)}{verb}", parameters


def _operation(route: Route, names: dict[str, FieldDescriptor], schemas: Schemas) -> JsonObject:
    method = route.method
    comment = schemas.comment(method.full_name)
    parameters: list[Json] = [
        {"name": name, "in": "path", "required": True, "schema": schemas.field(field)} for name, field in names.items()
    ]
    parameters.extend(_query(route, schemas))
    position = method.http.index(route.rule)
    operation: JsonObject = {
        "operationId": f"{_tag(method.service)}_{method.name}{f'_{position}' if position else ''}",
        "tags": [_tag(method.service)],
        "summary": summary(comment),
        "description": comment,
        "parameters": parameters,
        "responses": {"200": _success(route, schemas), "default": _ERROR},
        "security": [] if method.policy.scope == PUBLIC else [{"bearer": []}],
        "x-strikeline-policy": policy_of(method.policy),
    }
    if route.rule.body:
        body: JsonObject = {"schema": _body(route, schemas)}
        example = BODIES.get(f"{_tag(method.service)}.{method.name}")
        if example is not None:
            body["example"] = example
        operation["requestBody"] = {"required": True, "content": {"application/json": body}}
    return operation


def policy_of(policy: Policy) -> JsonObject:
    """What the contract promises about a method, for readers."""
    found: JsonObject = {"scope": policy.scope, "rateClass": policy.rate_class}
    if policy.deadline is not None:
        found["deadlineSeconds"] = policy.deadline
    if policy.cache_seconds:
        found["cacheSeconds"] = policy.cache_seconds
    return found


def _body(route: Route, schemas: Schemas) -> JsonObject:
    if route.rule.body == WHOLE_BODY:
        return schemas.ref(route.request)
    return schemas.field(route.request.fields_by_name[route.rule.body])


def _success(route: Route, schemas: Schemas) -> JsonObject:
    output: Descriptor = route.method.output.DESCRIPTOR  # type: ignore[assignment]
    if route.rule.response_body:
        schema = schemas.field(output.fields_by_name[route.rule.response_body])
    else:
        schema = schemas.ref(output)
    if route.method.server_streaming:
        content: JsonObject = {
            "application/x-ndjson": {"schema": schema, "x-streaming": "one message a line"},
            "text/event-stream": {"schema": schema, "x-streaming": "one message an event; its id is the resume token"},
        }
    else:
        content = {"application/json": {"schema": schema}}
    return {"description": schemas.comment(output.full_name) or "The answer.", "content": content}


def _query(route: Route, schemas: Schemas) -> Iterator[JsonObject]:
    if route.rule.body == WHOLE_BODY:
        return
    for name, field in _parameters(route.request, "", "", 1, route.bound):
        schema = schemas.field(field)
        description = str(schema.pop("description", ""))
        yield {
            "name": name,
            "in": "query",
            "description": description,
            "required": "." not in name and is_required(field),
            "schema": schema,
        }


def _parameters(
    message: Descriptor, prefix: str, path: str, level: int, bound: frozenset[str]
) -> Iterator[tuple[str, FieldDescriptor]]:
    for field in message.fields:
        name, proto_path = f"{prefix}{field.json_name}", f"{path}{field.name}"
        inner = field.message_type
        if proto_path in bound or is_map(field):
            continue
        if inner is None or inner.full_name in WRAPPED | TEXTUAL:
            yield name, field
        elif not field.is_repeated and inner.full_name not in WELL_KNOWN and level < DEEPEST:
            yield from _parameters(inner, f"{name}.", f"{proto_path}.", level + 1, bound)

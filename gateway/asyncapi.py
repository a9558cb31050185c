"""The AsyncAPI 3 document of the streams and of the WebSocket. The same contract gives the same bytes."""

from __future__ import annotations

import orjson
from google.protobuf.descriptor import Descriptor
from google.rpc import status_pb2

from gateway.comments import read_comments, summary
from gateway.openapi import policy_of
from gateway.schemas import Schemas
from gateway.transcoder.values import Json, JsonObject
from gateway.version import VERSION
from server.contract.methods import Contract, Method

_SOCKET = "socket"
_ABOUT = (
    "Streams over HTTP (NDJSON or server-sent events, as `Accept` asks) and the WebSocket `/v1/ws`, which carries many "
    "calls at once, each under an id of the client's choice."
)


def asyncapi(contract: Contract, commented: bytes) -> bytes:
    """The document as JSON. `commented`: the contract's descriptors with comments."""
    schemas = Schemas(read_comments(commented))
    methods = list(contract)
    streams = [method for method in methods if method.server_streaming]
    channels: dict[str, Json] = {_SOCKET: _socket(methods, schemas)}
    operations: dict[str, Json] = {
        "sendCommand": {"action": "receive", "channel": _channel(_SOCKET), "messages": _messages(_SOCKET, _COMMANDS)},
        "receiveEvent": {"action": "send", "channel": _channel(_SOCKET), "messages": _messages(_SOCKET, _EVENTS)},
    }
    for method in streams:
        channels[method.name] = _stream(method, schemas)
        operations[f"receive{method.name}"] = {
            "action": "send",
            "channel": _channel(method.name),
            "summary": summary(schemas.comment(method.full_name)),
            "description": schemas.comment(method.full_name),
            "x-strikeline-policy": policy_of(method.policy),
        }
    document: JsonObject = {
        "asyncapi": "3.0.0",
        "info": {"title": "Strikeline streams", "version": VERSION, "description": _ABOUT},
        "defaultContentType": "application/json",
        "servers": {
            "gateway": {
                **_ELSEWHERE,
                "security": [{"$ref": "#/components/securitySchemes/bearer"}],
            }
        },
        "channels": channels,
        "operations": operations,
        "components": {
            "schemas": schemas.collected(),
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }
    return orjson.dumps(document)


def placed(document: bytes, host: str, *, encrypted: bool) -> bytes:
    """The document for a reader who has reached this gateway at `host`."""
    here: JsonObject = {"host": host, "protocol": "wss" if encrypted else "ws"}
    return document.replace(_members(_ELSEWHERE), _members(here), 1)


def _members(value: JsonObject) -> bytes:
    return orjson.dumps(value)[1:-1]


_ELSEWHERE: JsonObject = {"host": "localhost:8080", "protocol": "ws"}
"""The server of a document that nobody has asked for yet."""

_COMMANDS = ("authenticate", "call", "cancel")
_FAILED = "The call of that id failed and is over; without id a command is not obeyed, and no call is touched by it."
_EVENTS = ("authenticated", "message", "done", "error")


def _channel(name: str) -> JsonObject:
    return {"$ref": f"#/channels/{name}"}


def _messages(channel: str, names: tuple[str, ...]) -> list[Json]:
    return [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in names]


def _stream(method: Method, schemas: Schemas) -> JsonObject:
    output: Descriptor = method.output.DESCRIPTOR  # type: ignore[assignment]
    return {
        "address": method.http[0].path,
        "description": schemas.comment(method.full_name),
        "messages": {output.name: {"contentType": "application/x-ndjson", "payload": schemas.ref(output)}},
        "bindings": {"http": {"method": method.http[0].verb}},
    }


def _socket(methods: list[Method], schemas: Schemas) -> JsonObject:
    requests: list[Json] = [schemas.ref(method.input.DESCRIPTOR) for method in methods]  # type: ignore[arg-type]
    responses: list[Json] = [schemas.ref(method.output.DESCRIPTOR) for method in methods]  # type: ignore[arg-type]
    names: list[Json] = [f"{method.service.rpartition('.')[2]}.{method.name}" for method in methods]
    call_id: JsonObject = {
        "type": ["string", "integer"],
        "description": "The client's name.",
        "maxLength": 64,
    }
    status: JsonObject = {"type": "string", "description": "Name of the gRPC code."}
    method_name: JsonObject = {"type": "string", "enum": names}
    error: Json = schemas.ref(status_pb2.Status.DESCRIPTOR)
    return {
        "address": "/v1/ws",
        "description": "Sub-protocols: `json`, and `protobuf` with the messages SocketCommand and SocketEvent.",
        "messages": {
            "authenticate": _object("Proves who the client is.", {"auth": {"type": "string"}}),
            "call": _object("Calls a method.", {"id": call_id, "method": method_name, "request": {"anyOf": requests}}),
            "cancel": _object("Ends a call.", {"id": call_id, "cancel": {"const": True}}),
            "authenticated": _object("The credential holds.", {"authenticated": {"const": True}}),
            "message": _object("A response of a method.", {"id": call_id, "message": {"anyOf": responses}}),
            "done": _object("The call is complete.", {"id": call_id, "status": status, "done": {"const": True}}),
            "error": _object(_FAILED, {"id": call_id, "status": status, "error": error}, optional="id"),
        },
        "bindings": {"ws": {"method": "GET"}},
    }


def _object(text: str, properties: JsonObject, optional: str = "") -> JsonObject:
    required: list[Json] = [name for name in properties if name != optional]
    return {"summary": text, "payload": {"type": "object", "properties": properties, "required": required}}

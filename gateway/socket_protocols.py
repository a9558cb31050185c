"""The two sub-protocols of `/v1/ws`: JSON objects as text, or SocketCommand and SocketEvent as binary messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol, TypeAlias

import orjson
from google.protobuf.message import DecodeError

from gateway.transcoder.binder import parse_json
from gateway.transcoder.endpoint import Endpoint
from gateway.transcoder.failure import Failure
from gateway.transcoder.problem import BadRequest, Problem
from gateway.transcoder.values import JsonObject
from strikeline.v1 import socket_pb2

CallId: TypeAlias = "str | int"
LONGEST_ID = 64


@dataclass(frozen=True)
class Authenticate:
    """The client shows a bearer token."""

    token: str


@dataclass(frozen=True)
class Cancel:
    """The client ends a call."""

    id: CallId


@dataclass(frozen=True)
class Start:
    """The client calls a method."""

    id: CallId
    method: str
    request: JsonObject | bytes
    """A JSON object, or the serialised message, as the sub-protocol has it."""


Command: TypeAlias = "Authenticate | Cancel | Start"


class BadCommand(Exception):
    """A message from the client that cannot be understood."""

    def __init__(self, call_id: CallId | None, problem: Problem) -> None:
        super().__init__(str(problem))
        self.id = call_id
        self.problem = problem


class SocketProtocol(Protocol):
    """How commands and events look on the wire."""

    def command(self, message: Mapping[str, object]) -> Command:
        """The command in an ASGI message. Raises BadCommand."""
        ...

    def message(self, call_id: CallId, wire: bytes, endpoint: Endpoint) -> dict[str, object]:
        """A response of a method, as an ASGI message."""
        ...

    def ended(self, call_id: CallId, code: str) -> dict[str, object]:
        """A call is complete, or was cancelled by the client."""
        ...

    def failed(self, call_id: CallId | None, failure: Failure) -> dict[str, object]:
        """A call failed; without id, a command was not understood."""
        ...

    def authenticated(self) -> dict[str, object]:
        """The credential holds."""
        ...


class JsonProtocol:
    """Sub-protocol `json`."""

    def command(self, message: Mapping[str, object]) -> Command:
        """See SocketProtocol."""
        content = message.get("text") or message.get("bytes") or b""
        raw = content.encode() if isinstance(content, str) else content
        try:
            value = parse_json(raw if isinstance(raw, bytes) else b"")
        except Problem as error:
            raise BadCommand(None, error) from error
        if not isinstance(value, dict):
            raise BadCommand(None, BadRequest.of("body", "must be a JSON object"))
        return _command(value)

    def message(self, call_id: CallId, wire: bytes, endpoint: Endpoint) -> dict[str, object]:
        """See SocketProtocol."""
        return _text(b'{"id":%b,"message":%b}' % (orjson.dumps(call_id), endpoint.json(wire)))

    def ended(self, call_id: CallId, code: str) -> dict[str, object]:
        """See SocketProtocol."""
        return _text(b'{"id":%b,"status":"%b","done":true}' % (orjson.dumps(call_id), code.encode()))

    def failed(self, call_id: CallId | None, failure: Failure) -> dict[str, object]:
        """See SocketProtocol."""
        code = failure.code.name.encode()
        if call_id is None:
            return _text(b'{"status":"%b","error":%b}' % (code, failure.body))
        return _text(b'{"id":%b,"status":"%b","error":%b}' % (orjson.dumps(call_id), code, failure.body))

    def authenticated(self) -> dict[str, object]:
        """See SocketProtocol."""
        return _text(b'{"authenticated":true}')


_MEMBERS = frozenset({"id", "auth", "method", "request", "cancel"})


def _command(value: JsonObject) -> Command:
    stated = value.get("id")
    unknown = sorted(value.keys() - _MEMBERS)
    known_id = stated if isinstance(stated, (str, int)) and not isinstance(stated, bool) else None
    if unknown:
        raise BadCommand(known_id, BadRequest.of(unknown[0], "is not a member of a command", unknown=True))
    token = value.get("auth")
    if isinstance(token, str):
        return Authenticate(token.removeprefix("Bearer "))
    if known_id is None or not 1 <= len(str(known_id)) <= LONGEST_ID:
        raise BadCommand(None, BadRequest.of("id", f"must be text of 1 to {LONGEST_ID} characters, or a number"))
    if value.get("cancel") is True:
        return Cancel(known_id)
    method, request = value.get("method"), value.get("request", {})
    if not isinstance(method, str):
        raise BadCommand(known_id, BadRequest.of("method", "must be text such as MarketDataService.StreamTicks"))
    if not isinstance(request, dict):
        raise BadCommand(known_id, BadRequest.of("request", "must be an object"))
    return Start(known_id, method, request)


def _text(content: bytes) -> dict[str, object]:
    return {"type": "websocket.send", "text": content.decode()}


class ProtobufProtocol:
    """Sub-protocol `protobuf`."""

    def command(self, message: Mapping[str, object]) -> Command:
        """See SocketProtocol."""
        content = message.get("bytes")
        if not isinstance(content, bytes):
            raise BadCommand(None, BadRequest.of("body", "must be a binary message"))
        try:
            command = socket_pb2.SocketCommand.FromString(content)
        except DecodeError as error:
            raise BadCommand(None, BadRequest.of("body", "is no SocketCommand")) from error
        kind = command.WhichOneof("command")
        if kind == "auth":
            return Authenticate(command.auth)
        if not 1 <= len(command.id) <= LONGEST_ID:
            raise BadCommand(None, BadRequest.of("id", f"must have 1 to {LONGEST_ID} characters"))
        if kind == "cancel":
            return Cancel(command.id)
        if kind != "call":
            raise BadCommand(command.id, BadRequest.of("command", "must be auth, call or cancel"))
        return Start(command.id, command.call.method, command.call.request)

    def message(self, call_id: CallId, wire: bytes, endpoint: Endpoint) -> dict[str, object]:  # noqa: ARG002
        """See SocketProtocol."""
        return _binary(socket_pb2.SocketEvent(id=str(call_id), message=wire))

    def ended(self, call_id: CallId, code: str) -> dict[str, object]:  # noqa: ARG002 - a cancelled call is done too
        """See SocketProtocol."""
        return _binary(socket_pb2.SocketEvent(id=str(call_id), done=True))

    def failed(self, call_id: CallId | None, failure: Failure) -> dict[str, object]:
        """See SocketProtocol."""
        return _binary(socket_pb2.SocketEvent(id=str(call_id or ""), error=failure.status))

    def authenticated(self) -> dict[str, object]:
        """See SocketProtocol."""
        return _binary(socket_pb2.SocketEvent(authenticated=True))


def _binary(event: socket_pb2.SocketEvent) -> dict[str, object]:
    return {"type": "websocket.send", "bytes": event.SerializeToString()}


PROTOCOLS: Mapping[str, SocketProtocol] = MappingProxyType({"json": JsonProtocol(), "protobuf": ProtobufProtocol()})

"""Calls over HTTP: turns a request message into an HTTP request by the contract's rules, and the answer back.

It shares no code with the gateway, so that each is the other's check.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import quote

import grpc
import httpx
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.rpc import status_pb2

from server.contract.methods import Method
from server.contract.testing.outcomes import Outcome, failure_of

TIMEOUT_SECONDS = 20.0
_VARIABLE = re.compile(r"\{([a-z0-9_.]+)(?:=[^}]*)?\}")


LONGEST_URL = 32_000
"""Characters. Longer ones are refused by clients and proxies."""


class Inexpressible(Exception):
    """The request has no form in HTTP, such as one with an empty id in its path."""


@dataclass(frozen=True)
class HttpRequest:
    """What is sent."""

    verb: str
    path: str
    query: tuple[tuple[str, str], ...]
    body: str | None


def http_request(method: Method, request: Message) -> HttpRequest:
    """The HTTP form of a request by the method's principal rule. Raises Inexpressible."""
    rule = method.http[0]
    rest = type(request)()
    rest.CopyFrom(request)
    path = rule.path
    for match in _VARIABLE.finditer(rule.path):
        value = _take(rest, match[1])
        if not value:
            raise Inexpressible(f"{match[1]} is empty")
        path = path.replace(match[0], quote(value, safe=":"))
    body: str | None = None
    if rule.body == "*":
        return HttpRequest(rule.verb, path, (), json_format.MessageToJson(rest))
    if rule.body and rest.HasField(rule.body):
        body = json_format.MessageToJson(getattr(rest, rule.body))
        rest.ClearField(rule.body)
    query = tuple(_query(rest, ""))
    if len(path) + sum(len(name) + len(value) + 2 for name, value in query) > LONGEST_URL:
        raise Inexpressible("the URL would be too long")
    return HttpRequest(rule.verb, path, query, body)


def expressible(method: Method, spoil: Callable[[Message], None]) -> bool:
    """Whether a request that `spoil` changes still has a form in HTTP."""
    request = method.input()
    for match in _VARIABLE.finditer(method.http[0].path):
        *parents, last = match[1].split(".")
        target: Message = request
        for name in parents:
            target = getattr(target, name)
        setattr(target, last, "x")
    spoil(request)
    try:
        http_request(method, request)
    except Inexpressible:
        return False
    return True


def _take(message: Message, path: str) -> str:
    """The text of the field at a dotted path, which is removed."""
    *parents, last = path.split(".")
    for name in parents:
        message = getattr(message, name)
    value = str(getattr(message, last))
    message.ClearField(last)
    return value


def _query(message: Message, prefix: str) -> Iterator[tuple[str, str]]:
    for field, value in message.ListFields():
        name = f"{prefix}{field.camelcase_name}"
        for item in value if field.is_repeated else (value,):
            if field.message_type is not None and not field.message_type.full_name.startswith("google.protobuf."):
                yield from _query(item, f"{name}.")
            else:
                yield name, _text(field, item)


def _text(field: FieldDescriptor, value: object) -> str:
    if isinstance(value, Message):
        return str(json.loads(json_format.MessageToJson(value)))
    if field.enum_type is not None and isinstance(value, int):
        known = field.enum_type.values_by_number.get(value)
        return known.name if known is not None else str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)


class HttpCaller:
    """Calls any method of the contract through a gateway."""

    name = "http"

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def call(self, method: Method, request: Message, token: str | None, **headers: str) -> Outcome:
        """What the call comes to; of a stream, its first message. Raises Inexpressible."""
        with self._response(method, request, token, headers) as response:
            if method.server_streaming and response.status_code == httpx.codes.OK:
                return _outcome(method, response, next(response.iter_lines(), ""))
            return _outcome(method, response, response.read().decode())

    def end_of_stream(self, method: Method, request: Message, token: str) -> Outcome:
        """How a stream ends that ends by itself."""
        with self._response(method, request, token, {}) as response:
            return _outcome(method, response, list(response.iter_lines())[-1])

    @contextmanager
    def _response(
        self, method: Method, request: Message, token: str | None, headers: Mapping[str, str]
    ) -> Iterator[httpx.Response]:
        sent, own = http_request(method, request), dict(headers)
        if token is not None:
            own["Authorization"] = f"Bearer {token}"
        if sent.body is not None:
            own["Content-Type"] = "application/json"
        if method.server_streaming:
            own["Accept"] = "application/x-ndjson"
        with self._client.stream(
            sent.verb, sent.path, params=list(sent.query), content=sent.body, headers=own, timeout=TIMEOUT_SECONDS
        ) as response:
            yield response


def _outcome(method: Method, response: httpx.Response, text: str) -> Outcome:
    headers = {key.lower(): value for key, value in response.headers.items()}
    content = json.loads(text)
    if response.status_code != httpx.codes.OK or "error" in content:
        status = json_format.ParseDict(content.get("error", content), status_pb2.Status())
        return failure_of(status, {**headers, ":status": str(response.status_code)})
    answer = json_format.ParseDict(content, method.output())
    return Outcome(grpc.StatusCode.OK, message=answer, headers={**headers, ":status": str(response.status_code)})

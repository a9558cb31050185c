"""From the parts of an HTTP request (path variables, query, body) to the JSON value of the gRPC request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import orjson
from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from gateway.transcoder.problem import BadRequest, body_malformed
from gateway.transcoder.query import QueryBinder, json_of
from gateway.transcoder.routes import WHOLE_BODY, Route, fields_at
from gateway.transcoder.template import Variable
from gateway.transcoder.values import WELL_KNOWN, Json, JsonObject, field_named, key_of, set_once

MOST_VALUES = 1_000_000
"""Most values in one body: a value costs far more memory than its bytes."""

RESUME_TOKEN = "resume_token"  # noqa: S105 - a field's name
UPDATE_MASK = "update_mask"
ETAG = "etag"
"""Says which state of the resource the caller has seen, and is no part of that state."""

_FIXED = frozenset({field_behavior_pb2.OUTPUT_ONLY, field_behavior_pb2.IDENTIFIER, field_behavior_pb2.IMMUTABLE})


@dataclass(frozen=True)
class _Bound:
    variable: Variable
    fields: tuple[FieldDescriptor, ...]


class Binder:
    """Binds the requests of one route."""

    def __init__(self, route: Route) -> None:
        request, body = route.request, route.rule.body
        self._route = route
        self._variables = [_Bound(item, fields_at(request, item.field_path)) for item in route.template.variables]
        self._query = QueryBinder(request, route.bound, open=body != WHOLE_BODY)
        self._resume = _resume_path(request)
        self._body = request.fields_by_name[body] if body not in ("", WHOLE_BODY) else None
        self._masked = self._masked_field()

    def _masked_field(self) -> FieldDescriptor | None:
        mask = self._route.request.fields_by_name.get(UPDATE_MASK)
        if self._route.rule.verb != "PATCH" or self._body is None or self._body.message_type is None or mask is None:
            return None
        return mask if mask.message_type is not None else None

    @property
    def takes_body(self) -> bool:
        """Whether the route has a body."""
        return bool(self._route.rule.body)

    def bind(self, segments: Sequence[str], query: bytes, body: bytes, resume_token: str = "") -> JsonObject:
        """The request as a JSON value. Raises BadRequest."""
        value = self._from_body(body)
        if query:
            self._query.bind(query, value)
        for bound in self._variables:
            set_once(value, bound.fields, _path_value(bound, segments), bound.variable.field_path)
        if resume_token and self._resume:
            self._set_resume_token(value, resume_token)
        if self._masked is not None and self._masked.json_name not in value:
            self._derive_mask(value)
        return value

    def _from_body(self, body: bytes) -> JsonObject:
        if not self._route.rule.body or not body:
            return {}
        content = parse_json(body)
        if self._body is not None:
            return {self._body.json_name: content}
        if not isinstance(content, dict):
            raise BadRequest.of("body", "must be a JSON object")
        return content

    def _set_resume_token(self, value: JsonObject, token: str) -> None:
        for field in self._resume[:-1]:
            inner = value.setdefault(key_of(value, field), {})
            if not isinstance(inner, dict):
                raise BadRequest.of(field.name, "must be an object")
            value = inner
        value[key_of(value, self._resume[-1])] = token

    def _derive_mask(self, value: JsonObject) -> None:
        """Without a mask, a PATCH changes what its body names, except what the path names and no client changes."""
        assert self._body is not None and self._body.message_type is not None and self._masked is not None  # noqa: S101, PT018
        content = value.get(self._body.json_name)
        if isinstance(content, dict):
            bound = {path.removeprefix(f"{self._body.name}.") for path in self._route.bound}
            paths = [path for path in _leaves(self._body.message_type, content, "") if _proto_path(path) not in bound]
            if paths:
                value[self._masked.json_name] = ",".join(paths)


def _path_value(bound: _Bound, segments: Sequence[str]) -> Json:
    path = bound.variable.field_path
    try:
        text = bound.variable.extract(segments)
    except UnicodeDecodeError as error:
        raise BadRequest.of(path, "is not percent-encoded UTF-8") from error
    return json_of(bound.fields[-1], text, path)


def parse_json(body: bytes) -> Json:
    """Any JSON value. Raises BadRequest that says where the text is broken."""
    if body.count(b",") + body.count(b"[") + body.count(b"{") > MOST_VALUES:
        raise BadRequest.of("body", f"has more than {MOST_VALUES} values")
    try:
        content: Json = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise body_malformed(error.msg, error.lineno, error.colno) from error
    return content


def _resume_path(request: Descriptor) -> tuple[FieldDescriptor, ...]:
    """Where a streaming request keeps its resume token; empty when it has none."""
    own = request.fields_by_name.get(RESUME_TOKEN)
    if own is not None:
        return (own,)
    for field in request.fields:
        inner = field.message_type
        if inner is not None and not field.is_repeated and RESUME_TOKEN in inner.fields_by_name:
            return (field, inner.fields_by_name[RESUME_TOKEN])
    return ()


def _leaves(message: Descriptor, content: JsonObject, prefix: str) -> Iterator[str]:
    """JSON paths of the fields that `content` names, down to what is no plain message."""
    for name, inner in content.items():
        field = field_named(message, name)
        if field is None or _is_fixed(field):
            continue  # the codec refuses an unknown one and names it
        path = f"{prefix}{field.json_name}"
        kind = None if field.is_repeated else field.message_type
        if kind is not None and kind.full_name not in WELL_KNOWN and isinstance(inner, dict) and inner:
            yield from _leaves(kind, inner, f"{path}.")
        else:
            yield path


def _is_fixed(field: FieldDescriptor) -> bool:
    """Whether an update never changes the field: it is there since the resource was read before it was changed."""
    behaviours = field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
    return field.name == ETAG or not _FIXED.isdisjoint(behaviours)


def _proto_path(path: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in path)

"""Query parameters as the JSON value of a request.

`name=value`, in JSON names or proto names; `a.b=value` for nested fields, repeated for repeated ones, `a[key]=value`
for maps. A name that the request does not have, that path or body bind, or that is given twice though it is single, is
refused and named.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from gateway.transcoder.problem import BadRequest, Violation
from gateway.transcoder.values import FREE_FORM, TEXTUAL, WRAPPED, Json, JsonObject, expectation, field_named, is_map

CACHE_BUSTER = "_"
"""The one parameter that is ignored: browsers' libraries add it to defeat caches."""

_SUBSCRIPT = re.compile(r"([^\[\]]+)\[([^\[\]]*)\]")
_NUMBER = re.compile(r"-?[0-9]+")
_BOOLEANS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}
_INTEGERS = frozenset({
    FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT32,
    FieldDescriptor.CPPTYPE_UINT64,
})  # fmt: skip


def split(query: bytes) -> Iterator[tuple[str, str]]:
    """The decoded names and values, in order. Raises BadRequest for text that is not UTF-8."""
    for part in query.split(b"&"):
        if part:
            name, _, value = part.partition(b"=")
            yield _decoded(name), _decoded(value)


def _decoded(part: bytes) -> str:
    try:
        if b"%" not in part and b"+" not in part:
            return part.decode()
        return unquote_to_bytes(part.replace(b"+", b" ")).decode()
    except UnicodeDecodeError as error:
        raise BadRequest.of("query", "is not percent-encoded UTF-8") from error


@dataclass(frozen=True)
class QueryBinder:
    """Binds the parameters of one route."""

    request: Descriptor
    bound: frozenset[str]
    """Field paths that path and body bind."""

    open: bool
    """False when the body is the whole request: then there are no parameters."""

    def bind(self, query: bytes, value: JsonObject) -> None:
        """Sets the parameters in `value`. Raises BadRequest that names every wrong one."""
        wrong: list[Violation] = []
        for name, text in split(query):
            if name == CACHE_BUSTER:
                continue
            try:
                self._set(name, text, value)
            except BadRequest as error:
                wrong.extend(error.violations)
        if wrong:
            raise BadRequest(wrong)

    def _set(self, name: str, text: str, value: JsonObject) -> None:
        if not self.open:
            raise BadRequest.of(name, "is not a parameter: the body is the whole request")
        match = _SUBSCRIPT.fullmatch(name)
        fields = self._resolve(match[1] if match else name, name)
        path = ".".join(field.name for field in fields)
        parent, leaf = _descend(value, fields[:-1], path), fields[-1]
        if match:
            _set_map(parent, leaf, match[2], text, path)
        elif leaf.is_repeated and not is_map(leaf):
            items = parent.setdefault(leaf.json_name, [])
            if isinstance(items, list):
                items.append(json_of(leaf, text, f"{path}[{len(items)}]"))
        elif leaf.json_name in parent:
            raise BadRequest.of(path, "is given twice")
        else:
            parent[leaf.json_name] = json_of(leaf, text, path)

    def _resolve(self, path: str, name: str) -> list[FieldDescriptor]:
        message: Descriptor | None = self.request
        fields: list[FieldDescriptor] = []
        for part in path.split("."):
            field = field_named(message, part) if message is not None else None
            if field is None or (fields and fields[-1].is_repeated):
                raise BadRequest.of(name, "is not a parameter of this method", unknown=True)
            fields.append(field)
            message = field.message_type
        canonical = ".".join(field.name for field in fields)
        if canonical in self.bound or fields[0].name in self.bound:
            raise BadRequest.of(canonical, "is bound by the path or the body and may not be a parameter too")
        return fields


def _descend(value: JsonObject, parents: list[FieldDescriptor], name: str) -> JsonObject:
    for field in parents:
        inner = value.setdefault(field.json_name, {})
        if not isinstance(inner, dict):
            raise BadRequest.of(name, f"{field.name} is given as a whole already")
        value = inner
    return value


def _set_map(parent: JsonObject, field: FieldDescriptor, key: str, text: str, name: str) -> None:
    if not is_map(field) or field.message_type is None:
        raise BadRequest.of(name, "is not a map")
    entries = parent.setdefault(field.json_name, {})
    if not isinstance(entries, dict) or key in entries:
        raise BadRequest.of(name, "is given twice")
    entries[key] = json_of(field.message_type.fields_by_name["value"], text, name)


def json_of(field: FieldDescriptor, text: str, name: str) -> Json:
    """One value of the field as JSON; numbers stay text, which ProtoJSON reads. Raises BadRequest that names `name`."""
    if field.message_type is not None:
        return _json_of_message(field.message_type, text, name)
    if field.type == FieldDescriptor.TYPE_BOOL:
        if text.lower() not in _BOOLEANS:
            raise BadRequest.of(name, expectation(field))
        return _BOOLEANS[text.lower()]
    if field.enum_type is not None:
        return _enum_value(field, field.enum_type, text, name)
    if field.cpp_type in _INTEGERS and not _NUMBER.fullmatch(text):
        raise BadRequest.of(name, expectation(field))
    return text


def _enum_value(field: FieldDescriptor, enum: EnumDescriptor, text: str, name: str) -> Json:
    if text in enum.values_by_name:
        return text
    if _NUMBER.fullmatch(text) and int(text) in enum.values_by_number:
        return int(text)
    raise BadRequest.of(name, expectation(field))


def _json_of_message(message: Descriptor, text: str, name: str) -> Json:
    kind = message.full_name
    if kind in WRAPPED:
        return json_of(message.fields_by_name["value"], text, name)
    if kind == "google.protobuf.FieldMask":
        return ",".join(_camel_case(path) for path in text.split(","))
    if kind == "google.protobuf.Timestamp":
        return text.replace(" ", "+")  # an offset such as +05:30 that was not percent-encoded
    if kind in TEXTUAL:
        return text
    if kind in FREE_FORM or message.fields:
        raise BadRequest.of(name, "is a message: give its fields one by one")
    raise BadRequest.of(name, "cannot be a parameter")


def _camel_case(path: str) -> str:
    return re.sub(r"_([a-z0-9])", lambda match: match[1].upper(), path)

"""Query parameters as the JSON value of a request.

`name=value`, in JSON names or proto names; `a.b=value` for nested fields, repeated for repeated ones, `a[key]=value`
for maps. A name that the request does not have, that path or body bind, or that is given twice though it is single, is
refused and named.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from gateway.transcoder.problem import BadRequest, Violation
from gateway.transcoder.values import FREE_FORM, TEXTUAL, WRAPPED, Json, JsonObject, expectation, field_named, is_map

CACHE_BUSTER = b"_"
"""The one parameter that is ignored: browsers' libraries add it to defeat caches."""

MOST_REMEMBERED = 256
"""Names of parameters that one route remembers."""

_SUBSCRIPT = re.compile(r"([^\[\]]+)\[([^\[\]]*)\]")
_NUMBER = re.compile(r"-?[0-9]+")
_BOOLEANS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}
_INTEGERS = frozenset({
    FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT32,
    FieldDescriptor.CPPTYPE_UINT64,
})  # fmt: skip
_TEXTS = frozenset({FieldDescriptor.CPPTYPE_STRING, FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT})


def _is_escaped(query: bytes) -> bool:
    """Whether its text is another than its bytes."""
    # One search for both signs, by a regular expression, takes ten times as long as two.
    return b"%" in query or b"+" in query or not query.isascii()


def _decoded(part: bytes) -> str:
    try:
        if not _is_escaped(part):
            return part.decode()
        return unquote_to_bytes(part.replace(b"+", b" ")).decode()
    except UnicodeDecodeError as error:
        raise BadRequest.of("query", "is not percent-encoded UTF-8") from error


@dataclass(frozen=True)
class _Parameter:
    """What one name means, found once."""

    path: str
    """Of the field, in proto names."""

    parents: tuple[str, ...]
    """JSON names of the messages that the field is in."""

    name: str
    """JSON name of the field."""

    field: FieldDescriptor
    """The field, or the value of the map."""

    key: str | None
    """Key in a map; None for other fields."""

    repeated: bool
    plain: bool
    """The text is the value."""

    @property
    def plain_list(self) -> bool:
        """Whether all texts of the name are the field's value as they are."""
        return self.repeated and self.plain and not self.parents

    def set(self, value: JsonObject, text: str) -> list[Json] | None:
        """Sets one value. -> the list that further texts belong into as they are; None when there is none.

        Raises BadRequest.
        """
        for parent in self.parents:
            inner = value.setdefault(parent, {})
            if not isinstance(inner, dict):
                raise BadRequest.of(self.path, f"{parent} is given as a whole already")
            value = inner
        if self.repeated:
            items = value.setdefault(self.name, [])
            if not isinstance(items, list):
                return None
            items.append(text if self.plain else json_of(self.field, text, f"{self.path}[{len(items)}]"))
            return items if self.plain else None
        name = self.name
        if self.key is not None:
            entries = value.setdefault(name, {})
            value, name = (entries, self.key) if isinstance(entries, dict) else (value, name)
        if name in value:
            raise BadRequest.of(self.path, "is given twice")
        value[name] = text if self.plain else json_of(self.field, text, self.path)
        return None


class QueryBinder:
    """Binds the parameters of one route."""

    def __init__(self, request: Descriptor, bound: frozenset[str], *, open: bool) -> None:  # noqa: A002
        """`bound`: field paths that path and body bind. `open`: False when the body is the whole request."""
        self._request = request
        self._bound = bound
        self._open = open
        self._known: dict[bytes, _Parameter] = {}

    def bind(self, query: bytes, value: JsonObject) -> None:
        """Sets the parameters in `value`. Raises BadRequest that names every wrong one."""
        if self._bind_list(query, value):
            return
        wrong: list[Violation] = []
        # A list of a hundred instruments is a hundred parameters: its further ones go straight to where the first went.
        lists: dict[bytes, list[Json]] = {}
        decoded = _decoded if _is_escaped(query) else bytes.decode
        for part in query.split(b"&"):
            raw_name, _, raw = part.partition(b"=")
            if not part or raw_name == CACHE_BUSTER:
                continue
            try:
                items = lists.get(raw_name)
                if items is not None:
                    items.append(decoded(raw))
                    continue
                parameter = self._known.get(raw_name) or self._learn(raw_name)
                items = parameter.set(value, decoded(raw))
                if items is not None:
                    lists[raw_name] = items
            except BadRequest as error:
                wrong.extend(error.violations)
        if wrong:
            raise BadRequest(wrong)

    def _bind_list(self, query: bytes, value: JsonObject) -> bool:
        """Binds a query that is nothing but one list of texts, such as a hundred instruments, without a loop."""
        raw_name = query.partition(b"=")[0]
        parameter = self._known.get(raw_name)
        if parameter is None or not parameter.plain_list or _is_escaped(query):
            return False
        texts: list[Json] = [*f"&{query.decode()}".split(f"&{raw_name.decode()}=")[1:]]
        if len(texts) <= query.count(b"&"):
            return False  # other parameters stand between
        value[parameter.name] = texts
        return True

    def _learn(self, raw_name: bytes) -> _Parameter:
        parameter = self._parameter(_decoded(raw_name))
        if parameter.key is None and len(self._known) < MOST_REMEMBERED:
            self._known[raw_name] = parameter
        return parameter

    def _parameter(self, name: str) -> _Parameter:
        if not self._open:
            raise BadRequest.of(name, "is not a parameter: the body is the whole request", unknown=True)
        match = _SUBSCRIPT.fullmatch(name)
        *parents, leaf = self._resolve(match[1] if match else name, name)
        path = ".".join(field.name for field in (*parents, leaf))
        of_map, key = is_map(leaf), match[2] if match else None
        if of_map != (match is not None):
            raise BadRequest.of(path, "is a map: give its entries as name[key]" if of_map else "is not a map")
        field = leaf.message_type.fields_by_name["value"] if of_map and leaf.message_type is not None else leaf
        plain = field.cpp_type in _TEXTS and field.message_type is None
        names = tuple(parent.json_name for parent in parents)
        return _Parameter(path, names, leaf.json_name, field, key, leaf.is_repeated and not of_map, plain)

    def _resolve(self, path: str, name: str) -> list[FieldDescriptor]:
        message: Descriptor | None = self._request
        fields: list[FieldDescriptor] = []
        for part in path.split("."):
            field = field_named(message, part) if message is not None else None
            if field is None or (fields and fields[-1].is_repeated):
                raise BadRequest.of(name, "is not a parameter of this method", unknown=True)
            fields.append(field)
            message = field.message_type
        canonical = ".".join(field.name for field in fields)
        if canonical in self._bound or fields[0].name in self._bound:
            raise BadRequest.of(canonical, "is bound by the path or the body and may not be a parameter too")
        return fields


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

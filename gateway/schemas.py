"""JSON Schemas of messages and enums, as the transcoder writes and reads them."""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from buf.validate import validate_pb2
from gateway.transcoder.values import WELL_KNOWN, Json, JsonObject, is_map

HOME = "strikeline.v1."
_INTEGERS: Mapping[int, str] = {
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_SINT32: "int32",
    FieldDescriptor.TYPE_SFIXED32: "int32",
    FieldDescriptor.TYPE_UINT32: "uint32",
    FieldDescriptor.TYPE_FIXED32: "uint32",
}
_LONG_INTEGERS: Mapping[int, str] = {
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_SINT64: "int64",
    FieldDescriptor.TYPE_SFIXED64: "int64",
    FieldDescriptor.TYPE_UINT64: "uint64",
    FieldDescriptor.TYPE_FIXED64: "uint64",
}
_WELL_KNOWN: Mapping[str, JsonObject] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$", "examples": ["1.5s"]},
    "google.protobuf.FieldMask": {"type": "string", "description": "Field names, separated by commas."},
    "google.protobuf.Empty": {"type": "object", "additionalProperties": False},
    "google.protobuf.Struct": {"type": "object"},
    "google.protobuf.ListValue": {"type": "array"},
    "google.protobuf.Value": {},
    "google.protobuf.Any": {
        "type": "object",
        "properties": {"@type": {"type": "string"}},
        "required": ["@type"],
        "additionalProperties": True,
    },
}


class Schemas:
    """Collects the schemas that a document refers to."""

    def __init__(self, comments: Mapping[str, str]) -> None:
        self._comments = comments
        self._found: dict[str, JsonObject] = {}

    def ref(self, message: Descriptor) -> JsonObject:
        """A reference to the message's schema, which is added with everything it needs."""
        name = message.full_name.removeprefix(HOME)
        if name not in self._found:
            self._found[name] = {}
            self._found[name] = self._message(message)
        return {"$ref": f"#/components/schemas/{name}"}

    def collected(self) -> JsonObject:
        """All schemas by name, sorted."""
        return {name: self._found[name] for name in sorted(self._found)}

    def field(self, field: FieldDescriptor) -> JsonObject:
        """The schema of a field's value, with its comment and its rules."""
        rules = _rules(field)
        if is_map(field) and field.message_type is not None:
            value = self._single(field.message_type.fields_by_name["value"])
            schema: JsonObject = {"type": "object", "additionalProperties": value}
        elif field.is_repeated:
            items: Json = self._single(field) | _bounds(rules.repeated.items)
            schema = {"type": "array", "items": items, **_array_bounds(rules.repeated)}
        else:
            schema = self._single(field) | _bounds(rules)
        comment = self._comments.get(field.full_name)
        return schema | ({"description": comment} if comment else {})

    def comment(self, full_name: str) -> str:
        """The comment of anything; empty without one."""
        return self._comments.get(full_name, "")

    def _message(self, message: Descriptor) -> JsonObject:
        properties: JsonObject = {field.json_name: self.field(field) for field in message.fields}
        schema: JsonObject = {"type": "object", "properties": properties}
        required: list[Json] = [field.json_name for field in message.fields if _rules(field).required]
        if required:
            schema["required"] = required
        comment = self.comment(message.full_name)
        choices = [
            f"At most one of {', '.join(field.json_name for field in oneof.fields)}."
            for oneof in message.oneofs
            if len(oneof.fields) > 1
        ]
        description = "\n\n".join(part for part in (comment, *choices) if part)
        return schema | ({"description": description} if description else {})

    def _single(self, field: FieldDescriptor) -> JsonObject:
        if field.enum_type is not None:
            return self._enum_ref(field.enum_type)
        if field.message_type is not None:
            return self._single_message(field.message_type)
        if field.type in _INTEGERS:
            return {"type": "integer", "format": _INTEGERS[field.type]}
        if field.type in _LONG_INTEGERS:
            return {"type": "string", "format": _LONG_INTEGERS[field.type]}
        if field.type in (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT):
            return {"type": "number", "format": "double" if field.type == FieldDescriptor.TYPE_DOUBLE else "float"}
        if field.type == FieldDescriptor.TYPE_BOOL:
            return {"type": "boolean"}
        if field.type == FieldDescriptor.TYPE_BYTES:
            return {"type": "string", "contentEncoding": "base64"}
        return {"type": "string"}

    def _single_message(self, message: Descriptor) -> JsonObject:
        name = message.full_name
        if name in _WELL_KNOWN:
            return dict(_WELL_KNOWN[name])
        if name in WELL_KNOWN:  # a wrapper
            return self._single(message.fields_by_name["value"])
        return self.ref(message)

    def _enum_ref(self, enum: EnumDescriptor) -> JsonObject:
        name = enum.full_name.removeprefix(HOME)
        if name not in self._found:
            values = [f"- `{value.name}`: {self.comment(f'{enum.full_name}.{value.name}')}" for value in enum.values]
            description = "\n".join(part for part in (self.comment(enum.full_name), "", *values))
            members: list[Json] = [value.name for value in enum.values]
            self._found[name] = {"type": "string", "enum": members, "description": description.strip()}
        return {"$ref": f"#/components/schemas/{name}"}


def is_required(field: FieldDescriptor) -> bool:
    """Whether a request without the field is refused."""
    return bool(_rules(field).required or _rules(field).repeated.min_items or _rules(field).string.min_len)


def _rules(field: FieldDescriptor) -> validate_pb2.FieldRules:
    return field.GetOptions().Extensions[validate_pb2.field]


def _array_bounds(rules: validate_pb2.RepeatedRules) -> JsonObject:
    found: JsonObject = {}
    if rules.HasField("min_items"):
        found["minItems"] = rules.min_items
    if rules.HasField("max_items"):
        found["maxItems"] = rules.max_items
    if rules.unique:
        found["uniqueItems"] = True
    return found


def _bounds(rules: validate_pb2.FieldRules) -> JsonObject:
    kind = rules.WhichOneof("type")
    if kind == "string":
        return _text_bounds(rules.string)
    if kind in ("int32", "uint32", "double", "float"):
        return _number_bounds(getattr(rules, kind))
    return {}


def _text_bounds(rules: validate_pb2.StringRules) -> JsonObject:
    found: JsonObject = {}
    if rules.HasField("min_len"):
        found["minLength"] = rules.min_len
    if rules.HasField("max_len"):
        found["maxLength"] = rules.max_len
    if rules.pattern:
        found["pattern"] = rules.pattern
    return found


def _number_bounds(rules: validate_pb2.Int32Rules | validate_pb2.DoubleRules) -> JsonObject:
    names = {"gte": "minimum", "gt": "exclusiveMinimum", "lte": "maximum", "lt": "exclusiveMaximum"}
    stated = {field.name: value for field, value in rules.ListFields()}
    return {schema: stated[name] for name, schema in names.items() if name in stated}

"""The comments of the protos, by the full name of what they describe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from google.protobuf import descriptor_pb2

# Field numbers in FileDescriptorProto and DescriptorProto, of which SourceCodeInfo's paths are made.
_FILE_MESSAGES, _FILE_ENUMS, _FILE_SERVICES = 4, 5, 6
_FIELDS, _NESTED, _NESTED_ENUMS, _VALUES, _METHODS = 2, 3, 4, 2, 2


def read_comments(descriptors: bytes) -> Mapping[str, str]:
    """Full name → comment as one paragraph per blank-line separated block, for a FileDescriptorSet with comments."""
    found: dict[str, str] = {}
    for file in descriptor_pb2.FileDescriptorSet.FromString(descriptors).file:
        names = dict(_names(file))
        for location in file.source_code_info.location:
            name = names.get(tuple(location.path))
            if name is not None and location.leading_comments:
                found[name] = _text(location.leading_comments)
    return MappingProxyType(found)


def summary(comment: str) -> str:
    """The first sentence."""
    end = comment.find(". ")
    first = comment if end < 0 else comment[: end + 1]
    return first.split("\n", 1)[0].rstrip(".")


def _text(comment: str) -> str:
    blocks = comment.strip().split("\n\n")
    return "\n\n".join(" ".join(line.strip() for line in block.strip().splitlines()) for block in blocks)


def _names(file: descriptor_pb2.FileDescriptorProto) -> Iterator[tuple[tuple[int, ...], str]]:
    prefix = f"{file.package}." if file.package else ""
    for index, message in enumerate(file.message_type):
        yield from _message(message, (_FILE_MESSAGES, index), prefix + message.name)
    for index, enum in enumerate(file.enum_type):
        yield from _enum(enum, (_FILE_ENUMS, index), prefix + enum.name)
    for index, service in enumerate(file.service):
        path, name = (_FILE_SERVICES, index), prefix + service.name
        yield path, name
        yield from _members(service.method, (*path, _METHODS), name)


def _message(
    message: descriptor_pb2.DescriptorProto, path: tuple[int, ...], name: str
) -> Iterator[tuple[tuple[int, ...], str]]:
    yield path, name
    yield from _members(message.field, (*path, _FIELDS), name)
    for index, nested in enumerate(message.nested_type):
        yield from _message(nested, (*path, _NESTED, index), f"{name}.{nested.name}")
    for index, enum in enumerate(message.enum_type):
        yield from _enum(enum, (*path, _NESTED_ENUMS, index), f"{name}.{enum.name}")


def _enum(
    enum: descriptor_pb2.EnumDescriptorProto, path: tuple[int, ...], name: str
) -> Iterator[tuple[tuple[int, ...], str]]:
    yield path, name
    yield from _members(enum.value, (*path, _VALUES), name)


def _members(
    members: Sequence[
        descriptor_pb2.FieldDescriptorProto
        | descriptor_pb2.EnumValueDescriptorProto
        | descriptor_pb2.MethodDescriptorProto
    ],
    path: tuple[int, ...],
    name: str,
) -> Iterator[tuple[tuple[int, ...], str]]:
    for index, member in enumerate(members):
        yield (*path, index), f"{name}.{member.name}"

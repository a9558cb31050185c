"""Wrapper around a protoc plugin that must see messages and services only.

    python -m server.contract.plugins.plain PLUGIN ARGUMENT…

The generator of the typed client would turn every imported option (HTTP rules, validation, policies) into a package of
its own, 3,000 lines of other people's text. It gets the request without options, without what only options need, and
without the files that are no part of the public contract.
"""

import subprocess
import sys
from collections.abc import Iterable

from google.protobuf import descriptor_pb2
from google.protobuf.compiler import plugin_pb2
from google.protobuf.message import Message

PUBLIC_PREFIX = "strikeline/v"
OPTION_FILES = ("google/api/", "buf/validate/", "google/protobuf/descriptor.proto")


def _strip_messages(messages: Iterable[descriptor_pb2.DescriptorProto]) -> None:
    for message in messages:
        map_entry = message.options.map_entry
        message.ClearField("options")
        message.ClearField("extension")
        if map_entry:
            message.options.map_entry = True
        parts: list[Message] = [*message.field, *message.oneof_decl, *message.enum_type]
        for part in parts:
            part.ClearField("options")
        _strip_values(message.enum_type)
        _strip_messages(message.nested_type)


def _strip_values(enums: Iterable[descriptor_pb2.EnumDescriptorProto]) -> None:
    for enum in enums:
        enum.ClearField("options")
        for value in enum.value:
            value.ClearField("options")


def strip(file: descriptor_pb2.FileDescriptorProto) -> None:
    """Removes, in place, every option and the imports that only options need."""
    file.ClearField("options")
    file.ClearField("extension")
    _strip_messages(file.message_type)
    _strip_values(file.enum_type)
    for service in file.service:
        service.ClearField("options")
        for method in service.method:
            method.ClearField("options")
    kept = [name for name in file.dependency if not name.startswith(OPTION_FILES)]
    file.ClearField("dependency")
    file.ClearField("public_dependency")
    file.ClearField("weak_dependency")
    file.dependency.extend(kept)


def plain(request: plugin_pb2.CodeGeneratorRequest) -> plugin_pb2.CodeGeneratorRequest:
    """The request with the public contract and what its messages use, without options."""
    result = plugin_pb2.CodeGeneratorRequest()
    result.CopyFrom(request)
    wanted = {name for name in request.file_to_generate if name.startswith(PUBLIC_PREFIX)}
    for file in result.proto_file:
        strip(file)
    imports = {file.name: list(file.dependency) for file in result.proto_file}
    needed, waiting = set(wanted), list(wanted)
    while waiting:
        found = [name for name in imports[waiting.pop()] if name not in needed]
        needed.update(found)
        waiting.extend(found)
    files = [file for file in result.proto_file if file.name in needed]
    result.ClearField("proto_file")
    result.ClearField("source_file_descriptors")
    result.ClearField("file_to_generate")
    result.proto_file.extend(files)
    result.file_to_generate.extend(sorted(wanted))
    return result


if __name__ == "__main__":
    incoming = plugin_pb2.CodeGeneratorRequest.FromString(sys.stdin.buffer.read())
    done = subprocess.run(sys.argv[1:], input=plain(incoming).SerializeToString(), check=False)
    sys.exit(done.returncode)

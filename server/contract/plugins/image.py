"""Compiles `protos/` with protoc into one image that buf, the generators and the programs read.

protoc is used for this instead of buf because `buf.validate` is installed as a compiled descriptor only (inside the
protovalidate wheel), which protoc can import from and buf cannot. No network is needed.

    python -m server.contract.plugins.image PROTOS BUILD GENERATED

writes BUILD/image.binpb (all source info: for buf), GENERATED/descriptors.binpb (none: for programs) and
GENERATED/descriptors_with_comments.binpb (comments only: for documents).
"""

import importlib.resources
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_tools import protoc

# Types of error details: a reader of the descriptors must know them though no message of ours names them.
ALWAYS_INCLUDED = ("google/rpc/error_details.proto", "google/rpc/status.proto")
OWN_PREFIX = "strikeline/"


class CompileError(Exception):
    """protoc refused the files; its complaints stand on standard error."""


def _dependencies(name: str, known: dict[str, None]) -> None:
    """Collects into `known`, dependencies first, the names of everything that the pool's file `name` imports."""
    for dependency in descriptor_pool.Default().FindFileByName(name).dependencies:
        _dependencies(dependency.name, known)
    known[name] = None


def validate_descriptors() -> descriptor_pb2.FileDescriptorSet:
    """`buf/validate/validate.proto` and what it imports, taken from the installed protovalidate."""
    from google.protobuf import duration_pb2, field_mask_pb2, timestamp_pb2
    from protovalidate._gen.buf.validate import validate_pb

    rules = descriptor_pb2.FileDescriptorProto.FromString(validate_pb.desc().proto.to_binary())
    modules = (descriptor_pb2, duration_pb2, field_mask_pb2, timestamp_pb2)
    names: dict[str, None] = {}
    for module in modules:
        _dependencies(module.DESCRIPTOR.name, names)
    result = descriptor_pb2.FileDescriptorSet()
    for name in names:
        descriptor_pool.Default().FindFileByName(name).CopyToProto(result.file.add())
    result.file.add().CopyFrom(rules)
    return result


def compile_image(protos: Path) -> descriptor_pb2.FileDescriptorSet:
    """Every file under `protos`, error details, and everything they import, with source info."""
    own = sorted(str(path.relative_to(protos)) for path in protos.rglob("*.proto"))
    common = importlib.resources.files("google.api") / ".." / ".."
    bundled = importlib.resources.files("grpc_tools") / "_proto"
    with tempfile.TemporaryDirectory() as folder:
        rules, image = Path(folder, "rules.binpb"), Path(folder, "image.binpb")
        rules.write_bytes(validate_descriptors().SerializeToString(deterministic=True))
        arguments = [
            "protoc", f"--descriptor_set_in={rules}", f"-I{protos}", f"-I{common}", f"-I{bundled}",
            "--include_imports", "--include_source_info", f"--descriptor_set_out={image}",
        ]  # fmt: skip
        if protoc.main([*arguments, *own, *ALWAYS_INCLUDED]) != 0:
            raise CompileError(f"protoc refused the files under {protos}")
        return descriptor_pb2.FileDescriptorSet.FromString(image.read_bytes())


def _commented(info: descriptor_pb2.SourceCodeInfo) -> Iterator[descriptor_pb2.SourceCodeInfo.Location]:
    for location in info.location:
        if location.leading_comments or location.trailing_comments or location.leading_detached_comments:
            kept = descriptor_pb2.SourceCodeInfo.Location()
            kept.CopyFrom(location)
            kept.ClearField("span")
            yield kept


def with_comments(image: descriptor_pb2.FileDescriptorSet) -> descriptor_pb2.FileDescriptorSet:
    """A copy that keeps of the source info the comments in our own files, without positions."""
    result = descriptor_pb2.FileDescriptorSet()
    result.CopyFrom(image)
    for file in result.file:
        locations = list(_commented(file.source_code_info)) if file.name.startswith(OWN_PREFIX) else []
        file.ClearField("source_code_info")
        file.source_code_info.location.extend(locations)
    return result


def without_comments(image: descriptor_pb2.FileDescriptorSet) -> descriptor_pb2.FileDescriptorSet:
    """A copy without source info."""
    result = descriptor_pb2.FileDescriptorSet()
    result.CopyFrom(image)
    for file in result.file:
        file.ClearField("source_code_info")
    return result


def main(protos: str, build: str, generated: str) -> None:
    """Writes the three files that the module's docstring names."""
    image = compile_image(Path(protos))
    targets = {
        Path(build, "image.binpb"): image,
        Path(generated, "descriptors.binpb"): without_comments(image),
        Path(generated, "descriptors_with_comments.binpb"): with_comments(image),
    }
    for path, content in targets.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.SerializeToString(deterministic=True))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except CompileError as error:
        sys.exit(str(error))

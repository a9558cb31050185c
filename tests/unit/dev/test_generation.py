"""The generation pipeline: descriptors are fresh, comments are kept, the typed client sees no options."""

from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.compiler import plugin_pb2

from server.contract.plugins import generate, grpc_python, image, plain

PROJECT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def compiled() -> descriptor_pb2.FileDescriptorSet:
    return image.compile_image(PROJECT / "protos")


def request(compiled: descriptor_pb2.FileDescriptorSet) -> plugin_pb2.CodeGeneratorRequest:
    own = [file.name for file in compiled.file if file.name.startswith("strikeline/")]
    return plugin_pb2.CodeGeneratorRequest(proto_file=compiled.file, file_to_generate=own)


def test_descriptors_are_fresh(compiled):
    generated = PROJECT / "generated"
    assert image.without_comments(compiled) == committed(generated / "descriptors.binpb")
    assert image.with_comments(compiled) == committed(generated / "descriptors_with_comments.binpb")


def committed(path: Path) -> descriptor_pb2.FileDescriptorSet:
    return descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes())


def test_error_details_and_rules_are_included(compiled):
    names = [file.name for file in compiled.file]
    assert {"google/rpc/error_details.proto", "google/rpc/status.proto", "buf/validate/validate.proto"} <= set(names)
    known = set()
    for file in compiled.file:
        assert set(file.dependency) <= known, f"{file.name} stands before its imports"
        known.add(file.name)


def test_comments_are_kept_for_our_files_only(compiled):
    for file in image.with_comments(compiled).file:
        if not file.name.startswith("strikeline/"):
            assert not file.source_code_info.location
    text = image.with_comments(compiled).SerializeToString()
    assert len(text) < len(compiled.SerializeToString())
    assert any(file.source_code_info.location for file in image.with_comments(compiled).file)


def test_a_broken_file_is_an_error(tmp_path, capfd):
    (tmp_path / "x.proto").write_text('syntax = "proto3"; message {')
    with pytest.raises(image.CompileError):
        image.compile_image(tmp_path)
    assert "x.proto:1" in capfd.readouterr().err


def test_the_typed_client_sees_no_options_and_no_internals(compiled):
    stripped = plain.plain(request(compiled))
    names = [file.name for file in stripped.proto_file]
    assert not [name for name in names if name.startswith(("google/api", "buf/", "strikeline/internal"))]
    assert stripped.file_to_generate
    for file in stripped.proto_file:
        assert set(file.dependency) <= set(names)
        assert not file.HasField("options")
        for service in file.service:
            assert not any(method.HasField("options") for method in service.method)
    maps = [
        nested.options.map_entry
        for file in stripped.proto_file
        for message in file.message_type
        for nested in message.nested_type
    ]
    assert all(maps) or not maps


def test_stubs_are_made_for_services_only(compiled):
    made = {file.name for file in grpc_python.generate(request(compiled)).file}
    services = {file.name for file in compiled.file if file.service and file.name.startswith("strikeline/")}
    assert made == {name.replace(".proto", "_pb2_grpc.py") for name in services}


def test_generated_code_is_fresh(monkeypatch, capsys):
    monkeypatch.chdir(PROJECT)
    assert generate.main(["--check"]) == 0, capsys.readouterr().err


def test_differences_are_named(tmp_path):
    fresh, old = tmp_path / "fresh", tmp_path / "old"
    for folder, files in ((fresh, {"a": "1", "b": "1"}), (old, {"b": "2", "c": "1"})):
        folder.mkdir()
        for name, text in files.items():
            (folder / name).write_text(text)
    assert list(generate.differences(fresh, old)) == ["missing: a", "left over: c", "different: b"]

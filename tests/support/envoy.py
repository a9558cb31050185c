"""Envoy as a process of a test: with its own JSON transcoder as a reference, or as this project configures it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from google.api import annotations_pb2
from google.protobuf import descriptor_pb2

from server.dev.probes import listens
from tests.support.system import free_ports
from tests.support.waiting import eventually

READY_SECONDS = 30.0
EXTENSIONS = "type.googleapis.com/envoy.extensions"


def envoy_program() -> str:
    """The binary that the locked package installs."""
    beside = Path(sys.executable).parent / "envoy"
    found = str(beside) if beside.exists() else shutil.which("envoy")
    assert found, "envoy is not installed in this environment"
    return found


@contextlib.asynccontextmanager
async def running_envoy(configuration: Path, port: int) -> AsyncIterator[str]:
    """Runs Envoy while the block runs. -> "host:port" of its listener."""
    log = configuration.with_suffix(".log")
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            envoy_program(), "-c", str(configuration), "--use-dynamic-base-id", "--concurrency", "1", "-l", "warning",
            stdout=output, stderr=output,
        )  # fmt: skip
    try:
        await _listens(port, process, log)
        yield f"127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def validate(configuration: Path) -> tuple[int, str]:
    """`envoy --mode validate`: exit status and output."""
    process = await asyncio.create_subprocess_exec(
        envoy_program(), "--mode", "validate", "-c", str(configuration),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


async def _listens(port: int, process: asyncio.subprocess.Process, log: Path) -> None:
    probe = listens(port)

    async def answers() -> bool:
        assert process.returncode is None, log.read_text()
        return await probe()

    await eventually(answers, READY_SECONDS, what=f"Envoy on port {port}")


@contextlib.asynccontextmanager
async def transcoding_envoy(upstream: str, descriptors: bytes, services: Sequence[str]) -> AsyncIterator[str]:
    """Envoy with grpc_json_transcoder before a gRPC server: the reference of our own transcoder."""
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "descriptors.binpb").write_bytes(_without_response_bodies(descriptors))
        configuration = folder / "envoy.json"
        configuration.write_text(json.dumps(_transcoding(port, upstream, folder / "descriptors.binpb", services)))
        async with running_envoy(configuration, port) as address:
            yield address


def _without_response_bodies(descriptors: bytes) -> bytes:
    """Envoy refuses to start with a `response_body`, so it sees the contract without."""
    files = descriptor_pb2.FileDescriptorSet.FromString(descriptors)
    for method in (method for file in files.file for service in file.service for method in service.method):
        rule = method.options.Extensions[annotations_pb2.http]
        for binding in (rule, *rule.additional_bindings):
            binding.ClearField("response_body")
    return files.SerializeToString()


def _transcoding(port: int, upstream: str, descriptors: Path, services: Sequence[str]) -> dict[str, object]:
    transcoder = {
        "@type": f"{EXTENSIONS}.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
        "proto_descriptor": str(descriptors),
        "services": list(services),
        "convert_grpc_status": True,
        "print_options": {"always_print_primitive_fields": True, "stream_newline_delimited": True},
        "request_validation_options": {"reject_unknown_method": True, "reject_unknown_query_parameters": True},
    }
    filters = [
        {"name": "envoy.filters.http.grpc_json_transcoder", "typed_config": transcoder},
        {
            "name": "envoy.filters.http.router",
            "typed_config": {"@type": f"{EXTENSIONS}.filters.http.router.v3.Router"},
        },
    ]
    route = {"match": {"prefix": "/"}, "route": {"cluster": "api", "timeout": "10s"}}
    manager = {
        "@type": f"{EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "reference",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": filters,
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    host, _, server_port = upstream.rpartition(":")
    endpoint = {"endpoint": {"address": _address(host, int(server_port))}}
    cluster = {
        "name": "api",
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{EXTENSIONS}.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
        "load_assignment": {"cluster_name": "api", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    listener = {"name": "reference", "address": _address("127.0.0.1", port), "filter_chains": [chain]}
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def _address(host: str, port: int) -> dict[str, object]:
    return {"socket_address": {"address": host, "port_value": port}}

"""The gateway against Envoy's own JSON transcoder, before the same api, in a market where every contract trades each
second."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

import numpy as np

from server.dev.probes import listens
from server.domain.instruments import Instrument
from tests.performance.load import http_rate
from tests.performance.market import feeder, list_instruments, pump_here
from tests.performance.processes import api, bench, gateway, program
from tests.performance.report import Figure, alternate, show
from tests.support.system import free_ports

CONNECTIONS = 32
CONTRACTS = 1_000
LIST = 100
FILTERS = "type.googleapis.com/envoy.extensions.filters"
DESCRIPTORS = Path(__file__).parents[2] / "generated" / "descriptors.binpb"


async def run(rounds: int, seconds: float) -> None:
    """Prints the rates of one quote and of lists of 100 through both."""
    async with bench() as setting:
        listed = await list_instruments(setting.database.worker_url, CONTRACTS)
        ids = np.array([item.instrument_id for item in listed], np.int32)
        async with api(setting) as served, gateway(setting, served.target) as ours, envoy(served.target) as theirs:
            await pump_here(setting, ids)
            for load in _loads(listed):
                if load.depth:
                    await pump_here(setting, ids, depth=True)
                rates = [
                    partial(http_rate, at, load.paths, setting.bearer(), CONNECTIONS, seconds) for at in (ours, theirs)
                ]
                async with feeder(setting, listed, CONTRACTS, 20, 2 * rounds * seconds + 30, depth=load.depth):
                    mine, reference = await alternate(rounds, *rates)
                show(
                    f"Transcoding, {CONNECTIONS} connections, {load.name}",
                    [
                        Figure("our gateway", mine, "requests/s"),
                        Figure("Envoy's grpc_json_transcoder", reference, "requests/s"),
                        Figure("our share", mine / reference, "", floor=load.floor),
                    ],
                )


@dataclass(frozen=True)
class _Load:
    name: str
    paths: Sequence[str]
    depth: bool
    """The market sends the levels of the book, as it does of whatever is traded."""
    floor: float


def _loads(listed: Sequence[Instrument]) -> Sequence[_Load]:
    """Those without depth come first: a quote keeps the levels that it had once."""
    keys = [item.key for item in listed]
    lists = [[keys[(first + 7 * at) % CONTRACTS] for at in range(LIST)] for first in range(CONTRACTS)]
    return (
        _Load("1 quote, no depth", [_path(keys[:1])], False, 0.75),
        _Load(f"{LIST} quotes, no depth", [_path(keys[:LIST])], False, 1.0),
        _Load(f"{LIST} quotes", [_path(keys[:LIST])], True, 1.0),
        _Load(f"{LIST} quotes, others each time", [_path(names) for names in lists], True, 1.0),
    )


def _path(keys: Sequence[str]) -> str:
    return "/v1/quotes:batchGet?" + "&".join(f"instruments={quote(key, safe=':')}" for key in keys)


@asynccontextmanager
async def envoy(upstream: str) -> AsyncIterator[str]:
    """Envoy with nothing but its transcoder before `upstream`. -> "host:port"."""
    (port,) = free_ports(1)
    with TemporaryDirectory() as folder:
        configuration = Path(folder) / "envoy.json"
        configuration.write_text(json.dumps(_configuration(port, upstream)))
        command = (
            str(Path(sys.executable).parent / "envoy"),
            "-c",
            str(configuration),
            "--concurrency",
            "1",
            "--use-dynamic-base-id",
            "-l",
            "error",
        )
        async with program(command, listens(port), os.environ):
            yield f"127.0.0.1:{port}"


def _configuration(port: int, upstream: str) -> dict[str, object]:
    services = ["strikeline.v1.MarketDataService"]
    transcoder = {
        "@type": f"{FILTERS}.http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
        "proto_descriptor": str(DESCRIPTORS),
        "services": services,
        "print_options": {"always_print_primitive_fields": True},
        "convert_grpc_status": True,
    }
    router = {"@type": f"{FILTERS}.http.router.v3.Router"}
    route = {"match": {"prefix": "/"}, "route": {"cluster": "api", "timeout": "10s"}}
    manager = {
        "@type": f"{FILTERS}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [
            {"name": "envoy.filters.http.grpc_json_transcoder", "typed_config": transcoder},
            {"name": "envoy.filters.http.router", "typed_config": router},
        ],
    }
    http2 = {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    cluster = {
        "name": "api",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2},
        "load_assignment": {
            "cluster_name": "api",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(int(upstream.split(":")[1]))}}]}],
        },
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    listener = {"name": "bench", "address": _address(port), "filter_chains": [chain]}
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def _address(port: int) -> dict[str, object]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}

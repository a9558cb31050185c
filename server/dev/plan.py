"""Which programs a development system consists of, and what each is told."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from server.dev.envoy import EnvoyPorts
from server.dev.instance import is_free
from server.dev.packages import StackError
from server.dev.probes import answers_http, listens, serves_grpc
from server.dev.stack import StackUrls
from server.dev.supervisor import Program
from server.dev.tokens import Identity

API_ROLE, WORKER_ROLE = "strikeline_api", "strikeline_worker"
FIRST_METRICS_PORT, ADMIN_PORT = 9464, 9901
PYTHON_SERVER = (sys.executable, "-m", "server")


class PortTakenError(StackError):
    """A port that the system must listen on belongs to somebody else."""


@dataclass(frozen=True)
class Feed:
    """What the feed role plays: `kind` is synthetic, replay, ticker or none."""

    kind: str = "synthetic"
    paths: Sequence[str] = ()
    speed: str | None = None

    @property
    def arguments(self) -> list[str]:
        """Arguments of `python -m server feed`."""
        speed = ["--speed", self.speed] if self.speed else []
        return [self.kind, *self.paths, *speed]


@dataclass(frozen=True)
class Ports:
    """Every port of one development system, all on loopback."""

    envoy: EnvoyPorts
    metrics: Mapping[str, int]


def choose_ports(apis: int, environment: Mapping[str, str] = os.environ) -> Ports:
    """Reads the fixed ports from the environment and finds free ones for what only machines read.

    STRIKELINE_FIRST_METRICS_PORT and STRIKELINE_ENVOY_ADMIN_PORT say where to search. Raises PortTakenError
    that names the port and its variable.
    """
    public = _required("STRIKELINE_ENVOY_PORT", 8080, environment)
    gateway = _required("STRIKELINE_GATEWAY_PORT", 8081, environment)
    first = _required("STRIKELINE_GRPC_PORT", 50051, environment)
    more = [_free_from(first + 1 + number) for number in range(apis - 1)]
    names = ["worker", "feed", "gateway", *(f"api-{number + 1}" for number in range(apis))]
    metrics: dict[str, int] = {}
    port = int(environment.get("STRIKELINE_FIRST_METRICS_PORT", FIRST_METRICS_PORT))
    for name in names:
        port = _free_from(port)
        metrics[name] = port
        port += 1
    admin = _free_from(int(environment.get("STRIKELINE_ENVOY_ADMIN_PORT", ADMIN_PORT)))
    return Ports(EnvoyPorts(public, admin, gateway, (first, *more)), metrics)


def _required(variable: str, default: int, environment: Mapping[str, str]) -> int:
    port = int(environment.get(variable, default))
    if not is_free(port):
        raise PortTakenError(f"port {port} is taken by another program: stop it, or set {variable} to a free port")
    return port


def _free_from(port: int) -> int:
    return next(candidate for candidate in range(port, 65536) if is_free(candidate))


def as_role(url: str, role: str) -> str:
    """The same database, connected to as another role without a password (trusted on loopback)."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{role}@{host}"))


def shared_environment(urls: StackUrls, identity: Identity, environment: Mapping[str, str]) -> dict[str, str]:
    """What every role is told; a variable that the user has set wins."""
    told = {
        "STRIKELINE_ENVIRONMENT": "development",
        "STRIKELINE_DATABASE_URL": as_role(urls.database_url, API_ROLE),
        "STRIKELINE_WORKER_DATABASE_URL": as_role(urls.database_url, WORKER_ROLE),
        "MIGRATION_DATABASE_URL": urls.database_url,
        "STRIKELINE_REDIS_URL": urls.redis_url,
        "STRIKELINE_JWKS": str(identity.ensure()),
        "STRIKELINE_STREAM_SECRET": identity.stream_secret(),
        "STRIKELINE_REFLECTION": "true",
        "STRIKELINE_QUOTA_TIER": "internal",
        "PYTHONUNBUFFERED": "1",
    }
    return {name: environment.get(name, value) for name, value in told.items()}


def _role(name: str, arguments: Sequence[str], shared: Mapping[str, str], ports: Ports, **more: str) -> Program:
    environment = {
        **shared, "STRIKELINE_INSTANCE": name, "STRIKELINE_METRICS_PORT": str(ports.metrics[name]), **more
    }  # fmt: skip
    return Program(name, (*PYTHON_SERVER, *arguments), environment, listens(ports.metrics[name]))


def feed_program(feed: Feed, shared: Mapping[str, str], ports: Ports) -> Program:
    """The feed. A replay comes to its end; a synthetic day does not. It is ready once it runs."""
    role = _role("feed", ["feed", *feed.arguments], shared, ports)
    return Program(role.name, role.command, role.environment, finishes=feed.kind == "replay")


def programs(ports: Ports, shared: Mapping[str, str], envoy_configuration: Path) -> list[Program]:
    """Everything but the feed, which starts when these are ready."""
    apis = [
        Program(role.name, role.command, role.environment, serves_grpc(port))
        for number, port in enumerate(ports.envoy.api, start=1)
        for role in [_role(f"api-{number}", ["api"], shared, ports, STRIKELINE_GRPC_ADDRESS=f"127.0.0.1:{port}")]
    ]
    upstreams = ",".join(f"127.0.0.1:{port}" for port in ports.envoy.api)
    gateway = Program(
        "gateway",
        (sys.executable, "-m", "gateway"),
        {
            **shared,
            "STRIKELINE_INSTANCE": "gateway-1",
            "STRIKELINE_GATEWAY_ADDRESS": f"127.0.0.1:{ports.envoy.gateway}",
            "STRIKELINE_UPSTREAM": upstreams,
            "STRIKELINE_METRICS_PORT": str(ports.metrics["gateway"]),
        },
        answers_http(f"http://127.0.0.1:{ports.envoy.gateway}/healthz"),
    )
    return [_role("worker", ["worker"], shared, ports), *apis, gateway, _envoy(ports, envoy_configuration)]


def _envoy(ports: Ports, configuration: Path) -> Program:
    program = Path(sys.executable).parent / "envoy"
    # A dynamic base id lets several Envoys run on one machine.
    quiet = ("--concurrency", "1", "--use-dynamic-base-id", "--log-level", "warning")
    ready = answers_http(f"http://127.0.0.1:{ports.envoy.admin}/ready")
    return Program("envoy", (str(program), "-c", str(configuration), *quiet), {}, ready)

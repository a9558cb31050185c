"""Which programs a development system consists of, and what each is told."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from server.dev.ports import Ports
from server.dev.probes import answers_http, listens, serves_grpc
from server.dev.stack import StackUrls
from server.dev.supervisor import Program
from server.dev.tokens import Identity

API_ROLE, WORKER_ROLE = "strikeline_api", "strikeline_worker"
PYTHON_SERVER = (sys.executable, "-m", "server")


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


def as_role(url: str, role: str) -> str:
    """The same database, connected to as another role, with the same password where the URL has one."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    password = f":{parts.password}" if parts.password else ""
    return urlunsplit(parts._replace(netloc=f"{role}{password}@{host}"))


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
    metrics = ports.metrics[name]
    return Program(name, (*PYTHON_SERVER, *arguments), environment, listens(metrics), ports=(metrics,))


def feed_program(feed: Feed, shared: Mapping[str, str], ports: Ports) -> Program:
    """The feed. A replay comes to its end; a synthetic day does not. It is ready once it runs."""
    role = _role("feed", ["feed", *feed.arguments], shared, ports)
    return Program(role.name, role.command, role.environment, finishes=feed.kind == "replay")


def programs(ports: Ports, shared: Mapping[str, str], envoy_configuration: Path) -> list[Program]:
    """Everything but the feed, which starts when these are ready."""
    apis = [
        Program(role.name, role.command, role.environment, serves_grpc(port), ports=(port, *role.ports))
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
        ports=(ports.envoy.gateway, ports.metrics["gateway"]),
    )
    return [_role("worker", ["worker"], shared, ports), *apis, gateway, _envoy(ports, envoy_configuration)]


def _envoy(ports: Ports, configuration: Path) -> Program:
    program = Path(sys.executable).parent / "envoy"
    # A dynamic base id lets several Envoys run on one machine.
    quiet = ("--concurrency", "1", "--use-dynamic-base-id", "--log-level", "warning")
    ready = answers_http(f"http://127.0.0.1:{ports.envoy.admin}/ready")
    own = (ports.envoy.public, ports.envoy.admin)
    return Program("envoy", (str(program), "-c", str(configuration), *quiet), {}, ready, ports=own)

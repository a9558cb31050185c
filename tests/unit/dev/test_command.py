"""`python -m server dev` with stand-ins for the roles: order, messages, errors, clean end."""

import argparse
import asyncio
import os
import signal
import socket
import sys

import pytest

from server.__main__ import parser
from server.dev import command, plan, welcome
from server.dev.envoy import EnvoyPorts, render
from server.dev.ports import Ports, Reservations, choose_ports
from server.dev.probes import listens
from server.dev.stack import StackUrls
from server.dev.supervisor import Program, ProgramError, Supervisor
from server.dev.tokens import Identity
from tests.support.system import free_ports
from tests.support.waiting import eventually

SERVER = """
import sys, time
role, *rest = sys.argv[1:]
if role == "account" and rest != ["create", "--user", "demo", "--account", "demo"]: sys.exit("bad account")
if role == "feed" and rest[0] == "replay": print("{}\\nreplay finished: 12,345 ticks"); sys.exit(0)
if role == "broken": sys.exit("no such revision")
"""


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A folder with a stand-in server, whose gateway is an HTTP server on the public port."""
    script = tmp_path / "server.py"
    script.write_text(SERVER)
    public, gateway, grpc = free_ports(3)

    def programs(ports, shared, configuration):
        assert shared["STRIKELINE_DATABASE_URL"] == "postgresql://strikeline_api@db/app"
        web = (sys.executable, "-m", "http.server", str(ports.envoy.public), "--bind", "127.0.0.1")
        return [Program("gateway", web, {})]

    monkeypatch.setattr(plan, "PYTHON_SERVER", (sys.executable, str(script)))
    monkeypatch.setattr(plan, "programs", programs)
    # The stand-in speaks HTTP only.
    monkeypatch.setattr(command, "serves_grpc", listens)
    monkeypatch.setattr(command.envoy, "render", lambda *_: tmp_path / "envoy.yaml")
    for name, value in {
        "STRIKELINE_DEVSTACK_DIR": str(tmp_path),
        "STRIKELINE_ENVOY_PORT": str(public),
        "STRIKELINE_GATEWAY_PORT": str(gateway),
        "STRIKELINE_GRPC_PORT": str(grpc),
        "DATABASE_URL": "postgresql://app@db/app",
        "REDIS_URL": "redis://cache",
    }.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def arguments(*words: str) -> argparse.Namespace:
    return parser().parse_args(["dev", *words])


@pytest.fixture
def left(monkeypatch) -> list[type[BaseException] | None]:
    """With what supervisors were left, None for an end of their own accord."""
    ends: list[type[BaseException] | None] = []

    class Watched(Supervisor):
        async def __aexit__(self, kind, error, traceback):
            ends.append(kind)
            await super().__aexit__(kind, error, traceback)

    monkeypatch.setattr(command, "Supervisor", Watched)
    return ends


async def test_a_replay_ends_and_the_system_stays(machine, capsys, left):
    running = asyncio.create_task(
        command.run_dev(arguments("--feed", "replay", "--path", "ticks.csv", "--speed", "max"))
    )
    shown = err = ""

    def told() -> bool:
        nonlocal shown, err
        captured = capsys.readouterr()
        shown, err = shown + captured.out, err + captured.err
        return "replay finished" in err or running.done()

    await eventually(told, 60)
    assert "12,345 ticks" in err
    assert shown.endswith("ready\n")
    # Nothing is waited for between the summary and the end: a system that ended with its feed would have begun to.
    assert left == []
    os.kill(os.getpid(), signal.SIGINT)
    assert await asyncio.wait_for(running, 10) == 0
    assert left == [asyncio.CancelledError]
    assert "stopped" in capsys.readouterr().err


async def test_a_failing_migration_is_told(machine, monkeypatch, capsys):
    monkeypatch.setattr(plan, "PYTHON_SERVER", (*plan.PYTHON_SERVER, "broken"))
    assert await command.run_dev(arguments()) == 1
    assert "no such revision" in capsys.readouterr().err


async def test_a_taken_port_is_named(machine, monkeypatch, capsys):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        monkeypatch.setenv("STRIKELINE_GATEWAY_PORT", str(port))
        assert await command.run_dev(arguments()) == 1
    assert f"port {port} is taken" in (said := capsys.readouterr().err)
    assert "STRIKELINE_GATEWAY_PORT" in said


async def test_replay_and_path_belong_together(capsys):
    assert await command.run_dev(arguments("--feed", "replay")) == 2
    assert await command.run_dev(arguments("--path", "x")) == 2


def test_programs_of_a_system_with_two_apis(tmp_path):
    names = ("STRIKELINE_ENVOY_PORT", "STRIKELINE_GATEWAY_PORT", "STRIKELINE_GRPC_PORT")
    with Reservations(tmp_path) as reservations:
        ports = choose_ports(2, reservations, dict(zip(names, map(str, free_ports(3)), strict=True)))
    shared = plan.shared_environment(StackUrls("postgresql://app@h:1/app", "redis://r"), Identity(tmp_path), {})
    found = {program.name: program for program in plan.programs(ports, shared, tmp_path / "envoy.yaml")}
    assert list(found) == ["worker", "api-1", "api-2", "gateway", "envoy"]
    assert found["api-2"].environment["STRIKELINE_GRPC_ADDRESS"] == f"127.0.0.1:{ports.envoy.api[1]}"
    assert found["gateway"].environment["STRIKELINE_UPSTREAM"].count("127.0.0.1:") == 2
    assert len({program.environment.get("STRIKELINE_METRICS_PORT") for program in found.values()}) == 5
    feed = plan.feed_program(plan.Feed("replay", ["a.csv", "b.csv=NIFTY"], "max"), shared, ports)
    assert feed.finishes
    assert found["api-2"].ports == (ports.envoy.api[1], ports.metrics["api-2"])
    assert found["envoy"].ports == (ports.envoy.public, ports.envoy.admin)
    assert found["gateway"].ports == (ports.envoy.gateway, ports.metrics["gateway"])
    assert list(feed.command[-5:]) == ["replay", "a.csv", "b.csv=NIFTY", "--speed", "max"]


def test_the_users_variables_win(tmp_path):
    told = plan.shared_environment(
        StackUrls("postgresql://app:secret@h:1/app", "redis://r"), Identity(tmp_path), {"STRIKELINE_QUOTA_TIER": "free"}
    )
    assert told["STRIKELINE_QUOTA_TIER"] == "free"
    assert told["STRIKELINE_WORKER_DATABASE_URL"] == "postgresql://strikeline_worker:secret@h:1/app"


def test_envoys_configuration_is_rendered(tmp_path):
    template = tmp_path / "template.yaml"
    template.write_text("port: ${ENVOY_PORT}\nlb_endpoints: ${API_ENDPOINTS}\n")
    written = render(
        EnvoyPorts(8080, 9901, 8081, (1, 2)), tmp_path / "jwks.json", tmp_path / "out/envoy.yaml", template
    )
    assert written.read_text().count("port_value") == 2
    template.write_text("${UNKNOWN}")
    with pytest.raises(KeyError, match="UNKNOWN"):
        render(EnvoyPorts(8080, 9901, 8081, (1,)), tmp_path / "jwks.json", tmp_path / "out/envoy.yaml", template)


def test_the_welcome_names_everything(tmp_path):
    ports = Ports(EnvoyPorts(8080, 9901, 8081, (50051,)), {"worker": 9464})
    urls = StackUrls("postgresql://app:hunter2@h:5432/app", "redis://:hunter3@r")
    page = welcome.text(ports, urls, tmp_path, "TOKEN")
    for part in (
        "127.0.0.1:8080",
        "127.0.0.1:50051",
        "postgresql://[redacted]@h:5432/app",
        "redis://[redacted]@r",
        "TOKEN",
        "curl ",
        "ws://",
        str(tmp_path),
    ):
        assert part in page


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (
            "{}\nreplay finished: 9 ticks\n  a.csv line 3: no price",
            "replay finished: 9 ticks\n  a.csv line 3: no price",
        ),
        ("{}", "the feed ended"),
    ],
)
def test_summary_of_a_replay(output, said):
    assert command._summary(output) == said


class Failing:
    """A program that does not become ready."""

    def __init__(self, name):
        self.name = name

    async def wait_ready(self, _seconds):
        raise ProgramError(f"{self.name} does not become ready")


async def test_programs_that_do_not_start_are_named_in_one_error():
    with pytest.raises(ProgramError, match=r"^api does not become ready\nworker does not become ready$"):
        await command._all_ready([Failing("api"), Failing("worker")])

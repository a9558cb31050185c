"""Starting, finding and stopping the system from a shell, as the README says."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from server.dev.environment import FILE
from server.store.migrate import head
from tests.support.databases import TestDatabase
from tests.support.system import STOP_SECONDS, DevSystem, dev_system, free_ports

RECORDED = """\
timestamp,ltp,volume
2021-04-28 09:15:01,2000.0,100
2021-04-28 09:15:30,2001.5,250
no tick at all
2021-04-28 09:16:02,2003.25,400
"""
OURS = ("DATABASE_URL", "REDIS_URL")


def shell(directory: Path, **more: str) -> dict[str, str]:
    """The variables of a shell in which nothing of ours was set, but for the folder that stands for `.devstack`."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("STRIKELINE_")}
    for name in OURS:
        bare.pop(name, None)
    return {**bare, "STRIKELINE_DEVSTACK_DIR": str(directory), **more}


async def command(environment: dict[str, str], *arguments: str) -> tuple[int, str]:
    """Runs `python -m server`. -> exit status and everything that it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "server", *arguments),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


async def test_a_day_in_the_life_of_a_system(
    tmp_path: Path, database: TestDatabase, redis_url: str, namespace: str
) -> None:
    """One system for all, since starting takes seconds: it replays, is found, stays alone, and leaves no trace."""
    recorded = tmp_path / "RELIANCE_ticks_2021-04-28.csv"
    recorded.write_text(RECORDED)
    replay = ("--feed", "replay", "--path", str(recorded), "--speed", "max")

    async with dev_system(tmp_path, database.owner_url, redis_url, namespace, *replay) as system:
        await system.printed(r"replay finished: 3 ticks from 1 files, 1 malformed rows")
        await system.printed(r"RELIANCE_ticks_2021-04-28.csv line 4: ")

        status, account = await command(shell(tmp_path), "account", "create", "--user", "alice")
        assert (status, account.startswith("acc-")) == (0, True)
        status, said = await command(shell(tmp_path), "feed", "replay", "--speed", "max", str(recorded))
        assert (status, "replay finished: 3 ticks" in said) == (0, True)
        status, said = await command(shell(tmp_path), "migrate")
        assert (status, '"revision"' in said) == (0, True)

        status, said = await command(shell(tmp_path, **elsewhere(system)), "dev", "--feed", "none")
        assert (status, "already" in said) == (1, True), said

        children = system.processes()
        assert len(children) >= 4
        system.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(STOP_SECONDS):
            assert await system.process.wait() == 0
    assert [child for child in children if Path(f"/proc/{child}").exists()] == []
    assert not (tmp_path / FILE).exists()


def elsewhere(system: DevSystem) -> dict[str, str]:
    """The same databases, ports of its own."""
    names = ("STRIKELINE_ENVOY_PORT", "STRIKELINE_GATEWAY_PORT", "STRIKELINE_GRPC_PORT")
    databases = {name: system.environment[name] for name in OURS}
    return {**databases, **dict(zip(names, map(str, free_ports(3)), strict=True))}


@pytest.mark.parametrize("variable", ["STRIKELINE_ENVOY_PORT", "STRIKELINE_GATEWAY_PORT", "STRIKELINE_GRPC_PORT"])
async def test_a_taken_port_is_named(variable: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        environment = {**os.environ, "STRIKELINE_DEVSTACK_DIR": str(tmp_path), variable: str(port)}

        status, said = await command(environment, "dev")

    assert status == 1
    assert f"port {port} is taken" in said
    assert variable in said


async def test_a_command_without_a_system_says_what_is_missing(tmp_path: Path) -> None:
    status, said = await command(shell(tmp_path), "account", "create", "--user", "alice")

    assert status == 2
    assert "STRIKELINE_WORKER_DATABASE_URL is missing" in said
    assert "make run" in said


async def test_a_revision_is_taken_back_and_applied_again(database: TestDatabase, tmp_path: Path) -> None:
    environment = shell(tmp_path, MIGRATION_DATABASE_URL=database.owner_url)

    down = await command(environment, "migrate", "--down", "0005")
    up = await command(environment, "migrate")

    assert down == (0, '{"revision": "0005"}\n')
    assert up == (0, f'{{"revision": "{head()}"}}\n')

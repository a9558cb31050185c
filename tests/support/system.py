"""The whole system as a user starts it: `python -m server dev`, on free ports and a database of its own."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from server.dev.tokens import Identity
from tests.support.waiting import eventually

READY_SECONDS = 90.0
STOP_SECONDS = 30.0


@dataclass(frozen=True)
class DevSystem:
    """A running system. `envoy`, `gateway` and `grpc` are "host:port"."""

    process: asyncio.subprocess.Process
    envoy: str
    gateway: str
    grpc: str
    output: Path
    directory: Path
    environment: Mapping[str, str]

    def token(
        self, user: str = "demo", scopes: Sequence[str] = ("read", "trade"), lifetime_seconds: float | None = None
    ) -> str:
        """A development token of this system."""
        identity = Identity(self.directory)
        if lifetime_seconds is None:
            return identity.issue_token(user, scopes)
        from datetime import timedelta

        return identity.issue_token(user, scopes, lifetime=timedelta(seconds=lifetime_seconds))

    def pid(self, *words: str) -> int:
        """The process below the supervisor whose command line holds all the words."""
        for pid in _descendants(self.process.pid):
            command = _command(pid)
            if all(word in command for word in words):
                return pid
        raise LookupError(f"no process with {words} in {[_command(pid) for pid in _descendants(self.process.pid)]}")

    def processes(self) -> list[int]:
        """Every process that the supervisor started, directly or not."""
        return _descendants(self.process.pid)

    def kill(self, *words: str) -> None:
        """`kill -9` of that process."""
        os.kill(self.pid(*words), signal.SIGKILL)

    async def run(self, *arguments: str) -> str:
        """Output of another command of the server, such as `account create`, with this system's settings."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "server", *arguments, env={**self.environment}, stdout=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(30):
            output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()
        return output.decode()

    async def printed(self, pattern: str, seconds: float = READY_SECONDS) -> re.Match[str]:
        """Waits until the output matches. Raises AssertionError with the output otherwise."""

        def look() -> re.Match[str] | None:
            found = re.search(pattern, self.output.read_text(errors="replace"), re.MULTILINE)
            assert found or self.process.returncode is None, "the process ended"
            return found

        try:
            return await eventually(look, seconds, what=f"{pattern!r} in the output")
        except AssertionError as error:
            error.add_note(f"{self.output.read_text(errors='replace')}{self.logs()}")
            raise

    def logs(self) -> str:
        """The last lines of each role's log."""
        files = sorted((self.directory / "logs").glob("*.log"))
        return "".join(
            f"\n--- {file.name}\n" + "\n".join(file.read_text(errors="replace").splitlines()[-15:]) for file in files
        )


@asynccontextmanager
async def dev_system(
    directory: Path,
    database_url: str,
    redis_url: str,
    namespace: str,
    *arguments: str,
    more: Mapping[str, str] | None = None,
) -> AsyncIterator[DevSystem]:
    """Starts the system, waits for `ready`, and stops it with Ctrl-C at the end."""
    ports = free_ports(5)
    environment = {
        **os.environ,
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "STRIKELINE_NAMESPACE": namespace,
        "STRIKELINE_DEVSTACK_DIR": str(directory),
        "STRIKELINE_ENVOY_PORT": str(ports[0]),
        "STRIKELINE_GATEWAY_PORT": str(ports[1]),
        "STRIKELINE_GRPC_PORT": str(ports[2]),
        # Systems that start at the same moment would find the same ports free.
        "STRIKELINE_FIRST_METRICS_PORT": str(ports[3]),
        "STRIKELINE_ENVOY_ADMIN_PORT": str(ports[4]),
        **(more or {}),
    }
    output = directory / "output.txt"
    with output.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "server",
            "dev",
            *arguments,
            env=environment,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    addresses = [f"127.0.0.1:{port}" for port in ports[:3]]
    system = DevSystem(process, *addresses, output, directory, environment)
    try:
        await system.printed("^ready$")
        yield system
    finally:
        await _stop(process)


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGINT)
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        raise AssertionError("the system did not stop on Ctrl-C") from None


def free_ports(count: int) -> list[int]:
    """Ports below the range that the kernel hands out to outgoing connections, so that nobody takes them in between."""
    import random

    found: list[int] = []
    for port in random.sample(range(20000, 32000), 2000):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError("no free ports")


def _descendants(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    try:
        direct = [int(word) for word in children.read_text().split()]
    except OSError:
        return []
    return [descendant for child in direct for descendant in (child, *_descendants(child))]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""

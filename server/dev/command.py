"""`python -m server dev`: the whole system on one machine, from nothing to ready, and back."""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from server.dev import envoy, plan, welcome
from server.dev.environment import published, refuse_second
from server.dev.packages import StackError
from server.dev.ports import Ports, Reservations, choose_ports
from server.dev.probes import answers_http, finds, serves_grpc
from server.dev.stack import DEVELOPMENT, StackUrls, default_directory, urls_from_environment_or_stack
from server.dev.supervisor import Child, Probe, Program, ProgramError, Supervisor
from server.dev.tokens import Identity
from server.store.role_passwords import let_in

READY_SECONDS = 60.0
USER = ACCOUNT = "demo"
FINISHED, SUMMARY_LINES = "replay finished", 200
SCOPES = ("read", "trade", "cancel", "modify")


def say(message: str) -> None:
    """One line of progress, on standard error."""
    print(message, file=sys.stderr, flush=True)


async def run_dev(args: argparse.Namespace) -> int:
    """Runs the system until SIGINT or SIGTERM. -> exit status: 1 when it cannot start, with the reason on stderr."""
    if (args.feed == "replay") != bool(args.path):
        say("--feed replay and --path FILE belong together")
        return 2
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    system = asyncio.create_task(_System(args).run())
    waiter = asyncio.create_task(stopped.wait())
    await asyncio.wait({system, waiter}, return_when=asyncio.FIRST_COMPLETED)
    waiter.cancel()
    if not system.done():
        say("stopping")
        system.cancel()
    try:
        await system
    except asyncio.CancelledError:
        say("stopped")
    except (StackError, ProgramError) as error:
        say(str(error))
        return 1
    return 0


@dataclass
class _System:
    args: argparse.Namespace
    directory: Path = field(default_factory=default_directory)

    async def run(self) -> None:
        """Brings everything up and stays; cancelling it takes everything down."""
        refuse_second(self.directory)
        with Reservations() as reservations:
            await self._run_reserved(choose_ports(self.args.api, reservations))

    async def _run_reserved(self, ports: Ports) -> None:
        # A thread cannot be cancelled: whoever leaves early still waits for it, so that what it started is stopped.
        starting = asyncio.create_task(asyncio.to_thread(urls_from_environment_or_stack, DEVELOPMENT))
        try:
            urls, _ = await asyncio.shield(starting)
            await self._run_on(ports, urls)
        finally:
            _, stop_stack = await starting
            await asyncio.to_thread(stop_stack)

    async def _run_on(self, ports: Ports, urls: StackUrls) -> None:
        identity = Identity(self.directory)
        shared = plan.shared_environment(urls, identity, os.environ)
        with published(self.directory, shared, os.environ):
            await self._run_as(ports, urls, identity, shared)

    async def _run_as(self, ports: Ports, urls: StackUrls, identity: Identity, shared: Mapping[str, str]) -> None:
        await _run_once("migrate", shared)
        await asyncio.to_thread(let_in, urls.database_url, (plan.API_ROLE, plan.WORKER_ROLE))
        await _run_once("account", shared, "create", "--user", USER, "--account", ACCOUNT)
        configuration = envoy.render(ports.envoy, identity.jwks, self.directory / "envoy.yaml")
        programs = plan.programs(ports, shared, configuration)
        async with Supervisor(self.directory / "logs", say) as supervisor:
            await self._ready(supervisor, programs, ports)
            playing = await self._play(supervisor, shared, ports)
            token = identity.issue_token(USER, SCOPES)
            if self.args.feed == "synthetic":
                # The commands that are printed name its index: a newcomer may be faster than the feed.
                index = f"http://127.0.0.1:{ports.envoy.public}/v1/quotes:batchGet?instruments={welcome.INSTRUMENT}"
                await _until(finds(index.replace(" ", "%20"), token), f"the feed's {welcome.INSTRUMENT}")
            print(welcome.text(ports, urls, self.directory / "logs", token), "ready", sep="\n\n", flush=True)
            if playing:
                await _tell_end(playing)
            await asyncio.Event().wait()

    async def _ready(self, supervisor: Supervisor, programs: Sequence[Program], ports: Ports) -> None:
        await _all_ready([supervisor.start(program) for program in programs])
        health = f"http://127.0.0.1:{ports.envoy.public}/v1/health"
        await _until(answers_http(health), health)
        # Envoy asks the api's health by itself and lets no call through before it has an answer.
        await _until(serves_grpc(ports.envoy.public), f"gRPC on port {ports.envoy.public}")

    async def _play(self, supervisor: Supervisor, shared: Mapping[str, str], ports: Ports) -> Child | None:
        feed = plan.Feed(self.args.feed, self.args.path, self.args.speed)
        if feed.kind == "none":
            return None
        playing = supervisor.start(plan.feed_program(feed, shared, ports))
        await playing.wait_ready(READY_SECONDS)
        return playing


async def _run_once(role: str, environment: Mapping[str, str], *arguments: str) -> None:
    """Runs a command of the server to its end. Raises ProgramError with its output when it fails."""
    process = await asyncio.create_subprocess_exec(
        *(*plan.PYTHON_SERVER, role, *arguments),
        env={**os.environ, **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode != 0:
        text = output.decode(errors="replace").strip()
        raise ProgramError(f"`python -m server {role}` failed ({process.returncode}):\n{text}")


async def _all_ready(children: list[Child]) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            for child in children:
                group.create_task(child.wait_ready(READY_SECONDS))
    except ExceptionGroup as failed:
        errors, others = failed.split(ProgramError)
        if errors is None or others is not None:
            raise
        raise ProgramError("\n".join(str(error) for error in errors.exceptions)) from None


async def _until(probe: Probe, what: str) -> None:
    try:
        async with asyncio.timeout(READY_SECONDS):
            while not await probe():
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise ProgramError(f"{what} does not answer") from None


async def _tell_end(feed: Child) -> None:
    """Says what a replay sent. A synthetic feed has no end."""
    await feed.finished.wait()
    say(_summary(feed.tail(SUMMARY_LINES)))


def _summary(output: str) -> str:
    """What the feed printed at its end: from `replay finished` on."""
    _, found, rest = output.rpartition(FINISHED)
    return found + rest if found else "the feed ended"

"""Keeps child processes running until told to stop, and leaves none behind.

Each child leads its own process group, so that a terminal's Ctrl-C reaches the supervisor alone, and dies with the
supervisor, however that ends. A child that dies is started again, more slowly each time that it dies soon.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import time
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from server.dev.ports import listens_on

PR_SET_PDEATHSIG = 1
FIRST_DELAY, LONGEST_DELAY = 0.1, 5.0
STABLE_SECONDS = 10.0
PROBE_INTERVAL = 0.05
TAIL_LINES = 15

Probe = Callable[[], Awaitable[bool]]


class ProgramError(Exception):
    """A child did not become ready; the message ends with its last lines of output."""


@dataclass(frozen=True)
class Program:
    """One child: what to run and how to tell that it is ready."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    """Added to the supervisor's own environment."""
    ready: Probe | None = None
    """Asked until it says yes. Absent: a child that runs is ready."""
    ports: Sequence[int] = ()
    """Where it listens when it is ready. An answer there may be somebody else's: these must be its own."""
    finishes: bool = False
    """Whether exit status 0 means that the work is done. Else every exit is followed by a restart."""


def _end_with_parent(parent: int) -> Callable[[], None]:
    """-> what a child does between fork and exec."""
    prctl = ctypes.CDLL(None).prctl

    def arrange() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died in between
            os._exit(1)

    return arrange


class Child:
    """A program under supervision."""

    def __init__(self, program: Program, log: Path, report: Callable[[str], None]) -> None:
        self.program = program
        self.log = log
        self.starts = 0
        self.finished = asyncio.Event()
        self._report = report
        self._process: Process | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The running process; None between two starts."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if running and self._process else None

    def start(self) -> None:
        """Starts it, and from now on starts it again."""
        if self.log.exists():
            self.log.replace(self.log.with_suffix(".log.1"))
        self._task = asyncio.create_task(self._supervise(), name=f"supervise {self.program.name}")

    async def _supervise(self) -> None:
        delay = FIRST_DELAY
        while True:
            started = time.monotonic()
            status = await self._run_once()
            if status == 0 and self.program.finishes:
                self.finished.set()
                return
            if time.monotonic() - started >= STABLE_SECONDS:
                delay = FIRST_DELAY
            self._report(f"{self.program.name} ended ({_describe(status)}), starts again in {delay:.1f} s: {self.log}")
            await asyncio.sleep(delay)
            delay = min(delay * 2, LONGEST_DELAY)

    async def _run_once(self) -> int:
        with self.log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *self.program.command,
                env={**os.environ, **self.program.environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=_end_with_parent(os.getpid()),
            )
        self.starts += 1
        return await self._process.wait()

    async def wait_ready(self, seconds: float) -> None:
        """Returns once the child's probe says yes. Raises ProgramError when it takes longer or dies three times."""
        deadline = time.monotonic() + seconds
        while not await self._is_ready():
            if self.starts > 3 or time.monotonic() > deadline:
                raise ProgramError(f"{self.program.name} does not become ready. Its last lines:\n{self.tail()}")
            await asyncio.sleep(PROBE_INTERVAL)

    async def _is_ready(self) -> bool:
        if self.finished.is_set():
            return True
        pid = self.pid
        if pid is None or (self.program.ready is not None and not await self.program.ready()):
            return False
        return pid == self.pid and listens_on(pid, self.program.ports)

    def tail(self, lines: int = TAIL_LINES) -> str:
        """The last lines of the child's output."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

    def signal_group(self, number: signal.Signals) -> None:
        """Sends a signal to the child and everything that it started."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    async def stop(self, grace: float) -> None:
        """Ends the child: SIGTERM, after `grace` seconds SIGKILL, which its descendants get in any case."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self.pid is not None and self._process is not None:
            self.signal_group(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), grace)
        self.signal_group(signal.SIGKILL)
        if self._process is not None:
            await self._process.wait()


def _describe(status: int) -> str:
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"


class Supervisor:
    """Starts programs, restarts those that die, and on leaving the context stops all of them.

    `logs` gets one file a program (the previous run's is kept as NAME.log.1); `report` gets one line a death.
    """

    def __init__(self, logs: Path, report: Callable[[str], None], grace: float = 8.0) -> None:
        self.children: dict[str, Child] = {}
        self._logs = logs
        self._report = report
        self._grace = grace

    async def __aenter__(self) -> "Supervisor":
        self._logs.mkdir(parents=True, exist_ok=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await asyncio.gather(*(child.stop(self._grace) for child in self.children.values()))

    def start(self, program: Program) -> Child:
        """Starts a program and does not wait for it."""
        child = Child(program, self._logs / f"{program.name}.log", self._report)
        self.children[program.name] = child
        child.start()
        return child

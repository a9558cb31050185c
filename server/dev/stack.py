"""The embedded TimescaleDB and Redis of development and tests.

    python -m server.dev.stack up|down|env [--instance NAME]

Each instance ("dev" for `make run`, "test" for the tests) has its own servers, ports and data, so they run beside each
other. Servers outlive a process that dies; they are stopped by the last user that leaves, or by `down`.
"""

import argparse
import fcntl
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from server.dev.account import unprivileged
from server.dev.instance import DATABASE, SUPERUSER, Instance, Ports
from server.dev.packages import Progress, StackError, ensure_programs

DEVELOPMENT, TEST = "dev", "test"
DIRECTORY_VARIABLE = "STRIKELINE_DEVSTACK_DIR"


@dataclass(frozen=True)
class StackUrls:
    """Where the data lives. `database_url` connects as a superuser: migrations use it, the programs have own roles."""

    database_url: str
    redis_url: str

    @classmethod
    def of(cls, ports: Ports) -> "StackUrls":
        """URLs of an embedded instance."""
        database = f"postgresql://{SUPERUSER}@127.0.0.1:{ports.postgres}/{DATABASE}"
        return cls(database, f"redis://127.0.0.1:{ports.redis}/0")


def say(text: str) -> None:
    """Progress of slow steps, on standard error."""
    print(f"stack: {text}", file=sys.stderr, flush=True)


def default_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """`.devstack` in the project folder, unless STRIKELINE_DEVSTACK_DIR names another."""
    chosen = environment.get(DIRECTORY_VARIABLE)
    return Path(chosen).resolve() if chosen else Path(__file__).resolve().parents[2] / ".devstack"


@dataclass
class Stack:
    """One instance of the embedded stack. A test session's and a service's stack differ by name."""

    directory: Path = field(default_factory=default_directory)
    instance: str = DEVELOPMENT
    progress: Progress = say
    _use: IO[bytes] | None = field(default=None, init=False, repr=False)

    @property
    def home(self) -> Path:
        """Folder of the instance's data and logs."""
        return self.directory / "instances" / self.instance

    def start(self) -> StackUrls:
        """Brings both servers up and counts as their user until `stop`. Idempotent and safe to call concurrently.

        The first call on a machine downloads 52 MB. Raises StackError where the stack cannot run.
        """
        with self._locked():
            urls = StackUrls.of(self._instance().start())
            if self._use is None:
                self._use = (self.home / "users.lock").open("ab")
                fcntl.flock(self._use, fcntl.LOCK_SH)
        return urls

    def stop(self, *, force: bool = False) -> None:
        """Stops the servers unless another process uses them or `up` asked to keep them; `force` stops regardless."""
        if not self.home.exists():
            return
        with self._locked():
            self._leave()
            if force or not (self._kept.exists() or self._used()):
                self._kept.unlink(missing_ok=True)
                self._instance().stop()

    def keep(self) -> None:
        """No longer counts as their user and leaves the servers running until `stop(force=True)`."""
        self._kept.touch()
        self._leave()

    def urls(self) -> StackUrls | None:
        """Where the instance listens, or listened last; None before the first start."""
        ports = self._instance().ports() if self.home.exists() else None
        return StackUrls.of(ports) if ports else None

    def _leave(self) -> None:
        if self._use is not None:
            self._use.close()
            self._use = None

    @property
    def _kept(self) -> Path:
        return self.home / "keep"

    def _instance(self) -> Instance:
        programs = ensure_programs(self.directory, self.progress)
        account = unprivileged(programs.postgres / "postgres")
        return Instance(self.home, programs, account, durable=self.instance != TEST)

    def _used(self) -> bool:
        with (self.home / "users.lock").open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / "lock").open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.progress("waiting for another process that starts or stops it")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def urls_from_environment_or_stack(
    instance: str, environment: Mapping[str, str] = os.environ, progress: Progress = say
) -> tuple[StackUrls, Callable[[], None]]:
    """-> where the data lives, and what to call at the end.

    DATABASE_URL and REDIS_URL are used as they are when set; what is not set comes from the embedded stack, which is
    not even started when both are.
    """
    database, cache = environment.get("DATABASE_URL"), environment.get("REDIS_URL")
    if database and cache:
        return StackUrls(database, cache), lambda: None
    stack = Stack(default_directory(environment), instance, progress)
    embedded = stack.start()
    return StackUrls(database or embedded.database_url, cache or embedded.redis_url), stack.stop


def _print(urls: StackUrls) -> None:
    print(f"DATABASE_URL={urls.database_url}\nREDIS_URL={urls.redis_url}")


def main(arguments: list[str]) -> int:
    """The command line of this module. -> exit status."""
    parser = argparse.ArgumentParser(prog="python -m server.dev.stack", description="Embedded TimescaleDB and Redis.")
    parser.add_argument("action", choices=("up", "down", "env"))
    parser.add_argument(
        "--instance", default=DEVELOPMENT, help="dev (durable) or any other name; test gives up durability"
    )
    options = parser.parse_args(arguments)
    stack = Stack(instance=options.instance)
    try:
        if options.action == "up":
            _print(stack.start())
            stack.keep()
        elif options.action == "down":
            stack.stop(force=True)
        elif (urls := stack.urls()) is not None:
            _print(urls)
        else:
            raise StackError(f"instance {options.instance} was never started")
    except StackError as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

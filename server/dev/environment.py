"""How a command in a second shell finds the development system that runs, without a variable being set.

`server dev` publishes what it tells its roles in `.devstack/environment.json` and holds a lock on it while it runs, so
that a file which a killed system left behind is told from a live one. It is a secret: only its owner may read it.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from server.dev.packages import StackError
from server.dev.plan import shared_environment
from server.dev.stack import DIRECTORY_VARIABLE, StackUrls, default_directory
from server.dev.tokens import Identity

FILE = "environment.json"
PREFIX = "STRIKELINE_"
OWN = frozenset({"STRIKELINE_INSTANCE", "STRIKELINE_METRICS_PORT", "STRIKELINE_GRPC_ADDRESS"})
"""Variables that belong to one process, not to the system."""
DEFAULT_REDIS = "redis://127.0.0.1:6379/0"


class AlreadyRunningError(StackError):
    """Two systems in one folder would feed one market twice."""


@contextmanager
def published(directory: Path, shared: Mapping[str, str], environment: Mapping[str, str]) -> Iterator[None]:
    """Lets other commands find the system while the block runs.

    `shared` is what every role is told; what the user told this one beside it (`STRIKELINE_…`) goes along.
    Raises AlreadyRunningError when another system of the same folder runs.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / FILE
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "r+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _already(directory) from None
        told = {name: value for name, value in environment.items() if name.startswith(PREFIX) and name not in OWN}
        file.truncate()
        json.dump({**told, **shared}, file, indent=1)
        file.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def refuse_second(directory: Path) -> None:
    """Raises AlreadyRunningError when a system of this folder runs, before its ports are missed."""
    if running_system(directory):
        raise _already(directory)


def _already(directory: Path) -> AlreadyRunningError:
    return AlreadyRunningError(
        f"a system runs from {directory} already: stop it, or set {DIRECTORY_VARIABLE} to another folder"
    )


def running_system(directory: Path) -> Mapping[str, str]:
    """What the system that runs in this folder told its roles; empty when none runs."""
    try:
        with (directory / FILE).open(encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                found: dict[str, str] = json.load(file)
                return found
    except FileNotFoundError:
        pass
    return {}


def completed(environment: Mapping[str, str]) -> Mapping[str, str]:
    """The variables of a role in development, with what it lacks.

    Databases that are named (DATABASE_URL, and REDIS_URL beside it) come before the system that runs. What the user has
    set wins over both.
    """
    directory = default_directory(environment)
    if url := environment.get("DATABASE_URL"):
        redis = environment.get("REDIS_URL", DEFAULT_REDIS)
        return {**shared_environment(StackUrls(url, redis), Identity(directory), environment), **environment}
    return {**running_system(directory), **environment}

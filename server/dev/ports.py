"""Which ports a development system gets: reserved among the systems of one user, and shown to be its own."""

import fcntl
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from server.dev.envoy import EnvoyPorts
from server.dev.instance import is_free
from server.dev.packages import StackError

FIRST_METRICS_PORT, ADMIN_PORT = 9464, 9901
_LISTENING: Final = "0A"


class PortTakenError(StackError):
    """A port that the system must listen on belongs to somebody else."""


@dataclass(frozen=True)
class Ports:
    """Every port of one development system, all on loopback."""

    envoy: EnvoyPorts
    metrics: Mapping[str, int]


def _folder() -> Path:
    return Path(tempfile.gettempdir()) / f"strikeline-ports-{os.getuid()}"


@dataclass(frozen=True)
class Reservations:
    """Ports that no other system of this user gets while the context lasts, also one that starts at the same moment."""

    folder: Path = field(default_factory=_folder)
    _held: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def take(self, port: int) -> bool:
        """Reserves a port. -> nobody has it."""
        with ExitStack() as opened:
            file = opened.enter_context((self.folder / str(port)).open("ab"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            if not is_free(port):
                return False
            self._held.push(opened.pop_all())
        return True

    def first_from(self, port: int) -> int:
        """Reserves the first port from this one on that nobody has."""
        return next(candidate for candidate in range(port, 65536) if self.take(candidate))


def choose_ports(apis: int, reservations: Reservations, environment: Mapping[str, str] = os.environ) -> Ports:
    """Reads the fixed ports from the environment and finds free ones for what only machines read.

    STRIKELINE_FIRST_METRICS_PORT and STRIKELINE_ENVOY_ADMIN_PORT say where to search. Raises PortTakenError
    that names the port and its variable.
    """

    def required(variable: str, default: int) -> int:
        port = int(environment.get(variable, default))
        if not reservations.take(port):
            raise PortTakenError(f"port {port} is taken by another program: stop it, or set {variable} to a free port")
        return port

    public = required("STRIKELINE_ENVOY_PORT", 8080)
    gateway = required("STRIKELINE_GATEWAY_PORT", 8081)
    first = required("STRIKELINE_GRPC_PORT", 50051)
    more = [reservations.first_from(first + 1 + number) for number in range(apis - 1)]
    names = ["worker", "feed", "gateway", *(f"api-{number + 1}" for number in range(apis))]
    start = int(environment.get("STRIKELINE_FIRST_METRICS_PORT", FIRST_METRICS_PORT))
    metrics = {name: reservations.first_from(start) for name in names}
    admin = reservations.first_from(int(environment.get("STRIKELINE_ENVOY_ADMIN_PORT", ADMIN_PORT)))
    return Ports(EnvoyPorts(public, admin, gateway, (first, *more)), metrics)


def listens_on(pid: int, ports: Sequence[int], proc: Path = Path("/proc")) -> bool:
    """Whether this process, and not somebody else, listens on all these ports."""
    if not ports:
        return True
    own: set[str] = set()
    with suppress(OSError):  # it has ended
        for entry in (proc / str(pid) / "fd").iterdir():
            with suppress(OSError):  # closed while it was looked at
                own.add(str(entry.readlink()))
    listeners: dict[int, set[str]] = {}
    for table in ("tcp", "tcp6"):
        for line in (proc / "net" / table).read_text(encoding="ascii").splitlines()[1:]:
            words = line.split()
            if words[3] == _LISTENING:
                listeners.setdefault(int(words[1].rpartition(":")[2], 16), set()).add(f"socket:[{words[9]}]")
    return all(not own.isdisjoint(listeners.get(port, ())) for port in ports)

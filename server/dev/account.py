"""Runs programs as somebody other than root, which PostgreSQL refuses."""

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from server.dev.packages import StackError

CANDIDATES = ("postgres", "nobody")
NAMESPACE = ("unshare", "--user", "--map-user=65534", "--map-group=65534")


@dataclass(frozen=True)
class Account:
    """Who runs the servers: this user, an unprivileged account, or this user inside a user namespace."""

    prefix: tuple[str, ...] = ()
    uid: int | None = None
    gid: int | None = None

    def own(self, path: Path) -> None:
        """Hands a file or folder to the account."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)

    def run(self, *command: str | Path, cwd: Path, accept_failure: bool = False) -> int:
        """Runs a program to its end, output discarded unless it fails. -> exit status; raises StackError on failure."""
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "HOME": str(cwd)}
        # A file, not a pipe: the servers that a program leaves behind would hold a pipe open for ever.
        output = cwd / "output.log"
        with output.open("wb") as sink:
            done = subprocess.run(
                [*self.prefix, *map(str, command)], cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=sink,
                stderr=subprocess.STDOUT, check=False, user=self.uid, group=self.gid,
                extra_groups=None if self.uid is None else [],
            )  # fmt: skip
        if done.returncode != 0 and not accept_failure:
            text = output.read_text(encoding="utf-8", errors="replace").strip()
            raise StackError(f"{Path(str(command[0])).name} failed ({done.returncode}): {text}")
        return done.returncode


def unprivileged(program: Path) -> Account:
    """The first account that may run `program`. Raises StackError when the folder lets nobody in."""
    if os.geteuid() != 0:
        return Account()
    for name in CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
            subprocess.run(
                [program, "--version"], cwd="/", check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                user=entry.pw_uid, group=entry.pw_gid, extra_groups=[],
            )  # fmt: skip
        except (KeyError, OSError, subprocess.CalledProcessError):
            continue
        return Account(uid=entry.pw_uid, gid=entry.pw_gid)
    if (
        shutil.which(NAMESPACE[0])
        and subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode == 0
    ):
        return Account(prefix=NAMESPACE)
    raise StackError(
        f"no unprivileged account may enter {program.parent}: set STRIKELINE_DEVSTACK_DIR to another folder"
    )

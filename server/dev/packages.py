"""TimescaleDB and Redis from Debian's archive, unpacked privately.

Nothing on the machine changes and no root is needed: apt runs with every folder redirected, packages are unpacked with
dpkg-deb, and the programs get their own loader and libraries by patchelf. apt checks signatures as usual. The binaries
are Debian 13's and run on Debian 12 as well.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

SUITE = "trixie"
POSTGRES_VERSION = "17"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# Programs, then every library that they load: nothing may come from the machine, whose own are older.
PACKAGES = (
    *(f"postgresql-{POSTGRES_VERSION}", f"postgresql-{POSTGRES_VERSION}-timescaledb"),
    *(f"postgresql-client-{POSTGRES_VERSION}", "redis-server", "redis-tools", "tzdata"),
    *("libc6", "libgcc-s1", "libstdc++6", "libatomic1", "zlib1g", "liblz4-1", "libxxhash0", "libzstd1", "liblzma5"),
    *("libssl3t64", "libicu76", "libxml2", "libxslt1.1", "libpam0g", "libaudit1", "libcap-ng0", "libselinux1"),
    *("libpcre2-8-0", "libuuid1", "libsystemd0", "libcap2", "libgcrypt20", "libgpg-error0", "libldap2", "libsasl2-2"),
    *("libgssapi-krb5-2", "libkrb5-3", "libk5crypto3", "libkrb5support0", "libcom-err2", "libkeyutils1", "libpq5"),
    *("libreadline8t64", "libtinfo6", "libjemalloc2", "liblzf1"),
)
LOADERS = {
    "amd64": ("x86_64-linux-gnu", "ld-linux-x86-64.so.2"),
    "arm64": ("aarch64-linux-gnu", "ld-linux-aarch64.so.1"),
}
HOST_TIME_ZONES = Path("/usr/share/zoneinfo")
ELF = b"\x7fELF"
TOOLS = ("apt-get", "dpkg-deb", "dpkg")

Progress = Callable[[str], None]


class StackError(Exception):
    """The embedded stack cannot be used here; the message says what to do instead."""


@dataclass(frozen=True)
class Programs:
    """Where the unpacked programs lie. The paths are absolute and baked into the binaries."""

    root: Path

    @property
    def postgres(self) -> Path:
        """Folder of initdb, pg_ctl and postgres."""
        return self.root / f"usr/lib/postgresql/{POSTGRES_VERSION}/bin"

    @property
    def redis(self) -> Path:
        """Folder of redis-server and redis-cli."""
        return self.root / "usr/bin"

    @property
    def time_zones(self) -> Path:
        """Time zone data for machines that have none."""
        return self.root / "usr/share/zoneinfo"


def ensure_programs(directory: Path, progress: Progress) -> Programs:
    """Unpacks the programs below `directory`, once: a stamp tells finished, moved and outdated trees apart.

    The caller holds the stack's lock. Raises StackError where Debian's tools or archive are not at hand.
    """
    programs = Programs(directory / "root")
    stamp = directory / "root.ok"
    wanted = f"{SUITE} {POSTGRES_VERSION} {programs.root}"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return programs
    stamp.unlink(missing_ok=True)
    _require_tools()
    apt, archives = directory / "apt", directory / "archives"
    for folder in (programs.root, apt, archives):
        shutil.rmtree(folder, ignore_errors=True)
    for folder in (programs.root, apt / "lists/partial", apt / "cache/archives/partial", archives):
        folder.mkdir(parents=True)
    progress("downloading TimescaleDB and Redis (52 MB, once)")
    _download(apt, archives)
    progress("unpacking")
    _unpack(archives, programs.root)
    _patch(programs)
    for folder in (apt, archives, *(programs.root / "usr/share" / name for name in ("doc", "man", "locale"))):
        shutil.rmtree(folder, ignore_errors=True)
    stamp.write_text(wanted, encoding="utf-8")
    return programs


def _require_tools() -> None:
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if not Path(KEYRING).exists():
        missing.append(KEYRING)
    if missing:
        raise StackError(
            f"the embedded TimescaleDB and Redis come from Debian's archive, and {', '.join(missing)} is missing here: "
            "set DATABASE_URL and REDIS_URL to servers of your own"
        )


def _run(*command: str | Path, cwd: Path | None = None, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise StackError(f"{Path(str(command[0])).name} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def _mirrors() -> list[str]:
    """The archive that this machine's own apt uses; it is printed even when no lists were ever fetched."""
    printed = _run("apt-get", "--print-uris", "update")
    found = re.finditer(r"'(\S+)/dists/([^/]+)/InRelease'", printed)
    bases = list(dict.fromkeys(match[1] for match in found if "security" not in match[2]))
    if not bases:
        raise StackError("apt names no archive on this machine: set DATABASE_URL and REDIS_URL to servers of your own")
    return [base for base in bases if base.rstrip("/").endswith("/debian")] or bases


def _apt_settings(apt: Path) -> str:
    redirected = {
        "Dir::Etc::sourcelist": apt / "sources.list",
        **dict.fromkeys(("Dir::Etc::sourceparts", "Dir::Etc::preferences", "Dir::Etc::preferencesparts"), "/dev/null"),
        "Dir::State": apt,
        "Dir::State::Lists": apt / "lists",
        "Dir::State::status": apt / "status",
        "Dir::Cache": apt / "cache",
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        "Dir::Log": apt,
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
        "APT::Update::Error-Mode": "any",  # without it a failed download counts as success
        "APT::Sandbox::User": "",
        "APT::Update::Post-Invoke-Success": "",
    }
    return "".join(f'{name} "{value}";\n' for name, value in redirected.items())


def _download(apt: Path, archives: Path) -> None:
    (apt / "status").touch()
    sources = "".join(f"deb [signed-by={KEYRING}] {base} {SUITE} main\n" for base in _mirrors())
    (apt / "sources.list").write_text(sources, encoding="utf-8")
    settings = apt / "apt.conf"
    settings.write_text(_apt_settings(apt), encoding="utf-8")
    environment = {**os.environ, "APT_CONFIG": str(settings), "LC_ALL": "C"}
    _run("apt-get", "-qq", "update", environment=environment)
    _run("apt-get", "-qq", "download", *PACKAGES, cwd=archives, environment=environment)


def _unpack(archives: Path, root: Path) -> None:
    with ThreadPoolExecutor(max_workers=4) as pool:
        list(pool.map(lambda archive: _run("dpkg-deb", "-x", archive, root), sorted(archives.glob("*.deb"))))
    for bitcode in root.glob(f"usr/lib/postgresql/{POSTGRES_VERSION}/lib/**/*.bc"):
        bitcode.unlink()  # for the just-in-time compiler, which is off


def _patch(programs: Programs) -> None:
    """Gives each program the unpacked loader and libraries; forced RPATH also serves libraries of libraries."""
    architecture = _run("dpkg", "--print-architecture").strip()
    if architecture not in LOADERS:
        raise StackError(f"no embedded stack for {architecture}: set DATABASE_URL and REDIS_URL to servers of your own")
    triplet, loader = LOADERS[architecture]
    libraries = programs.root / "usr/lib" / triplet
    patchelf = shutil.which("patchelf", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if patchelf is None:
        raise StackError("patchelf is missing: install the packages of requirements.lock")
    names = [*programs.postgres.iterdir(), programs.redis / "redis-check-rdb", programs.redis / "redis-cli"]
    for program in names:
        if program.is_symlink() or not program.read_bytes().startswith(ELF):
            continue
        interpreter = str(libraries / loader)
        _run(patchelf, "--set-interpreter", interpreter, "--force-rpath", "--set-rpath", libraries, program)
    if not (HOST_TIME_ZONES / "UTC").exists():
        _use_own_time_zones(programs.postgres / "postgres")


def _use_own_time_zones(postgres: Path) -> None:
    """Debian's server reads the machine's time zones; where there are none, a link in its data folder serves."""
    host = str(HOST_TIME_ZONES).encode() + b"\0"
    postgres.write_bytes(postgres.read_bytes().replace(host, b"zoneinfo".ljust(len(host), b"\0")))

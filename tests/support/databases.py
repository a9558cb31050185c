"""Throw-away databases: each test gets a copy of one migrated template, made once for each state of `migrations/`."""

import hashlib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from psycopg import sql

from server.store import migrate
from server.store.role_passwords import let_in

API, WORKER = "strikeline_api", "strikeline_worker"
TEMPLATE_LOCK = 0x54455354
# Community edition: a policy would compress the old days of a test at a moment of its own.
NO_POLICIES = "SELECT alter_job(job_id, scheduled => false) FROM timescaledb_information.jobs WHERE job_id >= 1000"


@dataclass(frozen=True)
class TestDatabase:
    """One database of one test, as each role sees it. `owner_url` is the role that migrates, a superuser here."""

    __test__ = False

    owner_url: str

    @property
    def api_url(self) -> str:
        return with_user(self.owner_url, API)

    @property
    def worker_url(self) -> str:
        return with_user(self.owner_url, WORKER)

    @property
    def name(self) -> str:
        return urlsplit(self.owner_url).path.lstrip("/")

    @contextmanager
    def connect(self, url: str | None = None) -> Iterator[psycopg.Connection]:
        """A plain connection, autocommit, for arranging and looking; the owner's unless told otherwise."""
        with psycopg.connect(url or self.owner_url, autocommit=True, connect_timeout=10) as connection:
            yield connection


def with_user(url: str, user: str) -> str:
    """The same database as another role, with the same password where the URL has one."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    password = f":{parts.password}" if parts.password else ""
    return urlunsplit(parts._replace(netloc=f"{quote(user, safe='')}{password}@{host}"))


def with_database(url: str, name: str) -> str:
    """Another database of the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def state_of_migrations() -> str:
    """Changes with every change of a revision."""
    digest = hashlib.sha256()
    for path in sorted(migrate.FOLDER.rglob("*")):
        if path.suffix in {".py", ".sql"}:
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def ensure_template(server_url: str) -> str:
    """-> the name of a database at the newest revision. Test sessions that run at once share it.

    The programs' roles may log in afterwards, also where the server asks for passwords.
    """
    name = f"migrated_{state_of_migrations()}"
    with psycopg.connect(server_url, autocommit=True, connect_timeout=10) as connection:
        connection.execute("SET lock_timeout = '120s'")
        connection.execute("SELECT pg_advisory_lock(%s)", [TEMPLATE_LOCK])
        found = connection.execute("SELECT datistemplate FROM pg_database WHERE datname = %s", [name]).fetchone()
        if found is None or not found[0]:
            _make_template(connection, server_url, name)
        let_in(server_url, (API, WORKER))
    return name


def _make_template(connection: psycopg.Connection, server_url: str, name: str) -> None:
    """Marked as a template only when complete: one that a killed session left half-made is made again.

    It lets nobody in: TimescaleDB's scheduler, where one runs, hinders copying it.
    """
    made = sql.Identifier(name)
    connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(made))
    connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(made))
    migrate.upgrade(with_database(server_url, name))
    with psycopg.connect(with_database(server_url, name), autocommit=True, connect_timeout=10) as inside:
        inside.execute(NO_POLICIES)
    connection.execute(sql.SQL("ALTER DATABASE {} IS_TEMPLATE true ALLOW_CONNECTIONS false").format(made))
    connection.execute("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s", [name])


@contextmanager
def database_copy(server_url: str, template: str | None) -> Iterator[TestDatabase]:
    """A new database, dropped at the end: a copy of the template, or an empty one."""
    name = f"test_{uuid.uuid4().hex[:16]}"
    with psycopg.connect(server_url, autocommit=True, connect_timeout=10) as connection:
        # TimescaleDB's template0-based CREATE copies files; both strategies take well under a second.
        source = sql.SQL("TEMPLATE {}").format(sql.Identifier(template or "template0"))
        connection.execute(sql.SQL("CREATE DATABASE {} {}").format(sql.Identifier(name), source))
        try:
            yield TestDatabase(with_database(server_url, name))
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

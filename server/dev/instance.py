"""One PostgreSQL cluster and one Redis with their own ports, data and durability."""

import json
import random
import socket
import time
from dataclasses import dataclass
from pathlib import Path

import psycopg
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from server.dev.account import Account
from server.dev.packages import Programs, StackError

# Below the ephemeral range, where an outgoing connection could take the port between two starts.
PORTS = range(15000, 30000)
SUPERUSER = "app"
DATABASE = "app"
START_SECONDS = 60
SETTINGS = """\
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
shared_preload_libraries = 'timescaledb,pg_stat_statements'
log_min_duration_statement = '1s'
log_lock_waits = on
timescaledb.telemetry_level = off
# The Apache edition has no jobs, and a scheduler in a database would hinder CREATE DATABASE … TEMPLATE.
timescaledb.max_background_workers = 0
max_connections = 200
max_locks_per_transaction = 256
shared_buffers = '128MB'
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'
"""
THROW_AWAY = """\
fsync = off
synchronous_commit = off
full_page_writes = off
autovacuum_naptime = '5min'
"""


@dataclass(frozen=True)
class Ports:
    """Where the two servers listen on loopback."""

    postgres: int
    redis: int


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of the loopback interface now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _redis_client(port: int) -> redis.Redis:
    """A client that gives up at once: the library's default tries for four seconds."""
    patience = Retry(NoBackoff(), 0)
    return redis.Redis(port=port, socket_timeout=10, socket_connect_timeout=2, retry=patience, decode_responses=True)


def _free_port(*taken: int) -> int:
    for port in random.sample(PORTS, 200):
        if port not in taken and is_free(port):
            return port
    raise StackError(f"no free port between {PORTS.start} and {PORTS.stop}")


@dataclass(frozen=True)
class Instance:
    """The servers of one purpose, below one folder. `durable` keeps what was acknowledged through a power cut."""

    directory: Path
    programs: Programs
    account: Account
    durable: bool

    @property
    def _data(self) -> Path:
        return self.directory / "postgres"

    @property
    def _ports_file(self) -> Path:
        return self.directory / "ports.json"

    def ports(self) -> Ports | None:
        """The ports of the last start; None before the first one."""
        if not self._ports_file.exists():
            return None
        return Ports(**json.loads(self._ports_file.read_text(encoding="utf-8")))

    def start(self) -> Ports:
        """Starts what does not run yet; a remembered port that somebody else has taken is replaced."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.account.own(self.directory)
        last = self.ports()
        postgres_port = self._start_postgres(last.postgres if last else None)
        redis_port = self._start_redis(last.redis if last else None, postgres_port)
        ports = Ports(postgres_port, redis_port)
        if ports != last:
            self._ports_file.write_text(json.dumps(vars(ports)), encoding="utf-8")
        return ports

    def stop(self) -> None:
        """Stops both servers, cleanly; one that does not run is no error."""
        ports = self.ports()
        if ports is None:
            return
        if self._postgres_runs():
            control = self.programs.postgres / "pg_ctl"
            self.account.run(
                control, "-D", self._data, "-m", "fast", "-w", "stop", cwd=self.directory, accept_failure=True
            )
        if self._redis_runs(ports.redis):
            self._stop_redis(ports.redis)

    def _postgres_runs(self) -> bool:
        control = self.programs.postgres / "pg_ctl"
        return self.account.run(control, "-D", self._data, "status", cwd=self.directory, accept_failure=True) == 0

    def _start_postgres(self, remembered: int | None) -> int:
        if not (self._data / "PG_VERSION").exists():
            self._create_cluster()
        elif remembered and self._postgres_runs():
            return remembered
        port = remembered if remembered and is_free(remembered) else _free_port()
        settings = self._data / "postgresql.auto.conf"
        settings.write_text(SETTINGS.format(port=port) + ("" if self.durable else THROW_AWAY), encoding="utf-8")
        self.account.own(settings)
        control, log = self.programs.postgres / "pg_ctl", self.directory / "postgres.log"
        seconds = str(START_SECONDS)
        self.account.run(control, "-D", self._data, "-l", log, "-w", "-t", seconds, "start", cwd=self.directory)
        self._create_database(port)
        return port

    def _create_cluster(self) -> None:
        initdb = self.programs.postgres / "initdb"
        options = ("-A", "trust", "-E", "UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
        quick = ("--no-sync", "--no-instructions")
        self.account.run(initdb, "-D", self._data, "-U", SUPERUSER, *options, *quick, cwd=self.directory)
        (self._data / "zoneinfo").symlink_to(self.programs.time_zones)

    def _create_database(self, port: int) -> None:
        url = f"postgresql://{SUPERUSER}@127.0.0.1:{port}"
        with psycopg.connect(f"{url}/postgres", autocommit=True, connect_timeout=10) as connection:
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone() is None:
                connection.execute(f"CREATE DATABASE {DATABASE}")
        with psycopg.connect(f"{url}/{DATABASE}", autocommit=True, connect_timeout=10) as connection:
            connection.execute("SET client_min_messages = error")
            connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
            connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")

    def _redis_runs(self, port: int) -> bool:
        """Whether it is ours that answers there: somebody else's has another folder."""
        try:
            with _redis_client(port) as client:
                folder = client.config_get("dir")
        except redis.RedisError:
            return False
        return isinstance(folder, dict) and folder.get("dir") == str(self.directory)

    def _start_redis(self, remembered: int | None, postgres_port: int) -> int:
        if remembered and self._redis_runs(remembered):
            return remembered
        port = remembered if remembered and is_free(remembered) else _free_port(postgres_port)
        server = self.programs.redis / "redis-server"
        lasting = ("--appendonly", "yes" if self.durable else "no", "--save", "")
        network = ("--bind", "127.0.0.1", "--port", str(port), "--daemonize", "yes")
        files = (
            "--dir",
            self.directory,
            "--pidfile",
            self.directory / "redis.pid",
            "--logfile",
            self.directory / "redis.log",
        )
        self.account.run(server, *network, *files, *lasting, cwd=self.directory)
        deadline = time.monotonic() + START_SECONDS
        while not self._redis_runs(port):
            if time.monotonic() > deadline:
                raise StackError(f"Redis did not start: see {self.directory / 'redis.log'}")
            time.sleep(0.02)
        return port

    def _stop_redis(self, port: int) -> None:
        try:
            with _redis_client(port) as client:
                client.shutdown(nosave=not self.durable)
        except redis.RedisError as error:
            raise StackError(f"Redis did not stop: {error}") from error

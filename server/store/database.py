"""One bounded pool of PostgreSQL connections. Every wait has a deadline; every error is the domain's."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from server.domain.errors import FailedPrecondition, Unavailable
from server.store.database_errors import CONFLICT, CONNECTION_LOST, conflicted, translated, unavailable
from server.store.server_watch import ServerWatch
from server.store.statements import Statements
from server.store.timings import ACQUIRE, BEGIN, COMMIT, COPY
from server.store.transport import require_verified

T = TypeVar("T")
Row = asyncpg.Record
Isolation = Literal["read_committed", "repeatable_read", "serializable"]

_SQL = Statements.of("database")
_ATTEMPTS: Final = 5
_FIRST_DELAY: Final = 0.02
_DELAY_LIMIT: Final = 1.0
_IDLE_RECYCLE: Final = 300.0
_QUERIES_PER_CONNECTION: Final = 50_000
_NETWORK_ALLOWANCE: Final = 1.0
"""Seconds beyond the statement timeout after which a silent server counts as away."""


@dataclass(frozen=True)
class PoolState:
    """Connections at one moment: least, most, how many exist, lie idle, are in use; how many callers wait for one."""

    minimum: int
    limit: int
    size: int
    idle: int
    in_use: int
    waiting: int

    @property
    def utilization_percent(self) -> int:
        """How much of the limit is in use, rounded up."""
        return -(-100 * self.in_use // self.limit)


class Transaction:
    """What runs in one transaction. Valid inside the `async with` that gave it, for one task at a time."""

    def __init__(self, connection: PoolConnectionProxy[Row], watch: ServerWatch) -> None:
        self._connection = connection
        self._answered = watch.answered

    async def fetch(self, sql: str, *arguments: object) -> list[Row]:
        """All rows."""
        return await self._answered(sql, self._connection.fetch(sql, *arguments))

    async def fetchrow(self, sql: str, *arguments: object) -> Row | None:
        """The first row; None when there is none."""
        return await self._answered(sql, self._connection.fetchrow(sql, *arguments))

    async def fetchval(self, sql: str, *arguments: object) -> Any:
        """The first column of the first row; None when there is no row or the value is NULL."""
        return await self._answered(sql, self._connection.fetchval(sql, *arguments))

    async def execute(self, sql: str, *arguments: object) -> int:
        """-> how many rows it touched, 0 for statements without rows."""
        tag = await self._answered(sql, self._connection.execute(sql, *arguments))
        count = tag.rpartition(" ")[2]
        return int(count) if count.isdigit() else 0

    async def copy(self, table: str, columns: Sequence[str], rows: Sequence[tuple[object, ...]]) -> None:
        """Bulk load. Knows no conflict clause, and row-level security refuses it: for market data only."""
        await self._answered(COPY, self._connection.copy_records_to_table(table, columns=columns, records=rows))


class Database:
    """Pool of one role's connections. Made by `Database.open`."""

    def __init__(self, pool: asyncpg.Pool[Row], acquire_timeout: float, statement_timeout: float) -> None:
        self._pool = pool
        self._acquire_timeout = acquire_timeout
        self._statement_timeout = statement_timeout
        self._waiting = 0
        self.watch = ServerWatch()

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        url: str,
        *,
        size: int = 20,
        acquire_timeout: float = 5.0,
        statement_timeout: float = 5.0,
        application_name: str = "strikeline",
        allow_superuser: bool = False,
        require_tls: bool = False,
        replicas: int = 1,
    ) -> AsyncIterator[Database]:
        """Connects; on leaving, waits for running transactions for `acquire_timeout` and then drops them.

        Durations are seconds. Raises Unavailable when the server cannot be reached, and FailedPrecondition when the
        role is a superuser or bypasses row-level security, unless `allow_superuser` (development) is set; when the
        server has not `size` connections for each of `replicas` processes like this one; with `require_tls`
        (production), when a network lies between that the URL does not secure.
        """
        if require_tls:
            require_verified(url)
        with translated(statement_timeout):
            pool = await _pool(url, size, acquire_timeout, statement_timeout, application_name)
        database = cls(pool, acquire_timeout, statement_timeout)
        try:
            if not allow_superuser:
                await database.refuse_superuser()
            await database._refuse_excess(replicas)
            yield database
        finally:
            await database._close()

    @asynccontextmanager
    async def transaction(
        self, user: str | None = None, *, isolation: Isolation = "read_committed", read_only: bool = False
    ) -> AsyncIterator[Transaction]:
        """One transaction, committed at the end of the block and undone when the block raises or is cancelled.

        `user` is whose tenant rows the api may see; None sees none. Never await anything but the database inside.
        """
        with translated(self._statement_timeout):
            connection, begun = await self._begin(isolation, read_only)
            try:
                async with self._ended(begun):
                    transaction = Transaction(connection, self.watch)
                    if user is not None:
                        await transaction.execute(_SQL["set_user"], user)
                    yield transaction
            finally:
                await self._pool.release(connection, timeout=self._acquire_timeout)

    async def run(self, work: Callable[[Transaction], Awaitable[T]], user: str | None = None) -> T:
        """Runs `work` in a transaction, again up to 5 times when it meets another writer (deadlock, serialisation).

        `work` must have no effect outside the database. Delays grow and are jittered. Raises Aborted at the end.
        """
        for attempt in range(_ATTEMPTS):
            try:
                async with self.transaction(user) as transaction:
                    return await work(transaction)
            except CONFLICT:
                if attempt == _ATTEMPTS - 1:
                    break
                await asyncio.sleep(min(_FIRST_DELAY * 2**attempt, _DELAY_LIMIT) * random.uniform(0.5, 1.5))
        raise conflicted()

    async def fetch(self, sql: str, *arguments: object) -> list[Row]:
        """All rows of one statement on data that belongs to no tenant."""
        async with self.session() as session:
            return await session.fetch(sql, *arguments)

    async def fetchrow(self, sql: str, *arguments: object) -> Row | None:
        """The first row of one statement on data that belongs to no tenant."""
        async with self.session() as session:
            return await session.fetchrow(sql, *arguments)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Transaction]:
        """A connection on which each statement is its own transaction, for what no transaction may hold."""
        with translated(self._statement_timeout):
            await self._admit()
            connection = await self._acquire()
            try:
                yield Transaction(connection, self.watch)
            finally:
                await self._pool.release(connection, timeout=self._acquire_timeout)

    @asynccontextmanager
    async def listening(self, channel: str) -> AsyncIterator[asyncio.Event]:
        """An event that each notification on the channel sets, and so does the loss of the connection.

        Clear it before looking. Holds one connection of the pool for as long as the block lasts. When the connection
        is lost, nothing more is heard: wait with a time limit, look for yourself, and open the block again.
        """
        heard = asyncio.Event()
        async with self.session() as session:
            connection = session._connection  # noqa: SLF001 - the one user of what a Transaction hides
            await connection.add_listener(channel, lambda *_: heard.set())
            connection.add_termination_listener(lambda *_: heard.set())
            try:
                yield heard
            finally:
                with suppress(*CONNECTION_LOST):  # a lost connection listens no more
                    await connection.reset(timeout=self._acquire_timeout)

    async def refuse_superuser(self) -> None:
        """Raises FailedPrecondition when this role stands above row-level security."""
        row = await self.fetchrow(_SQL["role"])
        if row is None or row["rolsuper"] or row["rolbypassrls"]:
            raise FailedPrecondition(
                "the database role is a superuser or bypasses row-level security",
                metadata={"resource": "database_role", "state": "SUPERUSER"},
            )

    async def _refuse_excess(self, replicas: int) -> None:
        row = await self.fetchrow(_SQL["connection_limit"])
        limit = row["connections"] if row else 0
        size = self._pool.get_max_size()
        if replicas * size > limit:
            pools = f"a pool of {size} exceeds" if replicas == 1 else f"{replicas} pools of {size} exceed"
            raise FailedPrecondition(
                f"{pools} the server's {limit} connections",
                metadata={"resource": "database_pool", "state": "TOO_LARGE"},
            )

    async def ping(self) -> None:
        """Returns when the database answers; raises Unavailable or DeadlineExceeded when it does not."""
        await self.fetchrow(_SQL["ping"])

    def pool_state(self) -> PoolState:
        """The pool now, for metrics."""
        size, idle = self._pool.get_size(), self._pool.get_idle_size()
        return PoolState(self._pool.get_min_size(), self._pool.get_max_size(), size, idle, size - idle, self._waiting)

    async def _begin(
        self, isolation: Isolation, read_only: bool
    ) -> tuple[PoolConnectionProxy[Row], asyncpg.transaction.Transaction]:
        """A connection with a transaction begun. BEGIN proves that the connection lives: a stale one is replaced."""
        await self._admit()
        for _ in range(self._pool.get_max_size() + 1):
            connection = await self._acquire()
            begun = connection.transaction(isolation=isolation, readonly=read_only)
            try:
                await self.watch.answered(BEGIN, begun.start())
            except TimeoutError:  # a server that is silent here is silent on every other connection
                await self._pool.release(connection, timeout=self._acquire_timeout)
                raise
            except CONNECTION_LOST:
                await self._pool.release(connection, timeout=self._acquire_timeout)
            except BaseException:
                await self._pool.release(connection, timeout=self._acquire_timeout)
                raise
            else:
                return connection, begun
        raise unavailable()

    async def _admit(self) -> None:
        """Raises Unavailable while the server is known to be away; who probes it, connects anew."""
        if self.watch.breaker.admit():
            await self._pool.expire_connections()

    async def _acquire(self) -> PoolConnectionProxy[Row]:
        self._waiting += 1
        began = time.monotonic()
        try:
            # asyncpg passes the same limit to connecting, hence the refusal of a full pool is told apart by its size.
            return await self._pool.acquire(timeout=self._acquire_timeout)
        except BaseException as error:
            full = self.pool_state().in_use >= self._pool.get_max_size()
            if not full:
                self.watch.failed(error, time.monotonic() - began)
            if isinstance(error, TimeoutError):
                raise self._exhausted() if full else unavailable() from error
            raise
        finally:
            self._waiting -= 1
            self.watch.statements.of(ACQUIRE).add(time.monotonic() - began)

    def _exhausted(self) -> Unavailable:
        self.watch.exhausted += 1
        return Unavailable(
            "all database connections are in use",
            reason="DATABASE_POOL_EXHAUSTED",
            metadata={"size": str(self._pool.get_max_size())},
            retry_after=self._acquire_timeout,
        )

    @asynccontextmanager
    async def _ended(self, begun: asyncpg.transaction.Transaction) -> AsyncIterator[None]:
        """Commits a begun transaction, or undoes it when the block raises."""
        try:
            yield
        except BaseException as error:
            if not isinstance(error, CONNECTION_LOST):
                await begun.rollback()
            raise
        else:
            await self.watch.answered(COMMIT, begun.commit())

    async def _close(self) -> None:
        try:
            async with asyncio.timeout(self._acquire_timeout):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()


async def _pool(
    url: str, size: int, acquire_timeout: float, statement_timeout: float, application_name: str
) -> asyncpg.Pool[Row]:
    limit = str(math.ceil(statement_timeout * 1000))
    return await asyncpg.create_pool(
        url,
        min_size=1,
        max_size=size,
        timeout=acquire_timeout,
        command_timeout=statement_timeout + _NETWORK_ALLOWANCE,
        max_inactive_connection_lifetime=_IDLE_RECYCLE,
        max_queries=_QUERIES_PER_CONNECTION,
        server_settings={
            "application_name": application_name,
            "statement_timeout": limit,
            "idle_in_transaction_session_timeout": limit,
            "timezone": "UTC",
            # Community edition unpacks what a late or repeated minute of a compressed day falls on. By default it
            # refuses to for more than some 250 contracts at once; each is unpacked once, so no limit is needed.
            "timescaledb.max_tuples_decompressed_per_dml_transaction": "0",
        },
        reset=_keep_session,
    )


async def _keep_session(_connection: asyncpg.Connection[Row]) -> None:
    """Replaces the round trip that clears a session on release: all that we set ends with its transaction."""

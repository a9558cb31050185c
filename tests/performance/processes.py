"""Roles and bare servers as processes of a benchmark, on a database and a Redis name of their own."""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from server.dev.plan import shared_environment
from server.dev.probes import listens
from server.dev.stack import StackUrls, urls_from_environment_or_stack
from server.dev.supervisor import Probe
from server.dev.tokens import Identity
from server.domain.errors import Unavailable
from server.store.redis import RedisClient, open_redis
from tests.support.databases import TestDatabase, database_copy, ensure_template
from tests.support.system import free_ports

READY_SECONDS = 30.0


@dataclass(frozen=True)
class Bench:
    """Where a benchmark's data and identity live."""

    database: TestDatabase
    redis_url: str
    namespace: str
    identity: Identity
    environment: Mapping[str, str]

    def bearer(self) -> tuple[tuple[str, str], ...]:
        """Metadata of a caller with every scope."""
        token = self.identity.issue_token("bench", ("read", "trade"))
        return (("authorization", f"Bearer {token}"),)


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    """A migrated database and a Redis name, gone at the end."""
    with TemporaryDirectory() as folder:
        urls, stop = await asyncio.to_thread(urls_from_environment_or_stack, "bench")
        try:
            template = await asyncio.to_thread(ensure_template, urls.database_url)
            async with open_redis(urls.redis_url, timeout=5.0) as redis:
                await _until_ready(redis)
                with database_copy(urls.database_url, template) as database:
                    setting = _bench(database, urls, Path(folder))
                    try:
                        yield setting
                    finally:
                        await redis.remove_namespace(setting.namespace)
        finally:
            await asyncio.to_thread(stop)


async def _until_ready(redis: RedisClient) -> None:
    """Redis has read what it kept from before."""
    async with asyncio.timeout(READY_SECONDS):
        while True:
            try:
                return await redis.ping()
            except Unavailable:
                await asyncio.sleep(0.1)


def _bench(database: TestDatabase, urls: StackUrls, folder: Path) -> Bench:
    identity = Identity(folder)
    namespace = f"bench-{uuid.uuid4().hex[:8]}"
    environment = {
        **os.environ,
        **shared_environment(StackUrls(database.owner_url, urls.redis_url), identity, {}),
        "STRIKELINE_NAMESPACE": namespace,
        "STRIKELINE_QUOTA_TIER": "benchmark",
        "STRIKELINE_STREAMS_PER_USER": "2000",
        "STRIKELINE_STREAMS_PER_ADDRESS": "2000",
        "STRIKELINE_LOG_LEVEL": "INFO",
    }
    return Bench(database, urls.redis_url, namespace, identity, environment)


@asynccontextmanager
async def program(command: Sequence[str], ready: Probe | None, environment: Mapping[str, str]) -> AsyncIterator[int]:
    """Runs a program until left, from the moment it is ready. -> its process id."""
    running = await asyncio.create_subprocess_exec(*command, env=dict(environment), stdout=asyncio.subprocess.DEVNULL)
    try:
        async with asyncio.timeout(READY_SECONDS):
            while ready is not None and not await ready():
                if running.returncode is not None:
                    raise RuntimeError(f"{command} ended with {running.returncode}")
                await asyncio.sleep(0.05)
        yield running.pid
    finally:
        await _end(running)


async def _end(running: asyncio.subprocess.Process) -> None:
    if running.returncode is not None:
        return
    running.terminate()
    try:
        async with asyncio.timeout(10):
            await running.wait()
    except TimeoutError:
        running.kill()
        await running.wait()


def process(
    arguments: Sequence[str], port: int | None, environment: Mapping[str, str]
) -> AbstractAsyncContextManager[int]:
    """Runs `python ARGUMENTS` until left, once its port answers."""
    return program((sys.executable, *arguments), None if port is None else listens(port), environment)


@asynccontextmanager
async def bare(module: str, *arguments: str) -> AsyncIterator[str]:
    """One of this package's bare servers. -> "host:port"."""
    (port,) = free_ports(1)
    async with process(["-m", f"tests.performance.{module}", str(port), *arguments], port, os.environ):
        yield f"127.0.0.1:{port}"


@dataclass(frozen=True)
class Api:
    """A running api process."""

    target: str
    pid: int


@asynccontextmanager
async def api(setting: Bench, **more: str) -> AsyncIterator[Api]:
    """The api role."""
    (port,) = free_ports(1)
    environment = {**setting.environment, "STRIKELINE_GRPC_ADDRESS": f"127.0.0.1:{port}", **more}
    async with process(["-m", "server", "api"], port, environment) as pid:
        yield Api(f"127.0.0.1:{port}", pid)


@asynccontextmanager
async def gateway(setting: Bench, upstream: str) -> AsyncIterator[str]:
    """The gateway before an api. -> "host:port"."""
    (port,) = free_ports(1)
    environment = {
        **setting.environment,
        "STRIKELINE_GATEWAY_ADDRESS": f"127.0.0.1:{port}",
        "STRIKELINE_UPSTREAM": upstream,
    }
    async with process(["-m", "gateway"], port, environment):
        yield f"127.0.0.1:{port}"

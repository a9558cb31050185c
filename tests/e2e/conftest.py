"""One whole system for each module: `python -m server dev`, as a user starts it, on a database of its own.

A module says with ARGUMENTS how it is started. Its tests share the system and therefore one event loop
(`pytestmark = MODULE_LOOP`).
"""

import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from server.dev.stack import StackUrls
from server.store.redis import open_redis
from tests.e2e.http_client import Http
from tests.support.databases import TestDatabase
from tests.support.system import DevSystem, dev_system


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(
    request: pytest.FixtureRequest,
    stack: StackUrls,
    module_database: TestDatabase,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[DevSystem]:
    """The module's system, ready. It is stopped with Ctrl-C at the end."""
    arguments: tuple[str, ...] = request.module.ARGUMENTS
    namespace = f"e2e-{uuid.uuid4().hex[:12]}"
    folder: Path = tmp_path_factory.mktemp("system")
    async with open_redis(stack.redis_url, timeout=1.0) as redis:
        owner = module_database.owner_url
        async with dev_system(folder, owner, stack.redis_url, namespace, *arguments) as running:
            yield running
        await redis.remove_namespace(namespace)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http(system: DevSystem) -> AsyncIterator[Http]:
    """The user `demo` over HTTP, through Envoy."""
    async with Http.to(system.envoy, system.token()) as client:
        yield client


def pytest_make_parametrize_id(val: object) -> str | None:
    """Requests as readable names. pytest asks for the parameters of every folder, so anything may come."""
    return json.dumps(val, default=str, skipkeys=True) if isinstance(val, dict) else None

"""Fixtures that all tests share: the embedded stack, a migrated database for each test, Redis under a name of its own.

Nothing starts before a test asks for it. DATABASE_URL and REDIS_URL, when set, name a server that the tests may use:
its role must be allowed to create databases, roles and extensions.
"""

import os
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler.protocol import Scheduling

from server.dev.stack import TEST, StackUrls, urls_from_environment_or_stack
from server.store.database import Database
from server.store.redis import RedisClient, open_redis
from tests.support.databases import TestDatabase, database_copy, ensure_template
from tests.support.distribution import Groups
from tests.support.ordering import mark, shuffled

pytest_plugins = ["server.contract.testing.plugin"]

# How long an example takes depends on what else the machine does: it is no property of the code.
settings.register_profile("strikeline", deadline=None)
settings.load_profile("strikeline")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The order of tests is an option: whoever relies on one is found."""
    parser.addoption("--shuffle", type=int, metavar="SEED", help="run unit tests in an order that this number decides")


@pytest.hookimpl(tryfirst=True)  # pytest then brings together the tests that share a parametrised fixture
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks tests by their folders and, when asked, shuffles them."""
    mark(items)
    seed = config.getoption("shuffle")
    if seed is not None:
        items[:] = shuffled(items, seed)


def pytest_report_header(config: pytest.Config) -> str | None:
    """How to get this order again."""
    seed = config.getoption("shuffle")
    return None if seed is None else f"order: --shuffle {seed}"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    """Which process runs which tests, where several do."""
    return Groups(config, log)


@pytest.fixture(scope="session")
def stack() -> Iterator[StackUrls]:
    """TimescaleDB and Redis; started by the first test that needs them, stopped by the last session that leaves."""
    urls, stop = urls_from_environment_or_stack(TEST)
    yield urls
    stop()


@pytest.fixture(scope="session")
def template_database(stack: StackUrls) -> str:
    """Name of a database at the newest revision, to be copied and never written to."""
    return ensure_template(stack.database_url)


@pytest.fixture
def database(stack: StackUrls, template_database: str) -> Iterator[TestDatabase]:
    """A migrated database of this test alone: `.owner_url`, `.api_url`, `.worker_url`."""
    with database_copy(stack.database_url, template_database) as copy:
        yield copy


@pytest.fixture(scope="module")
def module_database(stack: StackUrls, template_database: str) -> Iterator[TestDatabase]:
    """A migrated database that the tests of one module share: filled once by the module, then only read."""
    with database_copy(stack.database_url, template_database) as copy:
        yield copy


@pytest.fixture
def empty_database(stack: StackUrls) -> Iterator[TestDatabase]:
    """A database without any schema, of this test alone."""
    with database_copy(stack.database_url, None) as copy:
        yield copy


@pytest.fixture
async def api_db(database: TestDatabase) -> AsyncIterator[Database]:
    """Pool as the role `strikeline_api`, under row-level security."""
    async with Database.open(database.api_url, size=10, application_name="test-api") as db:
        yield db


@pytest.fixture
async def worker_db(database: TestDatabase) -> AsyncIterator[Database]:
    """Pool as the role `strikeline_worker`."""
    async with Database.open(database.worker_url, size=10, application_name="test-worker") as db:
        yield db


@pytest.fixture
def redis_url(stack: StackUrls) -> str:
    """The Redis that all tests share; keep to keys below `namespace`."""
    return stack.redis_url


@pytest.fixture
def namespace() -> str:
    """Prefix of this test's Redis keys, never used before."""
    return f"test-{uuid.uuid4().hex[:12]}"


@pytest.fixture
async def redis(redis_url: str, namespace: str) -> AsyncIterator[RedisClient]:
    """Client of the shared Redis. The keys of this test's namespace are removed at the end."""
    async with open_redis(redis_url, timeout=10.0) as client:
        yield client
        await client.remove_namespace(namespace)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the recorded market data. Absent: the test is skipped, and fails where CI is set."""
    folder = Path(os.environ.get("STRIKELINE_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        reason = f"recorded market data is not at {folder}: set STRIKELINE_SHARED_DATA"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return folder

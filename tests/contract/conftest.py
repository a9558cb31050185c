"""The system that the contract tests run against: an api and a gateway in this process, on a database of their own."""

from collections.abc import Iterator

import pytest

from server.contract.testing.system import System
from server.dev.stack import StackUrls
from tests.contract.stored import store_bars, store_calendar
from tests.support.contract_system import import_instruments, on_a_thread, running_system
from tests.support.databases import TestDatabase, database_copy


@pytest.fixture(scope="module")
def contract_database(stack: StackUrls, template_database: str) -> Iterator[TestDatabase]:
    with database_copy(stack.database_url, template_database) as copy:
        yield copy


@pytest.fixture(scope="module")
def strikeline_system(
    stack: StackUrls, contract_database: TestDatabase, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    """Overrides the plugin's: the system is started here, with a few instruments and bars.

    It ends with the module: what its thread draws from `random` would disturb other modules' property tests.
    """
    keys = tmp_path_factory.mktemp("keys")
    store_calendar(contract_database)
    with on_a_thread(lambda: running_system(keys, contract_database.api_url, stack.redis_url)) as system:
        import_instruments(system)
        store_bars(contract_database)
        yield system

"""The shape of the source: sizes, no shared state, SQL in one place, nothing twice, no module of tests imported."""

from collections.abc import Callable, Iterable
from itertools import chain

import pytest

from server.contract.methods import load_contract
from tests.quality import detectors
from tests.quality.detectors import Source

PROGRAMS = ("server", "gateway")
# Creates databases for development; the store's statements are not for that.
SQL_HOMES = ("server/store/", "server/dev/instance.py")
# The pytest plugin for teams that test against the contract.
PUBLISHED = "server/contract/testing/"
CALLED_ELSEWHERE = {
    "emit": "by the logging module",
    "net_greeks": "the sums of StrategyService's Greeks, whose RPCs come later",
    "remove_namespace": "by tests and benchmarks, which clean up behind themselves",
    "round_to_tick": "the rounding of orders, whose RPCs come later",
    "tightened": "by the contract's compatibility gate",
}


@pytest.fixture(scope="module")
def programs() -> list[Source]:
    found = detectors.sources(*PROGRAMS)
    assert found
    return found


def findings(check: Callable[[Source], Iterable[str]], files: Iterable[Source]) -> str:
    return "\n".join(chain.from_iterable(check(source) for source in files))


def test_files_are_short(programs):
    assert findings(detectors.long_files, [*programs, *detectors.sources("tests", "migrations")]) == ""


def test_functions_are_short(programs):
    assert findings(detectors.long_functions, programs) == ""


def test_modules_hold_no_mutable_state(programs):
    assert findings(detectors.module_state, programs) == ""


def test_sql_stands_in_the_store_only(programs):
    outside = [source for source in programs if not str(source.path).startswith(SQL_HOMES)]
    assert findings(detectors.sql_strings, outside) == ""
    files = [
        path.relative_to(detectors.PROJECT) for name in PROGRAMS for path in (detectors.PROJECT / name).rglob("*.sql")
    ]
    assert [str(path) for path in files if not str(path).startswith("server/store/")] == []


def test_no_test_module_is_imported():
    assert findings(detectors.borrowed_tests, detectors.sources("tests")) == ""


def test_no_code_stands_twice(programs):
    assert "\n".join(detectors.duplicates(programs)) == ""


def test_what_nothing_calls_is_not_kept(programs):
    called = {method.name for method in load_contract()} | set(CALLED_ELSEWHERE)
    found = [line for line in detectors.without_caller(programs) if not line.startswith(PUBLISHED)]
    found = [line for line in found if line.rsplit(" ", 1)[1] not in called]
    assert "\n".join(found) == ""

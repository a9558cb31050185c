"""The shape of the source: sizes, no shared state, SQL in one place, nothing twice."""

from collections.abc import Callable, Iterable
from itertools import chain

import pytest

from tests.quality import detectors
from tests.quality.detectors import Source

PROGRAMS = ("server", "gateway")
# Creates databases for development; the store's statements are not for that.
SQL_HOMES = ("server/store/", "server/dev/instance.py")


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


def test_no_code_stands_twice(programs):
    assert "\n".join(detectors.duplicates(programs)) == ""

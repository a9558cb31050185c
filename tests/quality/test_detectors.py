"""The detectors find what they are meant to find, and nothing else."""

from pathlib import Path

import pytest

from tests.quality import detectors
from tests.quality.detectors import Source


def of(text: str, name: str = "x.py") -> Source:
    return Source(Path(name), text)


@pytest.mark.parametrize(
    "text",
    [
        "cache = {}",
        "CACHE = {}",
        "TABLE = {1: 2}\ndef f():\n    TABLE[3] = 4",
        "NAMES = ['a']\ndef f():\n    NAMES.append('b')",
        "LOCK = threading.Lock()",
        "seen: set[str] = set()",
        "def f():\n    global x\n    x = 1",
    ],
)
def test_module_state_is_found(text):
    assert list(detectors.module_state(of(text)))


@pytest.mark.parametrize(
    "text", ["TABLE = {1: 2}", "__all__ = ['a']", "X = 1", "def f():\n    seen = []\n    seen.append(1)"]
)
def test_constants_are_no_module_state(text):
    assert not list(detectors.module_state(of(text)))


@pytest.mark.parametrize(
    "text", ["q = 'SELECT a FROM b'", "q = '''\n  insert into t values (1)'''", "q = f'DELETE FROM {t}'"]
)
def test_sql_is_found(text):
    assert list(detectors.sql_strings(of(text)))


@pytest.mark.parametrize("text", ["'''Select one from many.'''", "q = 'Select an instrument'", "q = 'update'"])
def test_prose_is_no_sql(text):
    assert not list(detectors.sql_strings(of(text)))


@pytest.mark.parametrize(
    "text",
    [
        "from tests.streaming.test_bars import Bars",
        "from tests.streaming import market, test_bars",
        "import tests.streaming.test_bars as bars",
        "def f():\n    from tests.streaming.test_bars import Bars",
    ],
)
def test_an_import_of_a_test_module_is_found(text):
    assert len(list(detectors.borrowed_tests(of(text)))) == 1


@pytest.mark.parametrize(
    "text", ["from tests.streaming.market import test", "import tests.streaming.market", "from google import test_pb2"]
)
def test_other_imports_borrow_no_tests(text):
    assert not list(detectors.borrowed_tests(of(text)))


def test_long_functions_and_files_are_found():
    body = "def f():\n" + "    x = 1\n" * 40
    assert list(detectors.long_functions(of(body)))
    assert not list(detectors.long_functions(of("def f():\n" + "    x = 1\n" * 39)))
    assert list(detectors.long_files(of("x = 1\n" * 401)))


def test_a_copied_stretch_is_told_once():
    stretch = "".join(f"    value_{number} = call({number})\n" for number in range(12))
    files = [of("def a():\n" + stretch, "a.py"), of("def b():\n" + stretch, "b.py")]
    assert detectors.duplicates(files) == ["the same code: a.py:2, b.py:2"]


def test_what_no_file_mentions_is_found():
    files = [of("def used(): ...\ndef unused(): ...\ndef _private(): ..."), of("from x import used\nused()")]

    assert [finding.split(": ")[1] for finding in detectors.without_caller(files)] == ["nothing calls unused"]

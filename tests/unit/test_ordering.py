"""How the tests themselves are marked and ordered."""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.ordering import KINDS, TESTS, mark, shuffled


@dataclass(frozen=True)
class Item:
    """As much of a collected test as its place."""

    path: Path
    name: str
    markers: list[str] = field(default_factory=list)

    def add_marker(self, marker: str) -> None:
        self.markers.append(marker)


def items() -> list[Item]:
    modules = ("e2e/test_a.py", "e2e/test_b.py", "unit/x/test_c.py", "unit/x/test_d.py", "unit/test_e.py")
    return [Item(TESTS / module, f"test_{number}") for module in modules for number in range(4)]


def test_a_test_is_marked_by_its_folder():
    marked = [*items(), Item(TESTS / "conftest.py", "no test"), Item(Path("/elsewhere/test_z.py"), "test_1")]

    mark(marked)

    assert [item.markers for item in marked[::4]] == [["e2e"], ["e2e"], ["unit"], ["unit"], ["unit"], []]
    assert marked[-1].markers == []


def test_every_mark_is_registered(pytestconfig: pytest.Config):
    project = tomllib.loads((TESTS.parent / "pyproject.toml").read_text(encoding="utf-8"))
    registered = {line.partition(":")[0] for line in project["tool"]["pytest"]["ini_options"]["markers"]}

    assert set(KINDS) <= registered


def test_every_folder_with_tests_has_a_mark():
    folders = {path.relative_to(TESTS).parts[0] for path in TESTS.rglob("test_*.py")}

    assert folders == set(KINDS)


def test_a_seed_gives_one_order_and_another_seed_another():
    collected = items()
    orders = [[(item.path, item.name) for item in shuffled(collected, seed)] for seed in (1, 1, 2)]

    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted((item.path, item.name) for item in collected)


@pytest.mark.parametrize("seed", range(5))
def test_modules_stay_whole_and_folders_in_their_place(seed):
    collected = items()

    ordered = shuffled(collected, seed)

    assert ordered[:8] == collected[:8]
    modules = [item.path for item in ordered[8:]]
    assert [modules[start : start + 4] for start in range(0, 12, 4)] == [[path] * 4 for path in modules[::4]]
    assert {path.relative_to(TESTS).parts[0] for path in modules} == {"unit"}

"""What a test's folder says of it, and tests in an order that nobody relies on."""

import random
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import pytest

KINDS = ("unit", "integration", "contract", "streaming", "security", "resilience", "e2e", "quality")
"""Folders of `tests/` whose names mark the tests below them."""

ANY_ORDER = frozenset({"unit"})
"""Folders whose tests run in any order; those of the others share systems, and their order is a matter of time."""

TESTS = Path(__file__).parents[1]


def folder_of(item: pytest.Item) -> str:
    """The folder of `tests/` that a test lies in; empty elsewhere."""
    return item.path.relative_to(TESTS).parts[0] if item.path.is_relative_to(TESTS) else ""


def mark(items: Sequence[pytest.Item]) -> None:
    """Marks each test with the name of its folder."""
    for item in items:
        folder = folder_of(item)
        if folder in KINDS:
            item.add_marker(folder)


def shuffled(items: Sequence[pytest.Item], seed: int) -> list[pytest.Item]:
    """The modules of a folder of `ANY_ORDER`, and the tests of each module, in an order that the seed decides.

    Modules stay whole, because some make an expensive thing once; folders stay where they are, because those whose
    tests take longest come first.
    """
    chance = random.Random(seed)
    ordered: list[pytest.Item] = []
    for folder, below in groupby(items, folder_of):
        if folder not in ANY_ORDER:
            ordered += below
            continue
        modules = [list(tests) for _, tests in groupby(below, lambda item: item.path)]
        chance.shuffle(modules)
        for tests in modules:
            chance.shuffle(tests)
            ordered += tests
    return ordered

"""Named statements."""

import re
from pathlib import Path

import pytest

import server.store
from server.store.statements import Statements

FILES = sorted(Path(server.store.__file__).parent.glob("*.sql"))


def test_a_file_is_split_at_its_names():
    found = Statements.parse("-- A comment.\n\n-- name: one\nSELECT 1;\n\n-- name: two\n-- why\nSELECT 2;\n")
    assert dict(found) == {"one": "SELECT 1", "two": "-- why\nSELECT 2"}


def test_a_repeated_name_is_refused():
    with pytest.raises(ValueError, match="used twice"):
        Statements.parse("-- name: one\nSELECT 1;\n-- name: one\nSELECT 2;\n")


def test_text_without_a_name_is_refused():
    with pytest.raises(ValueError, match="before the first"):
        Statements.parse("SELECT 1;\n-- name: one\nSELECT 1;\n")


ALLOWED = ("SELECT DISTINCT ON (key) *", "SELECT * FROM rolled_")
"""The second names functions, which declare the columns that they return."""


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_statement_selects_everything(path: Path):
    text = path.read_text()
    for allowed in ALLOWED:
        text = text.replace(allowed, "")
    assert "SELECT *" not in text


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_statement_is_used(path: Path):
    sources = "".join(source.read_text() for source in path.parent.glob("*.py"))
    names = [name for name in Statements.of(path.stem) if f'"{name}"' not in sources]
    composed = tuple(set(re.findall(r'f"(\w+_)\{', sources)))  # names that a program ends with a roll-up's
    assert [name for name in names if not name.startswith(composed)] == []

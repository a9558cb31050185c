"""Named statements."""

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


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_statement_selects_everything(path: Path):
    assert "SELECT *" not in path.read_text().replace("SELECT DISTINCT ON (key) *", "")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_statement_is_used(path: Path):
    sources = "".join(source.read_text() for source in path.parent.glob("*.py"))
    names = [name for name in Statements.of(path.stem) if f'"{name}"' not in sources]
    composed = {"from_15m", "from_5m"}  # bar_series builds these two from a number
    assert set(names) <= composed

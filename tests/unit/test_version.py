"""The version is the same wherever it stands."""

import tomllib
from pathlib import Path

from server.version import VERSION


def test_the_program_and_the_project_agree():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))

    assert project["project"]["version"] == VERSION

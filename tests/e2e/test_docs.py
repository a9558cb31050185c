"""Every shell block of README and docs, run as it stands against a running system; and what pages name exists.

A fenced block tagged `sh` is run. A comment `<!-- prints TEXT -->` above it says what must be in its output.
"""

from __future__ import annotations

import asyncio
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.system import DevSystem

ARGUMENTS = ()
MODULE_LOOP = pytest.mark.asyncio(loop_scope="module")
ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(
    r"^(?:<!-- prints (?P<prints>[^\n]*) -->\n)?```(?P<tag>\w*)\n(?P<script>.*?)^```", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    tag: str
    script: str
    prints: str | None


def blocks() -> list[Block]:
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in BLOCK.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found.append(Block(str(page.relative_to(ROOT)), line, match["tag"], match["script"], match["prints"]))
    return found


SHELL = [block for block in blocks() if block.tag == "sh"]


@MODULE_LOOP
@pytest.mark.parametrize("block", SHELL, ids=lambda block: f"{block.page}:{block.line}")
async def test_a_block_prints_what_the_page_says(system: DevSystem, tmp_path: Path, block: Block) -> None:
    script = block.script.replace("127.0.0.1:8080", system.envoy).replace("127.0.0.1:8081", system.gateway)

    process = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", "-c", script.replace(".venv/bin/python", sys.executable)),
        env={**system.environment, "PYTHONPATH": f"{ROOT}:{ROOT / 'generated' / 'pb'}"},
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()

    assert process.returncode == 0, output.decode()
    assert block.prints is not None, "say above the block what it prints"
    assert block.prints in output.decode()


def test_the_readme_has_commands() -> None:
    assert len([block for block in SHELL if block.page == "README.md"]) >= 5


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text(encoding="utf-8"))

    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_files_that_a_page_names_exist(page: Path) -> None:
    named = re.findall(
        r"`((?:server|gateway|protos|tests|docs|migrations|generated|deploy)/[\w./-]*)`", page.read_text("utf-8")
    )

    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_targets_that_a_page_names_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = re.findall(r"(?:`|^    )make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)

    assert [name for name in named if name not in targets] == []

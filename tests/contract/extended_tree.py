"""A copy of the tree that a test extends as a developer would, and runs in a process of its own."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PARTS = (
    "protos",
    "server",
    "gateway",
    "generated",
    "tests/support",
    "tests/contract",
    "pyproject.toml",
    "buf.yaml",
    "buf.gen.yaml",
)


@dataclass(frozen=True)
class Tree:
    """The copy below `root`."""

    root: Path

    def insert(self, file: str, before: str, text: str) -> None:
        """Writes `text` before the first line that begins with `before`."""
        path = self.root / file
        content = path.read_text(encoding="utf-8")
        place = content.index(f"\n{before}") + 1
        path.write_text(content[:place] + text + content[place:], encoding="utf-8")

    def append(self, file: str, text: str) -> None:
        path = self.root / file
        path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")

    def python(self, *arguments: str, **environment: str) -> str:
        """Output of a Python process that sees this tree only."""
        paths = os.pathsep.join([str(self.root), str(self.root / "generated" / "pb")])
        finished = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.root,
            env={
                **os.environ,
                "PYTHONPATH": paths,
                "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert finished.returncode == 0, finished.stdout + finished.stderr
        return finished.stdout

    def generate(self) -> None:
        """What `make generate` does."""
        self.python("-m", "server.contract.plugins.generate")

    def probe(self, program: str, **environment: str) -> dict:
        """What a program prints as JSON in its last line."""
        (self.root / "probe.py").write_text(program, encoding="utf-8")
        return json.loads(self.python("probe.py", **environment).splitlines()[-1])


def copy_tree(target: Path) -> Tree:
    for part in PARTS:
        source = ROOT / part
        (target / part).parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target / part, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
        else:
            shutil.copy(source, target / part)
    return Tree(target)

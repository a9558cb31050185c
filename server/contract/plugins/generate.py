"""Makes everything under `generated/` from `protos/`, or proves that it is fresh.

    python -m server.contract.plugins.generate [--check]

With --check the files are made in a temporary folder and compared; nothing is changed and a difference is named.
"""

import filecmp
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from server.contract.plugins import image

PROTOS, BUILD, GENERATED = Path("protos"), Path("build"), Path("generated")


def generate(root: Path) -> None:
    """Fills ROOT/generated. Must run in the project folder with the environment's programs on the path."""
    # A process of its own: options are written in another order by one that knows their extensions.
    _run(sys.executable, "-m", image.__name__, str(PROTOS), str(BUILD), str(root / GENERATED))
    _run("buf", "generate", "--output", str(root))
    for stub in (root / GENERATED / "pb").rglob("*_pb2_grpc.pyi"):
        if not stub.with_suffix(".py").exists():
            stub.unlink()  # the file declares no service


def _run(*command: str) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    environment = {**os.environ, "PATH": path}
    subprocess.run(command, check=True, stderr=subprocess.PIPE, text=True, env=environment)


def _files(root: Path) -> set[Path]:
    return {path.relative_to(root) for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts}


def differences(fresh: Path, committed: Path) -> Iterator[str]:
    """One sentence for each file that is missing, left over or different in `committed`."""
    made, present = _files(fresh), _files(committed)
    yield from (f"missing: {path}" for path in sorted(made - present))
    yield from (f"left over: {path}" for path in sorted(present - made))
    for path in sorted(made & present):
        if not filecmp.cmp(fresh / path, committed / path, shallow=False):
            yield f"different: {path}"


def renew() -> None:
    """Makes everything anew beside what is there, then changes over, so that programs always find one or the other."""
    BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        fresh, old = Path(folder) / GENERATED, Path(folder) / "old"
        generate(Path(folder))
        old.mkdir()
        GENERATED.mkdir(exist_ok=True)
        for made in sorted(fresh.iterdir()):
            present = GENERATED / made.name
            if present.is_dir():
                present.rename(old / made.name)
            made.replace(present)


def check() -> int:
    """Exit status: 1 and a list on standard error when `generated/` is stale."""
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        found = list(differences(Path(folder) / GENERATED, GENERATED))
    for line in found:
        print(line, file=sys.stderr)
    if found:
        print("generated/ is stale: run `make generate` and commit the result", file=sys.stderr)
    return 1 if found else 0


def main(arguments: list[str]) -> int:
    """Generates, or checks when the arguments say so."""
    try:
        if "--check" in arguments:
            return check()
        renew()
    except subprocess.CalledProcessError as error:
        print(error.stderr or error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

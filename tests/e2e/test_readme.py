"""Every shell command that the README shows, run as it stands against a running system."""

import asyncio
import re
import sys
from pathlib import Path

import pytest

from tests.support.system import DevSystem

ARGUMENTS = ()
pytestmark = pytest.mark.asyncio(loop_scope="module")
README = Path(__file__).parents[2] / "README.md"
BLOCKS = re.findall(r"^```sh\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
EXPECTED = ('"quotes":[{"instrument":"NSE:NIFTY 50"', '"subscribed"', '"premiumFlow"')


@pytest.mark.parametrize(("block", "expected"), list(zip(BLOCKS, EXPECTED, strict=True)), ids=["quote", "ticks", "m2m"])
async def test_a_block_prints_what_the_readme_says(
    system: DevSystem, tmp_path: Path, block: str, expected: str
) -> None:
    script = block.replace("127.0.0.1:8080", system.envoy).replace(".venv/bin/python", sys.executable)

    process = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", "-c", script),
        env={**system.environment, "PYTHONPATH": str(README.parent)},
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()

    assert process.returncode == 0, output.decode()
    assert expected in output.decode()

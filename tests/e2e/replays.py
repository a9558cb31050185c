"""Recorded files, replayed into a whole system by its own command."""

import re
from pathlib import Path

from tests.support.system import DevSystem


async def replay(system: DevSystem, *files: Path | str) -> int:
    """Replays as fast as the worker follows. -> number of ticks that the command says it sent."""
    said = await system.run("feed", "replay", "--speed", "max", *map(str, files))
    found = re.search(r"replay finished: ([\d,]+) ticks", said)
    assert found is not None, said
    return int(found[1].replace(",", ""))

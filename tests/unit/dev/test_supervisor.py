"""The supervisor restarts, reports, stops and leaves nobody behind."""

import asyncio
import os
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from server.dev.supervisor import Program, ProgramError, Supervisor
from tests.support.waiting import eventually

LOOP = "import time\nwhile True: time.sleep(1)"


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


async def never() -> bool:
    return False


def python(name: str, code: str, **more) -> Program:
    return Program(name, (sys.executable, "-c", code), **more)


async def test_a_child_that_is_killed_starts_again(tmp_path):
    said: list[str] = []
    async with Supervisor(tmp_path, said.append) as supervisor:
        child = supervisor.start(python("feed", LOOP))
        await child.wait_ready(5)
        first = child.pid
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: child.pid not in (None, first))
    assert said == [f"feed ended (signal SIGKILL), starts again in 0.1 s: {tmp_path / 'feed.log'}"]
    assert not alive(first)


async def test_stop_ends_children_that_ignore_sigterm_and_their_descendants(tmp_path):
    code = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"print(subprocess.Popen([sys.executable, '-c', {LOOP!r}]).pid, flush=True)\n" + LOOP
    )
    async with Supervisor(tmp_path, print, grace=0.2) as supervisor:
        child = supervisor.start(python("api", code))
        await eventually(lambda: child.tail().strip().isdigit())
        pids = [child.pid, int(child.tail())]
        begin = time.monotonic()
    assert time.monotonic() - begin < 3
    await eventually(lambda: not any(alive(pid) for pid in pids))


async def test_a_finished_child_is_not_started_again(tmp_path):
    async with Supervisor(tmp_path, print) as supervisor:
        child = supervisor.start(python("replay", "print('1,000 ticks')", finishes=True))
        await asyncio.wait_for(child.finished.wait(), 5)
        await child.wait_ready(1)
        assert (child.starts, child.tail()) == (1, "1,000 ticks")


async def test_a_child_that_never_becomes_ready_is_told_with_its_last_lines(tmp_path):
    async with Supervisor(tmp_path, print) as supervisor:
        child = supervisor.start(python("gateway", "raise SystemExit('port is taken')", ready=never))
        with pytest.raises(ProgramError, match=r"(?s)gateway does not become ready.*port is taken"):
            await child.wait_ready(10)


async def test_the_log_of_the_run_before_is_kept(tmp_path):
    (tmp_path / "worker.log").write_text("yesterday")
    async with Supervisor(tmp_path, print) as supervisor:
        child = supervisor.start(python("worker", "print('today'); " + "import time; time.sleep(60)"))
        await child.wait_ready(5)
    assert (tmp_path / "worker.log.1").read_text() == "yesterday"


async def test_children_die_with_a_supervisor_that_is_killed(tmp_path):
    code = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom server.dev.supervisor import Program, Supervisor\n"
        "async def main():\n"
        f"    async with Supervisor(Path({str(tmp_path)!r}), print) as supervisor:\n"
        f"        child = supervisor.start(Program('feed', (sys.executable, '-c', {LOOP!r})))\n"
        "        await child.wait_ready(5)\n"
        "        print(child.pid, flush=True)\n"
        "        await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    pid = int(await process.stdout.readline())
    assert alive(pid)
    process.kill()
    await process.wait()
    await eventually(lambda: not alive(pid))


async def test_a_child_whose_port_is_somebody_elses_is_not_ready(tmp_path):
    async def answers() -> bool:
        return True

    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        async with Supervisor(tmp_path, lambda _: None) as supervisor:
            child = supervisor.start(python("api", LOOP, ready=answers, ports=(port,)))
            with pytest.raises(ProgramError, match="api does not become ready"):
                await child.wait_ready(0.3)

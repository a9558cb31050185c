"""Which streams end when sessions change."""

import asyncio
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from server.domain.errors import StrikelineError
from server.services.monitor_watch import LOOK_SECONDS, MonitorWatch
from tests.support.clock import VirtualClock


@dataclass
class System:
    """Sessions and streams, by hand. `ended` are streams with the reason and whether they are told to reconnect."""

    revisions: dict[str, int] = field(default_factory=dict)
    asked: list[Collection[str]] = field(default_factory=list)
    ended: list[tuple[str, str, bool]] = field(default_factory=list)
    watch: MonitorWatch = field(init=False)
    clock: VirtualClock = field(default_factory=VirtualClock)

    def __post_init__(self) -> None:
        self.watch = MonitorWatch(self, self, self.clock)

    async def renew(self, names: Collection[str]) -> Mapping[str, int]:
        self.asked.append(sorted(names))
        return {name: self.revisions[name] for name in names if name in self.revisions}

    def end(self, stream: str, error: StrikelineError, *, reconnect: bool = False) -> bool:
        self.ended.append((stream, error.reason, reconnect))
        return True


async def test_nothing_is_asked_without_a_stream():
    system = System()

    await system.watch.look()

    assert system.asked == []


async def test_each_session_is_asked_for_once():
    system = System({"a": 1, "b": 2})
    with (
        system.watch.watching("s1", "a", 1),
        system.watch.watching("s2", "a", 1),
        system.watch.watching("s3", "b", 2),
    ):
        await system.watch.look()

    assert (system.asked, system.ended) == ([["a", "b"]], [])


async def test_a_new_revision_ends_what_shows_an_earlier_one():
    system = System({"a": 2})
    with system.watch.watching("s1", "a", 1), system.watch.watching("s2", "a", 2):
        await system.watch.look()

    assert system.ended == [("s1", "MONITOR_SESSION_CHANGED", True)]


async def test_a_session_that_is_gone_ends_its_streams():
    system = System({"a": 1})
    with system.watch.watching("s1", "a", 1), system.watch.watching("s2", "b", 1):
        await system.watch.look()

    assert system.ended == [("s2", "MONITOR_SESSION_ENDED", False)]


async def test_changes_of_this_server_act_at_once():
    system = System()
    with system.watch.watching("s1", "a", 1), system.watch.watching("s2", "b", 1):
        system.watch.changed("a", 2)
        system.watch.deleted("b")

    assert system.ended == [("s1", "MONITOR_SESSION_CHANGED", True), ("s2", "MONITOR_SESSION_ENDED", False)]
    assert system.asked == []


async def test_a_stream_that_has_left_is_watched_no_more():
    system = System({"a": 1})
    with system.watch.watching("s1", "a", 1):
        pass
    system.watch.deleted("a")

    assert system.ended == []


async def test_it_looks_every_second():
    system = System({"a": 1})
    with system.watch.watching("s1", "a", 1):
        task = asyncio.create_task(system.watch.run())
        await system.clock.advance(3 * LOOK_SECONDS)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    assert len(system.asked) == 4

"""A feed waits for the worker."""

from server.market.feeds.ports import Positions
from tests.support.feeds import Committed, VirtualClock, WriterParts, make_ticks


def commit_after(parts: WriterParts, seconds: float, position: str) -> Positions:
    committed = Committed()

    async def positions() -> dict[str, str]:
        return {"bars-0": position} if parts.clock.seconds >= seconds else dict(committed.positions)

    committed.positions = {"bars-0": "0-0"}
    return positions


async def test_a_worker_that_keeps_up_is_not_waited_for() -> None:
    parts = WriterParts(max_ticks=4)

    for time in range(10):
        await parts.writer.send(make_ticks(time, time))

    assert parts.clock.slept == []


async def test_the_feed_waits_until_enough_is_committed() -> None:
    parts = WriterParts(max_ticks=4)
    parts.flow._positions = commit_after(parts, 0.5, "2-0")

    for time in range(4):
        await parts.writer.send(make_ticks(time, time))

    assert parts.log.appended_seconds[:3] == [0.0, 0.0, 0.0]
    assert 0.5 <= parts.log.appended_seconds[3] < 0.6


async def test_a_slot_that_has_never_committed_counts_as_behind() -> None:
    parts = WriterParts(max_ticks=1)
    parts.flow._positions = commit_after(parts, 1.0, "9-0")
    parts.committed.positions = {}

    await parts.writer.send(make_ticks(1, 1))
    await parts.writer.send(make_ticks(2))

    assert parts.log.appended_seconds[1] >= 1.0


async def test_a_full_log_is_waited_for() -> None:
    parts = WriterParts(max_entries=2)
    clock: VirtualClock = parts.clock

    async def length() -> int:
        return 2 if clock.seconds < 0.3 else 0

    parts.log.length = length  # type: ignore[method-assign]

    for time in range(3):
        await parts.writer.send(make_ticks(time))

    assert 0.3 <= parts.log.appended_seconds[2] < 0.4


async def test_waiting_is_measured() -> None:
    parts = WriterParts(max_ticks=1)
    parts.flow._positions = commit_after(parts, 0.5, "9-0")

    await parts.writer.send(make_ticks(1, 1))
    await parts.writer.send(make_ticks(2))

    assert 0.5 <= parts.metrics.waited._value.get() < 0.6

"""One slot's view of the log."""

import pytest

from server.market.entries import TICKS, Entry
from server.market.log_reader import LogReader, ShardsDisagree
from server.market.records import DEPTH, TICK
from strikeline.internal.v1.log_pb2 import LogEntry
from tests.unit.market.pipeline import MONDAY, STOCK, Tick, ticks


class MemoryLog:
    """Streams of (id, payload), by shard."""

    def __init__(self, *shards: list[tuple[str, bytes]]) -> None:
        self._shards = shards

    async def read(self, shard: int, after_id: str, count: int, block_ms: int = 0) -> list[tuple[str, bytes]]:
        return [entry for entry in self._shards[shard] if entry[0] > after_id][:count]

    async def range(self, shard: int, after: str, until: str, count: int) -> list[tuple[str, bytes]]:
        return [entry for entry in self._shards[shard] if after < entry[0] <= until][:count]


def payload(market_time: int, *rows: Tick) -> bytes:
    return LogEntry(kind=TICKS, run="run-1", market_time=market_time, ticks=ticks(rows).tobytes()).SerializeToString()


async def test_shards_are_merged_by_id():
    log = MemoryLog(
        [("1-0", payload(5, Tick(1, MONDAY, 1, 10))), ("2-0", payload(7))],
        [("1-0", payload(6, Tick(STOCK, MONDAY, 2, 20))), ("2-0", payload(7))],
    )

    entries = await LogReader(log, [0, 1]).read("0-0", 10, 0)

    assert [entry.id for entry in entries] == ["1-0", "2-0"]
    assert entries[0].ticks["instrument"].tolist() == [1, STOCK]
    assert entries[0].market_time == 6
    assert entries[1].ticks.dtype == TICK
    assert entries[1].depths.dtype == DEPTH


async def test_reading_goes_on_behind_a_position_and_stops_at_the_count():
    log = MemoryLog([(f"{number}-0", payload(number)) for number in range(1, 6)])

    assert [entry.id for entry in await LogReader(log, [0]).read("2-0", 2, 0)] == ["3-0", "4-0"]


async def test_large_entries_are_read_in_small_parts():
    rows = [Tick(1, MONDAY, row, 10) for row in range(8_000)]
    log = MemoryLog([(f"{number:02}-0", payload(number, *rows)) for number in range(20)])
    reader = LogReader(log, [0])

    first = await reader.read("", 64, 0)
    second = await reader.read(first[-1].id, 64, 0)

    assert [len(first), len(second)] == [8, 2]


async def test_small_entries_are_read_in_large_parts():
    log = MemoryLog([(f"{number:02}-0", payload(number)) for number in range(80)])
    reader = LogReader(log, [0])

    first = await reader.read("", 64, 0)
    second = await reader.read(first[-1].id, 64, 0)

    assert [len(first), len(second)] == [8, 64]


async def test_an_empty_log_gives_nothing():
    assert await LogReader(MemoryLog([], []), [0, 1]).read("0-0", 10, 0) == []


async def test_a_missing_entry_of_a_shard_is_an_error():
    log = MemoryLog([("1-0", payload(5)), ("2-0", payload(6))], [("2-0", payload(6))])

    with pytest.raises(ShardsDisagree, match="behind 0-0"):
        await LogReader(log, [0, 1]).read("0-0", 10, 0)


def test_an_entry_says_what_it_is():
    message = LogEntry(kind=TICKS, run="run-1", source="replay", appended_at=9).SerializeToString()

    entry = Entry.parse("1-0", [message, message])

    assert (entry.kind, entry.run, entry.source, entry.appended_at) == (TICKS, "run-1", "replay", 9)


@pytest.mark.parametrize("broken", [b"\xff\xff\xff", LogEntry(kind=TICKS, ticks=b"123").SerializeToString()])
async def test_an_unreadable_entry_is_said_and_passed_over(broken, caplog):
    log = MemoryLog([("1-0", broken), ("2-0", payload(7))])

    entries = await LogReader(log, [0]).read("0-0", 10, 0)

    assert [(entry.id, entry.kind) for entry in entries] == [("1-0", 0), ("2-0", TICKS)]
    assert "1-0" in caplog.text


class Letters:
    """What was put, by `once`."""

    def __init__(self) -> None:
        self.put_once: dict[str, tuple[str, str, str, bytes, int]] = {}

    async def put(
        self, source: str, place: str, reason: str, payload: bytes, received_ns: int, *, once: str = ""
    ) -> None:
        self.put_once.setdefault(once, (source, place, reason, payload, received_ns))


async def test_what_cannot_be_read_is_put_aside_with_its_shard_and_the_rest_is_read():
    log = MemoryLog([("1-0", payload(5)), ("2-0", payload(6))], [("1-0", b"\xff poison"), ("2-0", payload(6))])
    letters = Letters()

    entries = [await LogReader(log, [0, 1], letters).read("0-0", 10, 0) for _ in range(2)]

    assert [entry.market_time for entry in entries[0]] == [0, 6]
    ((source, place, reason, poison, received_ns),) = letters.put_once.values()
    assert (source, place, poison, received_ns) == ("log", "1-0 of shard 1", b"\xff poison", 1_000_000)
    assert reason.startswith("1-0 is no log entry")

"""The way into the log: batches, market time, signs of life, repetition."""

import numpy as np
import pytest

from server.domain.errors import Unavailable
from server.market.feeds import writer as writer_module
from server.market.records import DEPTH, OPEN_INTEREST_REPORT, TICK
from strikeline.internal.v1 import log_pb2
from tests.support.feeds import WriterParts, make_ticks

STARTED, TICKS, ENDED = (
    log_pb2.LOG_ENTRY_KIND_RUN_STARTED,
    log_pb2.LOG_ENTRY_KIND_TICKS,
    log_pb2.LOG_ENTRY_KIND_RUN_ENDED,
)


def times_of(entry: log_pb2.LogEntry) -> list[int]:
    return [int(time) for time in np.frombuffer(entry.ticks, dtype=TICK)["event_time"]]


async def test_a_run_is_marked_at_both_ends() -> None:
    parts = WriterParts()

    await parts.writer.start()
    await parts.writer.send(make_ticks(10, 20))
    await parts.writer.end()

    entries = parts.log.entries
    assert [entry.kind for entry in entries] == [STARTED, TICKS, ENDED]
    assert [entry.market_time for entry in entries] == [0, 20, 20]
    assert {(entry.run, entry.source) for entry in entries} == {("run-1", "replay")}
    assert [entry.tick_count for entry in entries] == [0, 0, 2]


async def test_appended_at_is_wall_time() -> None:
    parts = WriterParts()
    parts.clock.seconds = 2.0

    await parts.writer.start()

    assert parts.log.entries[0].appended_at == 1_002_000_000_000


async def test_market_time_never_falls_when_the_source_runs_backwards() -> None:
    parts = WriterParts()

    await parts.writer.send(make_ticks(10, 30))
    await parts.writer.send(make_ticks(20))

    assert [entry.market_time for entry in parts.log.entries] == [30, 30]
    assert times_of(parts.log.entries[1]) == [20]


async def test_an_event_time_is_never_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "MAX_ENTRY_TICKS", 2)
    parts = WriterParts()

    await parts.writer.send(make_ticks(10, 20, 20, 20, 30, 40))

    assert [times_of(entry) for entry in parts.log.entries] == [[10, 20, 20, 20], [30, 40]]


async def test_a_cut_within_late_ticks_waits_for_market_time_to_advance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "MAX_ENTRY_TICKS", 1)
    parts = WriterParts()

    await parts.writer.send(make_ticks(20, 10, 15, 30))

    assert [times_of(entry) for entry in parts.log.entries] == [[20, 10, 15], [30]]


async def test_depths_travel_with_the_ticks_of_their_event_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "MAX_ENTRY_TICKS", 1)
    parts = WriterParts()
    depths = np.zeros(3, dtype=DEPTH)
    depths["event_time"] = [10, 20, 20]

    await parts.writer.send(make_ticks(10, 20), depths)

    found = [np.frombuffer(entry.depths, dtype=DEPTH)["event_time"].tolist() for entry in parts.log.entries]
    assert found == [[10], [20, 20]]


async def test_reports_of_open_interest_travel_with_the_ticks_of_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "MAX_ENTRY_TICKS", 1)
    parts = WriterParts()
    reports = np.zeros(2, dtype=OPEN_INTEREST_REPORT)
    reports["event_time"], reports["change"] = [10, 20], [-75, 150]

    await parts.writer.send(make_ticks(10, 20), reports=reports)

    found = [np.frombuffer(entry.open_interest_reports, OPEN_INTEREST_REPORT)["change"] for entry in parts.log.entries]
    assert [changes.tolist() for changes in found] == [[-75], [150]]


async def test_ticks_go_to_the_shard_of_their_instrument() -> None:
    parts = WriterParts(shards=2)
    parts.shards.set(5, 1)
    parts.shards.set(5_000, 0)
    ticks = make_ticks(10, 10, 10)
    ticks["instrument"] = [5, 5_000, 5]

    await parts.writer.send(ticks)

    rows = [np.frombuffer(parts.log.of_shard(shard)[0].ticks, dtype=TICK)["row"].tolist() for shard in (0, 1)]
    assert rows == [[1], [0, 2]]


async def test_a_beat_comes_a_second_after_the_last_entry() -> None:
    parts = WriterParts()
    await parts.writer.send(make_ticks(10))

    parts.clock.seconds = 0.9
    await parts.writer.beat()
    parts.clock.seconds = 1.0
    await parts.writer.beat()

    entries = parts.log.entries
    assert [(entry.kind, entry.market_time, entry.ticks) for entry in entries[1:]] == [(TICKS, 10, b"")]


async def test_an_append_whose_answer_was_lost_comes_once() -> None:
    parts = WriterParts()
    parts.log.away = 2

    await parts.writer.send(make_ticks(10))
    await parts.writer.send(make_ticks(20))

    assert [times_of(entry) for entry in parts.log.entries] == [[10], [20]]
    assert parts.clock.slept == [0.05, 0.1]


async def test_a_log_that_stays_away_ends_the_feed() -> None:
    parts = WriterParts()
    parts.log.away = 1_000

    with pytest.raises(Unavailable):
        await parts.writer.send(make_ticks(10))

    assert 60 <= parts.clock.seconds < 65


async def test_ticks_are_counted() -> None:
    parts = WriterParts()

    await parts.writer.send(make_ticks(10, 20))
    await parts.writer.send(make_ticks(30))

    assert parts.writer.tick_count == 3
    assert parts.metrics.ticks._value.get() == 3

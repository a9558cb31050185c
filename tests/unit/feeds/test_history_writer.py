"""Past minutes into the log: four ticks a bar, with the day's volume so far, and done when they are stored."""

from dataclasses import replace

import numpy as np
import pytest

from server.brokers.market_data import HISTORY_BAR
from server.domain.errors import Unavailable
from server.domain.instruments import Instrument, InstrumentKind, shard_of
from server.domain.prices import ABSENT
from server.domain.timeframes import MINUTE_NS
from server.market.feeds.history_writer import HistoryWriter, history_ticks
from server.market.records import TICK
from server.store.market_log import LogFull
from strikeline.internal.v1 import log_pb2
from tests.support.feeds import Committed, MemoryLog, VirtualClock

OPEN = 1_764_560_700 * 10**9
SHARE = Instrument(instrument_id=7, exchange="NSE", tradingsymbol="INFY", kind=InstrumentKind.EQUITY)


def day(*minutes: int) -> np.ndarray:
    bars = np.zeros(len(minutes), HISTORY_BAR)
    bars["open_time"] = minutes_at(*minutes)
    bars["open"], bars["high"], bars["low"], bars["close"] = 100, 109, 91, 104
    bars["volume"], bars["open_interest"] = 40, ABSENT
    return bars


def minutes_at(*minutes: int) -> np.ndarray:
    return OPEN + np.array(minutes, dtype=np.int64) * MINUTE_NS


class Parts:
    def __init__(self, shards: int = 1) -> None:
        self.clock = VirtualClock()
        self.log, self.committed = MemoryLog(self.clock), Committed()
        slots = frozenset(f"bars-{shard}" for shard in range(shards))
        self.committed.positions = dict.fromkeys(slots, "999-0")
        self.writer = HistoryWriter(self.log, self.committed, slots, shards, self.clock)


def test_ticks_are_those_of_a_replayed_bar_with_the_volume_of_the_day():
    ticks = history_ticks(SHARE, day(0, 1, 2), minutes_at(1))

    assert ticks[["event_time", "row", "last_price", "volume"]].tolist() == [
        (OPEN + MINUTE_NS + 15 * 10**9 * step, 4 + step, price, volume)
        for step, (price, volume) in enumerate([(100, 40), (109, 40), (91, 40), (104, 80)])
    ]


def test_a_minute_has_the_same_numbers_however_much_of_the_day_is_known():
    whole, part = (history_ticks(SHARE, bars, minutes_at(2)) for bars in (day(0, 1, 2), day(0, 2)))

    assert whole["row"].tolist() == part["row"].tolist()


def test_an_index_has_no_volume():
    index = replace(SHARE, kind=InstrumentKind.INDEX)

    assert (history_ticks(index, day(0), minutes_at(0))["volume"] == ABSENT).all()


async def test_an_entry_is_history_and_no_run():
    parts = Parts()

    filled = await parts.writer.fill(SHARE, day(0, 1), minutes_at(0, 1, 2))

    (entry,) = parts.log.entries
    assert (filled, entry.kind, entry.source, entry.run) == (2, log_pb2.LOG_ENTRY_KIND_HISTORY, "backfill", "")
    assert (len(entry.ticks), entry.market_time, len(entry.history)) == (0, 0, 8 * TICK.itemsize)


async def test_ticks_are_on_the_shard_of_their_instrument():
    parts = Parts(shards=4)

    await parts.writer.fill(SHARE, day(0), minutes_at(0))

    sizes = [len(parts.log.of_shard(shard)[0].history) for shard in range(4)]
    assert [shard for shard, size in enumerate(sizes) if size] == [shard_of(SHARE, 4)]


async def test_nothing_is_appended_for_minutes_that_the_source_lacks():
    parts = Parts()

    assert await parts.writer.fill(SHARE, day(0), minutes_at(5)) == 0
    assert parts.log.stored == []


async def test_it_is_done_when_the_worker_has_stored_it():
    parts = Parts()
    parts.committed.positions = {"bars-0": "0-0"}

    with pytest.raises(Unavailable, match="has not stored"):
        await parts.writer.fill(SHARE, day(0), minutes_at(0))

    assert 30 < parts.clock.seconds < 31


async def test_a_full_log_is_waited_for(monkeypatch: pytest.MonkeyPatch):
    parts, refused = Parts(), []
    append = parts.log.append

    async def full_at_first(payloads: list[bytes]) -> str:
        if len(refused) < 3:
            refused.append(1)
            raise LogFull
        return await append(payloads)

    monkeypatch.setattr(parts.log, "append", full_at_first)

    assert await parts.writer.fill(SHARE, day(0), minutes_at(0)) == 1

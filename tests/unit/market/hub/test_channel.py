"""The channel: what each reader gets, and what the slow ones get."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.domain.errors import ResourceExhausted, Unavailable
from server.market.hub.channel import LARGEST_BATCH, Channel, QueueDepth, QueueLimits
from server.market.hub.journal import SUPERSEDED, Events
from server.market.hub.position import EntryId
from tests.support.clock import VirtualClock

AMPLE = QueueLimits(events=1_000, size=100_000, age=5.0)


class Bench:
    """A channel with numbered events `item:number`, and the readers of a test."""

    def __init__(self, limits=AMPLE, largest_batch=LARGEST_BATCH):
        self.clock = VirtualClock()
        self.channel = Channel(limits, self.clock, 1, largest_batch)
        self.number = 0
        self.happened = []

    def reader(self, *items):
        return self.channel.attach(self.channel.wanted.add(frozenset(items)))

    def entry(self, *items, market_time=1, keys=None, newest=None):
        wanted = np.array([item for item in items if self.channel.wanted.wants(item)], dtype=np.int64)
        chunks = []
        for item in wanted.tolist():
            self.number += 1
            chunks.append(b"%d:%d;" % (item, self.number))
            self.happened.append((item, self.number))
        column = wanted if keys is None else np.array(keys, dtype=np.int64)
        mask = np.ones(len(wanted), dtype=np.bool_) if newest is None else np.array(newest)
        place = EntryId(self.channel.head.position[0].milliseconds + 1, 0)
        self.channel.append((place,), market_time, Events.of(wanted, column, mask, chunks))

    def take(self, reader, interval=0.0, conflate=True):
        """All frames up to the cut."""
        pulse = self.channel.pulses[interval]
        frames = []
        while frame := self.channel.take(reader, pulse, pulse.cut, conflate=conflate):
            frames.append(frame)
        return frames


def texts(frames):
    return [frame.body().decode() for frame in frames]


def test_reader_gets_only_what_it_wants():
    bench = Bench()
    one, other = bench.reader(1, 2), bench.reader(2, 3)
    bench.entry(1, 2, 3)

    assert texts(bench.take(one)) == ["1:1;2:2;"]
    assert texts(bench.take(other)) == ["2:2;3:3;"]


def test_reader_begins_with_the_next_entry():
    bench = Bench()
    bench.reader(1)
    bench.entry(1)
    late = bench.reader(1)
    bench.entry(1)

    assert texts(bench.take(late)) == ["1:2;"]


def test_nothing_is_encoded_that_nobody_wants():
    bench = Bench()
    bench.reader(1)

    assert bench.channel.wanted.mask(np.array([1, 2, 5_000])).tolist() == [True, False, False]


def test_what_the_last_reader_wanted_is_no_longer_wanted():
    bench = Bench()
    one, other = bench.reader(1), bench.reader(1, 2)
    bench.channel.wanted.remove(other.items)
    bench.channel.wanted.remove(one.items)

    assert bench.channel.wanted.mask(np.array([1, 2])).tolist() == [False, False]
    assert len(bench.channel.wanted) == 0


def test_item_numbers_may_grow():
    bench = Bench()
    small, large = bench.reader(1), bench.reader(1, 70_000)
    bench.entry(1, 70_000)

    assert texts(bench.take(small)) == ["1:1;"]
    assert texts(bench.take(large)) == ["1:1;70000:2;"]


def test_cut_of_an_interval_waits_for_its_pulse():
    bench = Bench()
    reader = bench.reader(1)
    bench.entry(1)
    before = bench.take(reader, 0.1)
    bench.channel.pulses[0.1].fire(bench.channel.head)

    assert before == []
    assert texts(bench.take(reader, 0.1)) == ["1:1;"]


def test_frame_ends_at_its_cut():
    bench = Bench()
    reader = bench.reader(1)
    bench.entry(1, market_time=77)

    (frame,) = bench.take(reader)

    assert (frame.moment.market_time, frame.moment.position, frame.events) == (77, (EntryId(1, 0),), 1)


def test_large_batch_is_split_between_entries():
    bench = Bench(largest_batch=9)
    reader = bench.reader(1, 2)
    for _ in range(4):
        bench.entry(1, 2)
    bench.channel.pulses[1.0].fire(bench.channel.head)

    frames = bench.take(reader, 1.0)

    assert texts(frames) == ["1:1;2:2;", "1:3;2:4;", "1:5;2:6;", "1:7;2:8;"]
    assert [frame.moment.position[0].milliseconds for frame in frames] == [1, 2, 3, 4]


def test_entry_larger_than_a_batch_stays_whole():
    bench = Bench(largest_batch=3)
    reader = bench.reader(1, 2)
    bench.entry(1, 2)

    assert texts(bench.take(reader)) == ["1:1;2:2;"]


def test_conflation_keeps_the_last_event_of_each_key_in_order():
    bench = Bench(QueueLimits(events=2, size=100_000, age=5.0))
    reader = bench.reader(1, 2, 3)
    for items in ((1, 2), (1, 3), (1,), (2,)):
        bench.entry(*items)

    (frame,) = bench.take(reader)

    assert (texts([frame]), frame.replaced) == (["3:4;1:5;2:6;"], 3)


def test_conflation_keeps_different_keys_of_one_item():
    bench = Bench(QueueLimits(events=1, size=100_000, age=5.0))
    reader = bench.reader(1)
    for key in (10, 10, 11):
        bench.entry(1, keys=[key])

    (frame,) = bench.take(reader)

    assert (texts([frame]), frame.replaced) == (["1:2;1:3;"], 1)


def test_conflation_drops_superseded_events():
    bench = Bench(QueueLimits(events=1, size=100_000, age=5.0))
    reader = bench.reader(1)
    bench.entry(1)
    bench.entry(1)
    bench.entry(1, keys=[SUPERSEDED], newest=[False])

    (frame,) = bench.take(reader)

    assert (texts([frame]), frame.replaced) == (["1:2;"], 2)


def test_reader_that_may_not_be_conflated_is_refused():
    bench = Bench(QueueLimits(events=2, size=100_000, age=5.0))
    reader = bench.reader(1)
    for _ in range(4):
        bench.entry(1)

    with pytest.raises(ResourceExhausted) as caught:
        bench.take(reader, conflate=False)

    assert (caught.value.reason, caught.value.metadata) == ("SLOW_CONSUMER", {"waiting_events": "4"})


def test_interval_itself_makes_nobody_slow():
    bench = Bench(QueueLimits(events=2, size=100_000, age=5.0, shared=100))
    reader = bench.reader(1)
    for _ in range(50):
        bench.entry(1)
    bench.channel.pulses[1.0].fire(bench.channel.head)

    (frame,) = bench.take(reader, 1.0)

    assert (frame.events, frame.replaced) == (50, 0)


async def test_journal_forgets_what_is_too_old():
    bench = Bench()
    reader = bench.reader(1)
    bench.entry(1)
    await bench.clock.advance(7.0)
    bench.entry(1)
    bench.channel.trim()

    assert bench.channel.waiting_events == 1
    assert [frame.replaced for frame in bench.take(reader)] == [1]


def test_journal_is_bounded_by_events():
    bench = Bench(QueueLimits(events=10, size=100_000, age=5.0, shared=2))
    bench.reader(1)
    for _ in range(100):
        bench.entry(1)

    assert bench.channel.waiting_events == 20


def test_the_depth_is_that_of_the_slowest_reader():
    bench = Bench()
    quick = bench.reader(1)
    bench.reader(2)
    bench.entry(1)
    bench.entry(1, 2)
    bench.take(quick)

    assert bench.channel.depth == QueueDepth(events=3, size=12, behind=2)


def test_journal_is_bounded_by_bytes():
    bench = Bench(QueueLimits(events=1_000, size=10, age=5.0, shared=2))
    bench.reader(1)
    for _ in range(9):
        bench.entry(1)

    assert bench.channel.waiting_events == 5


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**9), st.integers(1, 12), st.integers(2, 40))
def test_every_event_is_delivered_or_counted(seed, most, shared):
    """Readers of all kinds, some slow: what they got, what was replaced and what waits add up to what happened."""
    chance = random.Random(seed)
    bench = Bench(QueueLimits(events=most, size=100_000, age=5.0, shared=shared))
    readers = [bench.reader(*chance.sample(range(6), chance.randint(1, 6))) for _ in range(4)]
    got = [[] for _ in readers]
    replaced = [0] * len(readers)

    def take(number):
        for frame in bench.take(readers[number]):
            replaced[number] += frame.replaced
            got[number] += [tuple(map(int, text.split(":"))) for text in frame.body().decode().split(";") if text]

    for _ in range(60):
        bench.entry(*chance.sample(range(6), chance.randint(1, 6)))
        if chance.random() < 0.4:
            take(chance.randrange(len(readers)))
    for number, reader in enumerate(readers):
        take(number)
        wanted = [event for event in bench.happened if event[0] in reader.items.items]
        assert len(got[number]) + replaced[number] == len(wanted)
        assert got[number] == sorted(got[number], key=lambda event: event[1])
        latest = dict(wanted)
        assert dict(got[number]) == latest


async def test_place_that_does_not_come_is_unavailable():
    bench = Bench()

    with pytest.raises(Unavailable):
        await bench.channel.reached((EntryId(9, 9),), timeout=0.01)


def test_conflation_waits_for_what_was_not_known_yet():
    bench = Bench(QueueLimits(events=1, size=100_000, age=5.0))
    reader = bench.reader(1)
    bench.entry(1)
    bench.entry(1)
    late = Events.of(np.array([1]), np.array([1]), np.ones(1, np.bool_), [b"late;"])
    bench.channel.append(
        (EntryId(9, 0),),
        1,
        late,
        lambda: bench.channel.settled(late, np.array([SUPERSEDED]), np.zeros(1, np.bool_)),
    )

    (frame,) = bench.take(reader)

    assert (texts([frame]), frame.replaced) == (["1:2;"], 2)

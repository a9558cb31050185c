"""The stage is a function of its entries: crashes, repeated replays and other cuts of the same ticks change nothing."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.market.chains import LiveChain, unpack_entries
from server.market.checkpoints import CheckpointUnreadable
from server.market.entries import Entry
from tests.unit.market.chain_stage.chain_pipeline import (
    EXPIRY,
    MILLI,
    MONTHLY,
    OPEN,
    SECOND,
    STRIKES,
    Feed,
    Tick,
    Worker,
    call,
    depth_record,
    minute,
    option_tick,
    put,
    report_record,
    spot_tick,
    whole_chain,
)


def market(steps: int = 60) -> list[list[Tick]]:
    """Ticks of some minutes, grouped by event time; each time is a multiple of 50 ms."""
    chance = random.Random(11)
    options = [side(strike, expiry) for strike in STRIKES for expiry in (EXPIRY, MONTHLY) for side in (call, put)]
    groups = []
    for step in range(steps):
        time = OPEN + step * 3_650 * MILLI
        chosen = chance.sample(options, 5)
        groups.append(
            [
                spot_tick(time, 24_050.0 + chance.randrange(-20, 20), row=10 * step),
                *(
                    option_tick(number, time, row=10 * step + place, open_interest=1_000 * chance.randrange(1, 9))
                    for place, number in enumerate(chosen, 1)
                ),
            ]
        )
    return groups


def entries_of(groups: Sequence[Sequence[Tick]], run: str = "run-1", first_id: int = 1) -> list[Entry]:
    feed = Feed(run, first_id=first_id)
    batches = [
        feed.batch(
            *rows,
            depths=[depth_record(rows[-1].instrument, rows[-1].event_time, 150.0, 152.0)],
            reports=[report_record(rows[-1].instrument, rows[-1].event_time, 75)],
        )
        for rows in groups
    ]
    return [feed.started(), *batches, feed.beat(), feed.ended()]


def minutes_as_bytes(worker: Worker) -> dict[object, bytes]:
    return {key: item.message().SerializeToString() for key, item in worker.minutes.items()}


async def uninterrupted(entries: Sequence[Entry]) -> Worker:
    worker = Worker()
    await worker.feed_all(entries)
    await worker.commit()
    return worker


@pytest.mark.parametrize("every", [1, 3, 7])
async def test_crashes_change_neither_what_is_published_nor_what_is_stored(every):
    entries = entries_of(market())
    expected = await uninterrupted(entries)
    worker = Worker()
    committed = 0

    for place, entry in enumerate(entries):
        await worker.feed(entry)
        if place % every == 0:
            await worker.commit(full=place % 5 == 0)
            committed = place + 1
        if place % 4 == 3:
            worker.crash()
            await worker.feed_all(entries[committed : place + 1])
    await worker.commit()

    assert worker.published == expected.published
    assert minutes_as_bytes(worker) == minutes_as_bytes(expected)


@pytest.mark.parametrize("aside", [1, 4, 20])
async def test_entries_between_a_commit_and_its_end_are_in_the_next_one(aside):
    entries = entries_of(market())
    expected = await uninterrupted(entries)
    worker = Worker()
    committed = taken = 0

    for place, entry in enumerate(entries):
        await worker.feed(entry)
        if place % (aside + 1) == 0:
            worker.take()
            taken = place + 1
        elif place % (aside + 1) == aside:
            await worker.keep()
            committed = taken
            worker.crash()
            await worker.feed_all(entries[committed : place + 1])
    await worker.commit()

    assert worker.published == expected.published
    assert minutes_as_bytes(worker) == minutes_as_bytes(expected)


async def test_the_same_day_again_makes_the_same_minutes():
    groups = market()
    worker = await uninterrupted(entries_of(groups))
    before = minutes_as_bytes(worker)

    await worker.feed_all(entries_of(groups, "run-2", first_id=1_000))
    await worker.commit()

    assert minutes_as_bytes(worker) == before


@settings(max_examples=25, deadline=None)
@given(cuts=st.sets(st.integers(1, 59)))
async def test_entries_may_be_cut_anywhere_between_event_times(cuts):
    groups = market()
    expected = await uninterrupted(entries_of([*groups]))
    bounds = [0, *sorted(cuts), len(groups)]
    feed = Feed()
    batches = [
        feed.batch(
            *(row for group in groups[first:last] for row in group),
            depths=[
                depth_record(group[-1].instrument, group[-1].event_time, 150.0, 152.0) for group in groups[first:last]
            ],
            reports=[report_record(group[-1].instrument, group[-1].event_time, 75) for group in groups[first:last]],
        )
        for first, last in pairwise(bounds)
    ]

    worker = await uninterrupted([Feed().started(), *batches, feed.beat(), feed.ended()])

    assert minutes_as_bytes(worker) == minutes_as_bytes(expected)
    assert [chain.state() for chain in worker.chains()] == [chain.state() for chain in expected.chains()]


async def test_a_checkpoint_tells_the_newest_state_of_every_chain():
    worker = Worker()
    feed = Feed()
    await worker.feed_all([feed.started(), feed.batch(*whole_chain(OPEN), *whole_chain(OPEN, MONTHLY)[1:])])
    await worker.commit()
    await worker.feed(feed.batch(option_tick(call(24_000), OPEN + SECOND)))
    await worker.commit()

    told: dict[object, LiveChain] = {}
    for sections in worker.checkpoint:
        for entry in unpack_entries(sections["published"]):
            told.update({(state.key.expiry): LiveChain.parse(state, entry.run) for state in entry.chains})

    assert {expiry: (chain.revision, chain.run) for expiry, chain in told.items()} == {
        EXPIRY.isoformat(): (2, "run-1"),
        MONTHLY.isoformat(): (1, "run-1"),
    }


async def test_a_checkpoint_tells_what_ended():
    worker = Worker()
    feed = Feed()
    await worker.feed_all([feed.started(), feed.batch(*whole_chain(minute(374, day=1)))])
    await worker.commit()
    await worker.feed(feed.batch(spot_tick(minute(376, day=1))))
    await worker.commit()

    (entry,) = unpack_entries(worker.checkpoint[-1]["published"])

    assert [key.expiry for key in entry.ended] == [EXPIRY.isoformat()]
    assert not list(unpack_entries(worker.stage.sections(full=True)["published"]))


async def test_a_checkpoint_of_another_version_is_not_read():
    worker = Worker()
    await worker.commit()
    sections = {**worker.checkpoint[0], "layout": b"of another version"}

    with pytest.raises(CheckpointUnreadable):
        worker.stage.restore(sections)

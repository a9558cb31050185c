"""Bars from ticks, one rule a test."""

import asyncio

import numpy as np

from server.domain.prices import ABSENT
from server.domain.timeframes import MINUTE_NS
from server.market.records import BAR_CLOSED, BAR_PARTIAL
from tests.unit.market.pipeline import (
    INDEX,
    MONDAY,
    SECOND,
    SESSION_MINUTES,
    STOCK,
    Feed,
    Tick,
    Worker,
    bars_of,
    oracle,
)  # fmt: skip

CLOSE = MONDAY + SESSION_MINUTES * MINUTE_NS


def at(minute: int, second: float = 0) -> int:
    return MONDAY + minute * MINUTE_NS + int(second * SECOND)


async def replay(worker: Worker, *rows: Tick) -> None:
    feed = Feed()
    for entry in (feed.started(), feed.batch(*rows), feed.ended()):
        await worker.feed(entry)
    await worker.commit()


async def test_a_minute_has_open_high_low_close_by_event_time():
    worker = Worker()

    await replay(worker, Tick(STOCK, at(0, 3), 3, 104), Tick(STOCK, at(0, 1), 1, 101), Tick(STOCK, at(0, 2), 2, 99),
                 Tick(STOCK, at(0, 4), 4, 102))  # fmt: skip

    assert worker.stored()[STOCK, at(0)][:4] == (101, 104, 99, 102)


async def test_volume_counts_from_zero_when_the_feed_begins_within_the_first_minute():
    worker = Worker()

    await replay(worker, Tick(STOCK, at(0, 59), 1, 100, volume=500), Tick(STOCK, at(1), 2, 100, volume=800))

    assert [worker.stored()[STOCK, at(minute)][4] for minute in (0, 1)] == [500, 300]


async def test_volume_counts_from_the_first_tick_when_the_feed_begins_later():
    worker = Worker()

    await replay(worker, Tick(STOCK, at(1), 1, 100, volume=500), Tick(STOCK, at(1, 9), 2, 100, volume=800),
                 Tick(STOCK, at(2), 3, 100, volume=900))  # fmt: skip

    stored = worker.stored()
    assert [stored[STOCK, at(minute)][4] for minute in (1, 2)] == [300, 100]
    assert [stored[STOCK, at(minute)][6] & BAR_PARTIAL for minute in (1, 2)] == [BAR_PARTIAL, 0]


async def test_a_falling_cumulative_volume_is_no_negative_volume():
    worker = Worker()

    await replay(worker, Tick(STOCK, at(0), 1, 100, volume=500), Tick(STOCK, at(1), 2, 100, volume=400),
                 Tick(STOCK, at(2), 3, 100, volume=700))  # fmt: skip

    assert [worker.stored()[STOCK, at(minute)][4] for minute in (0, 1, 2)] == [500, 0, 200]


async def test_an_index_has_no_volume():
    worker = Worker()

    await replay(worker, Tick(INDEX, at(0), 1, 100, volume=0))

    assert worker.stored()[INDEX, at(0)][4] == ABSENT


async def test_ticks_outside_the_session_make_no_bar():
    worker = Worker()

    await replay(worker, Tick(STOCK, at(0) - 1, 1, 100), Tick(STOCK, CLOSE, 2, 100), Tick(STOCK, CLOSE - 1, 3, 105))

    assert list(worker.stored()) == [(STOCK, CLOSE - MINUTE_NS)]


async def test_a_bar_closes_when_market_time_reaches_its_end():
    worker, feed = Worker(), Feed()
    await worker.feed(feed.batch(Tick(STOCK, at(0), 1, 100)))

    before = await worker.feed(feed.beat(at(1) - 1))
    after = await worker.feed(feed.beat(at(1)))

    assert before is None
    assert bars_of(after)["flags"].tolist() == [BAR_CLOSED]


async def test_session_end_is_announced_once_and_closes_the_last_bar():
    worker, feed = Worker(), Feed()
    await worker.feed(feed.batch(Tick(STOCK, CLOSE - 1, 1, 100)))

    ending = await worker.feed(feed.beat(CLOSE))
    later = await worker.feed(feed.beat(CLOSE + SECOND))

    assert ending.session_ended
    assert bars_of(ending)["flags"].tolist() == [BAR_CLOSED | BAR_PARTIAL]
    assert later is None


async def test_the_end_of_a_run_closes_its_bars():
    worker, feed = Worker(), Feed()
    await worker.feed(feed.batch(Tick(STOCK, at(0), 1, 100)))

    ending = await worker.feed(feed.ended())

    assert bars_of(ending)["flags"].tolist() == [BAR_CLOSED]


async def test_a_late_tick_changes_its_minute_and_the_volume_of_the_next():
    worker, feed = Worker(), Feed()
    await worker.feed(feed.batch(Tick(STOCK, at(0), 1, 100, volume=100), Tick(STOCK, at(1), 2, 100, volume=300)))
    await worker.commit()

    published = bars_of(await worker.feed(feed.batch(Tick(STOCK, at(0, 30), 3, 90, volume=250))))

    assert published["open_time"].tolist() == [at(0), at(1)]
    assert published["volume"].tolist() == [250, 50]
    assert published["low"].tolist() == [90, 100]


async def test_an_older_day_of_a_later_run_is_complete_and_leaves_the_newer_day_alone():
    worker, day = Worker(), 86_400 * SECOND
    newer = [Tick(STOCK, at(minute) + day, minute, 200 + minute, volume=10 * minute) for minute in range(3)]
    older = [Tick(STOCK, at(minute), minute, 100 + minute, volume=10 * minute) for minute in range(3)]

    for number, rows in enumerate((newer, older)):
        feed = Feed(f"run-{number}", first_id=100 * number + 1)
        for entry in (feed.started(), *(feed.batch(row) for row in rows), feed.ended()):
            await worker.feed(entry)
    await worker.commit()

    assert worker.stored() == oracle([*newer, *older])


async def test_replaying_again_publishes_and_stores_nothing_new():
    worker = Worker()
    rows = [Tick(STOCK, at(minute, second), minute * 60 + second, 100 + second, volume=minute * 1000 + second)
            for minute in range(3, 6) for second in range(0, 60, 7)]  # fmt: skip
    await replay(worker, *rows)
    before = worker.stored()
    feed = Feed("run-2", first_id=50)

    outputs = [await worker.feed(entry) for entry in (feed.started(), feed.batch(*rows), feed.ended())]
    await worker.commit()

    assert outputs == [None, None, None]
    assert worker.stored() == before


async def test_ticks_of_unknown_instruments_are_left_out():
    worker = Worker()

    await replay(worker, Tick(99, at(0), 1, 100), Tick(STOCK, at(0), 2, 100))

    assert list(worker.stored()) == [(STOCK, at(0))]


def test_the_definition_itself_by_hand():
    rows = [Tick(STOCK, at(2, 5), 1, 110, volume=700), Tick(STOCK, at(2, 9), 2, 90, volume=900, open_interest=5)]

    assert oracle(rows) == {(STOCK, at(2)): (110, 110, 90, 90, 200, 5, 3)}
    assert np.iinfo(np.int64).min == ABSENT


async def test_a_day_that_is_merged_whole_is_closed_by_its_own_run():
    worker, day = Worker(), 86_400 * SECOND
    live, replay_ = Feed("live", "synthetic"), Feed("old", "replay", first_id=100)
    await worker.feed(live.batch(Tick(STOCK, at(0) + day, 1, 200)))
    await worker.feed(replay_.batch(Tick(STOCK, at(0), 1, 100)))

    live_on = await worker.feed(live.beat(at(1) + day - 1))
    closing = bars_of(await worker.feed(replay_.beat(at(1))))

    assert live_on is None
    assert closing[["open_time", "flags"]].tolist() == [(at(0), BAR_CLOSED)]


async def test_an_open_bar_of_an_older_day_is_closed_after_a_restart_too():
    worker, day = Worker(), 86_400 * SECOND
    live, replay_ = Feed("live", "synthetic"), Feed("old", "replay", first_id=100)
    await worker.feed(live.batch(Tick(STOCK, at(0) + day, 1, 200)))
    await worker.feed(replay_.batch(Tick(STOCK, at(0), 1, 100)))
    await worker.commit()
    worker.crash()

    closing = bars_of(await worker.feed(replay_.ended()))

    assert closing[["open_time", "flags"]].tolist() == [(at(0), BAR_CLOSED)]


async def test_a_closed_minute_is_stored_when_a_late_tick_and_a_newer_minute_come_together():
    worker, feed = Worker(), Feed()
    rows = [Tick(STOCK, at(minute), minute, 100 + minute) for minute in range(4)]
    for entry in (feed.batch(rows[0]), feed.batch(rows[2]), feed.beat(at(3))):
        await worker.feed(entry)

    await worker.feed(feed.batch(rows[1], rows[3]))
    await worker.feed(feed.ended())
    await worker.commit()

    assert worker.stored() == oracle(rows)


async def test_a_day_that_another_run_completes_takes_nothing_back_of_the_newest_minute():
    worker, first, second = Worker(), Feed("first", "ticker"), Feed("second", "ticker", first_id=100)
    await worker.feed(first.batch(Tick(STOCK, at(3), 1, 100)))
    await worker.feed(second.started())
    await worker.feed(second.batch(Tick(STOCK, at(0), 0, 90)))
    await worker.feed(second.batch(Tick(STOCK, at(3, 9), 2, 120)))

    closing = bars_of(await worker.feed(second.beat(at(4))))

    assert closing[["open_time", "close", "flags"]].tolist() == [(at(3), 120, BAR_CLOSED)]


async def test_entries_between_a_commit_and_its_end_are_stored_by_the_next_one():
    worker, feed = Worker(), Feed()
    rows = [Tick(STOCK, at(minute), minute, 100 + minute) for minute in range(3)]
    await worker.feed(feed.batch(rows[0]))
    worker.take()

    for entry in (feed.batch(rows[1]), feed.batch(rows[2]), feed.ended()):
        await worker.feed(entry)
    await worker.keep()
    early = list(worker.stored())
    await worker.commit()
    worker.crash()

    assert early == [(STOCK, at(0))]
    assert worker.stored() == oracle(rows)


async def test_a_late_tick_that_meets_a_commit_builds_on_what_is_committed():
    worker, feed = Worker(), Feed()
    rows = [Tick(STOCK, at(minute), minute, 100 + minute, volume=100 * minute) for minute in range(3)]
    late = Tick(STOCK, at(0, 30), 9, 90, volume=50)
    await worker.feed(feed.batch(*rows))
    worker.take()

    await asyncio.gather(worker.feed(feed.batch(late)), worker.keep())
    await worker.feed(feed.ended())
    await worker.commit()

    assert worker.stored() == oracle([*rows, late])

"""Volume and open interest of chains, and the trading day before that they are compared with."""

from __future__ import annotations

from server.domain.prices import ABSENT
from tests.unit.market.chain_stage.chain_pipeline import (
    MONTHLY,
    OPEN,
    SECOND,
    Feed,
    MemoryReference,
    Tick,
    Worker,
    call,
    chains_of,
    minute,
    model_price,
    option_tick,
    put,
    report_record,
    started,
    whole_chain,
)

EXPIRY_DAY = minute(0, day=1)


async def test_a_tick_without_open_interest_leaves_what_is_known():
    worker = Worker()
    feed = await started(worker)
    await worker.feed(feed.batch(*whole_chain(OPEN, volume=100, open_interest=900)))
    time = OPEN + SECOND

    (chain,) = chains_of(await worker.feed(feed.batch(Tick(call(24_000), time, model_price(call(24_000), time)))))

    contract = chain.rows["call"][1]
    assert (contract["event_time"], contract["volume"], contract["open_interest"]) == (time, 100, 900)


async def test_cumulative_volume_never_falls_within_a_day():
    worker = Worker()
    feed = await started(worker)
    await worker.feed(feed.batch(option_tick(call(24_000), OPEN, volume=500)))

    (chain,) = chains_of(await worker.feed(feed.batch(option_tick(call(24_000), OPEN + SECOND, volume=400))))

    assert chain.rows["call"]["volume"][1] == 500


async def test_volume_falls_and_the_baseline_is_taken_when_the_next_day_begins():
    worker = Worker()
    feed = await started(worker)
    await worker.feed(feed.batch(*whole_chain(OPEN, MONTHLY, volume=500, open_interest=4_000)))

    (chain,) = chains_of(await worker.feed(feed.batch(option_tick(call(24_000, MONTHLY), EXPIRY_DAY, volume=5))))

    assert chain.rows["call"]["volume"].tolist() == [ABSENT, 5, ABSENT, ABSENT]
    assert chain.rows["call"]["previous_open_interest"].tolist() == [4_000] * 4
    assert chain.rows["call"]["open_interest"].tolist() == [4_000, 7_500, 4_000, 4_000]


async def test_the_baseline_is_the_close_and_not_what_the_exchange_revised_it_to_afterwards():
    worker = Worker()
    feed = await started(worker)
    await worker.feed(feed.batch(*whole_chain(OPEN, MONTHLY, open_interest=4_000)))
    revised = minute(390)
    await worker.feed(feed.batch(option_tick(call(24_000, MONTHLY), revised, open_interest=5_000)))

    (chain,) = chains_of(await worker.feed(feed.batch(option_tick(call(24_000, MONTHLY), EXPIRY_DAY))))

    assert chain.rows["call"]["previous_open_interest"].tolist() == [4_000] * 4


async def test_of_a_day_that_was_told_after_its_close_only_that_is_the_baseline():
    worker = Worker()
    feed = await started(worker)
    await worker.feed(feed.batch(*whole_chain(minute(375), MONTHLY, open_interest=5_000)))

    (chain,) = chains_of(await worker.feed(feed.batch(option_tick(call(24_000, MONTHLY), EXPIRY_DAY))))

    assert chain.rows["call"]["previous_open_interest"].tolist() == [5_000] * 4


async def test_the_baseline_of_a_first_day_is_what_is_stored_of_the_trading_day_before():
    reference = MemoryReference()
    friday = OPEN - 3 * 86_400 * SECOND - (9 * 60 + 15) * 60 * SECOND
    reference.open_interest = {(call(24_000), friday): 6_000}
    worker = Worker(reference)
    feed = await started(worker)

    (chain,) = chains_of(await worker.feed(feed.batch(*whole_chain(OPEN))))

    assert chain.rows["call"]["previous_open_interest"].tolist() == [ABSENT, 6_000, ABSENT, ABSENT]


async def test_a_day_that_was_not_recorded_gives_no_baseline():
    worker = Worker()
    feed = await started(worker)
    await worker.feed(feed.batch(*whole_chain(OPEN, MONTHLY)))

    wednesday = minute(0, day=2)
    (chain,) = chains_of(await worker.feed(feed.batch(*whole_chain(wednesday, MONTHLY))))

    assert (chain.rows["call"]["previous_open_interest"] == ABSENT).all()


async def test_an_older_day_may_follow_with_a_baseline_of_its_own():
    reference = MemoryReference()
    worker = Worker(reference)
    feed = await started(worker)
    await worker.feed_all([feed.batch(*whole_chain(minute(0, day=2), MONTHLY)), feed.ended()])
    friday = OPEN - 3 * 86_400 * SECOND - (9 * 60 + 15) * 60 * SECOND
    reference.open_interest = {(call(24_000, MONTHLY), friday): 6_000}
    older = await started(worker, Feed("run-2", first_id=100))

    (chain,) = chains_of(await worker.feed(older.batch(*whole_chain(OPEN, MONTHLY))))

    assert (chain.run, chain.as_of, chain.revision) == ("run-2", OPEN, 1)
    assert chain.rows["call"]["previous_open_interest"].tolist() == [ABSENT, 6_000, ABSENT, ABSENT]


async def test_the_feeds_own_change_of_open_interest_is_kept_beside():
    worker = Worker()
    feed = await started(worker)
    reports = [report_record(put(24_100), OPEN, -150)]

    (chain,) = chains_of(await worker.feed(feed.batch(*whole_chain(OPEN), reports=reports)))

    assert chain.rows["put"]["exchange_oi_change"].tolist() == [ABSENT, ABSENT, -150, ABSENT]

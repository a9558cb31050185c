"""Mark-to-market samples and candles, one rule a test."""

import pytest

from server.domain.prices import ABSENT
from server.market.checkpoints import CheckpointUnreadable
from server.market.m2m import M2mSlot
from server.market.records import M2M_COMPLETE
from server.market.slot_plan import m2m_slot_of
from tests.unit.market.m2m_pipeline import (
    BOUND,
    BUY,
    RUPEE,
    SELL,
    M2mWorker,
    at,
    changed,
    leg,
    legs_of,
    samples_of,
    strategy,
)  # fmt: skip
from tests.unit.market.pipeline import OPTION, SECOND, STOCK, Feed, Tick


async def test_a_sample_is_profit_and_premium_flow_exactly():
    worker, feed = M2mWorker(), Feed()
    await worker.feed(
        changed(feed, strategy(7, leg(1, STOCK, BUY, 75, 1_234_567), leg(2, OPTION, SELL, 50, 2_000_000)))
    )

    published = await worker.feed(feed.batch(Tick(STOCK, at(0), 1, 1_289_876), Tick(OPTION, at(0), 2, 1_800_000)))

    sample, legs = samples_of(published)[0], legs_of(published)
    assert (sample["strategy"], sample["flags"], sample["legs"]) == (7, M2M_COMPLETE, 2)
    assert legs["m2m"].tolist() == [4_148_175, 10_000_000]
    assert sample["m2m"] == 14_148_175
    assert sample["premium_flow"] == -75 * 1_289_876 + 50 * 1_800_000


async def test_a_leg_without_a_price_makes_the_sample_incomplete_and_no_candle():
    worker, feed = M2mWorker(), Feed()
    await worker.feed(changed(feed, strategy(7, leg(1, STOCK, BUY, 1, 0), leg(2, OPTION, BUY, 1, 0))))

    published = await worker.feed(feed.batch(Tick(STOCK, at(0), 1, 100)))
    await worker.commit()

    assert samples_of(published)["flags"].tolist() == [0]
    assert samples_of(published)["m2m"].tolist() == [ABSENT]
    assert legs_of(published)["flags"].tolist() == [1, 0]
    assert worker.candles == {}


async def test_a_price_counts_up_to_the_freshness_bound_and_no_longer():
    worker, feed = M2mWorker(), Feed()
    await worker.feed(changed(feed, strategy(7, leg(1, STOCK, BUY, 1, 0), leg(2, OPTION, BUY, 1, 0))))
    await worker.feed(feed.batch(Tick(STOCK, at(0), 1, 100), Tick(OPTION, at(0), 2, 10)))

    fresh = await worker.feed(feed.batch(Tick(STOCK, at(1), 3, 101)))
    stale = await worker.feed(feed.batch(Tick(STOCK, at(1) + 1, 4, 102)))

    assert samples_of(fresh)["flags"].tolist() == [M2M_COMPLETE]
    assert samples_of(stale)["flags"].tolist() == [0]
    assert samples_of(stale)["m2m"].tolist() == [112], "prices are known, only too old"


async def test_growing_stale_without_ticks_is_published_once():
    worker, feed = M2mWorker(), Feed()
    await worker.feed(changed(feed, strategy(7, leg(1, STOCK, BUY, 1, 0))))
    await worker.feed(feed.batch(Tick(STOCK, at(0), 1, 100)))

    outputs = [await worker.feed(feed.beat(at(1) + offset)) for offset in (0, 1, SECOND)]

    assert [samples_of(output)["flags"].tolist() for output in outputs] == [[], [0], []]


async def test_a_candle_is_open_high_low_close_of_complete_samples():
    worker, feed = M2mWorker(), Feed()
    await worker.feed(changed(feed, strategy(7, leg(1, STOCK, SELL, 10, 100 * RUPEE))))

    await worker.feed(feed.batch(*(Tick(STOCK, at(0, second), second, price * RUPEE)
                                   for second, price in enumerate((101, 105, 98, 100)))))  # fmt: skip
    await worker.commit()

    assert worker.ohlc() == {(7, at(0)): (-10 * RUPEE, 20 * RUPEE, -50 * RUPEE, 0)}


async def test_all_ticks_of_one_event_time_make_one_sample():
    worker, feed = M2mWorker(), Feed()
    await worker.feed(changed(feed, strategy(7, leg(1, STOCK, BUY, 1, 0), leg(2, OPTION, SELL, 1, 0))))

    await worker.feed(feed.batch(Tick(STOCK, at(0), 1, 500), Tick(OPTION, at(0), 2, 490)))
    await worker.feed(feed.batch(Tick(STOCK, at(0, 1), 3, 600), Tick(OPTION, at(0, 1), 4, 580)))
    await worker.commit()

    assert worker.ohlc() == {(7, at(0)): (10, 20, 10, 20)}


async def test_a_late_tick_does_not_change_the_price():
    worker, feed = M2mWorker(), Feed()
    await worker.feed(changed(feed, strategy(7, leg(1, STOCK, BUY, 1, 0))))
    await worker.feed(feed.batch(Tick(STOCK, at(0, 9), 9, 100)))

    assert await worker.feed(feed.batch(Tick(STOCK, at(0, 8), 10, 50))) is None


async def test_outside_the_session_there_is_no_sample():
    worker, feed = M2mWorker(), Feed()
    await worker.feed(changed(feed, strategy(7, leg(1, STOCK, BUY, 1, 0))))

    before = await worker.feed(feed.batch(Tick(STOCK, at(0) - 1, 1, 100)))
    after = await worker.feed(feed.batch(Tick(STOCK, at(375), 2, 100)))

    assert (before, after) == (None, None)


async def test_an_edit_takes_effect_at_its_place_in_the_log():
    worker, feed = M2mWorker(), Feed()
    await worker.feed(changed(feed, strategy(7, leg(1, STOCK, BUY, 1, 0))))
    await worker.feed(feed.batch(Tick(STOCK, at(0), 1, 100)))

    edited = await worker.feed(changed(feed, strategy(7, leg(1, STOCK, BUY, 3, 0), revision=2)))
    await worker.feed(feed.batch(Tick(STOCK, at(0, 1), 2, 110)))
    await worker.commit()

    assert samples_of(edited)["m2m"].tolist() == [300]
    assert worker.ohlc() == {(7, at(0)): (100, 330, 100, 330)}


async def test_an_older_state_of_a_strategy_changes_nothing():
    worker, feed = M2mWorker(), Feed()
    await worker.feed(changed(feed, strategy(7, leg(1, STOCK, BUY, 1, 0), revision=3)))

    await worker.feed(changed(feed, strategy(7, leg(1, STOCK, BUY, 9, 0), revision=2)))

    assert samples_of(await worker.feed(feed.batch(Tick(STOCK, at(0), 1, 100))))["m2m"].tolist() == [100]


async def test_a_strategy_without_legs_is_worth_zero_and_has_no_candle():
    worker, feed = M2mWorker(), Feed()
    await worker.feed(feed.batch(Tick(STOCK, at(0), 1, 100)))

    published = await worker.feed(changed(feed, strategy(7)))
    await worker.commit()

    assert samples_of(published)[["m2m", "premium_flow", "flags"]].tolist() == [(0, 0, M2M_COMPLETE)]
    assert worker.candles == {}


async def test_an_inactive_strategy_is_not_sampled():
    worker, feed = M2mWorker(), Feed()
    await worker.feed(changed(feed, strategy(7, leg(1, STOCK, BUY, 1, 0))))
    await worker.feed(changed(feed, strategy(7, leg(1, STOCK, BUY, 1, 0), revision=2, active=False)))

    assert await worker.feed(feed.batch(Tick(STOCK, at(0), 1, 100))) is None


async def test_strategies_of_other_slots_are_left_alone():
    worker, feed = M2mWorker(), Feed()
    worker.stage._slot = M2mSlot(number=1, slots=2, freshness=BOUND)

    await worker.feed(changed(feed, strategy(7, leg(1, STOCK, BUY, 1, 0), account="acc-of-slot-0-a")))
    await worker.feed(changed(feed, strategy(8, leg(2, STOCK, BUY, 1, 0), account="acc-of-slot-1")))

    followed = samples_of(await worker.feed(feed.batch(Tick(STOCK, at(0), 1, 100))))["strategy"].tolist()
    assert followed in ([7], [8], [7, 8], [])
    assert len(followed) == sum(m2m_slot_of(account, 2) == 1 for account in ("acc-of-slot-0-a", "acc-of-slot-1"))


async def test_prices_of_a_run_that_its_source_has_replaced_do_not_count():
    worker, first = M2mWorker(), Feed("run-1")
    await worker.feed(changed(first, strategy(7, leg(1, STOCK, BUY, 1, 0), leg(2, OPTION, BUY, 1, 0))))
    await worker.feed(first.batch(Tick(STOCK, at(0), 1, 100), Tick(OPTION, at(0), 2, 10)))
    second = Feed("run-2", first_id=50)
    await worker.feed(second.started())

    published = await worker.feed(second.batch(Tick(STOCK, at(0, 5), 1, 100)))

    assert samples_of(published)["flags"].tolist() == [0]


async def test_amounts_beyond_64_bits_stay_exact_and_beyond_the_store_are_absent():
    worker, feed = M2mWorker(), Feed()
    highest = 10**13 - 1
    await worker.feed(
        changed(feed, strategy(7, leg(1, STOCK, BUY, 10_000_000, highest), leg(2, OPTION, SELL, 10_000_000, highest)))
    )
    await worker.feed(changed(feed, strategy(8, leg(3, STOCK, BUY, 10_000_000, 0))))

    published = await worker.feed(feed.batch(Tick(STOCK, at(0), 1, highest - 3), Tick(OPTION, at(0), 2, highest - 5)))

    assert samples_of(published)["m2m"].tolist() == [-30_000_000 + 50_000_000, ABSENT]
    assert samples_of(published)["flags"].tolist() == [M2M_COMPLETE, 0]


async def test_a_first_start_asks_for_all_strategies():
    worker = M2mWorker()

    await worker.stage.begin()

    assert worker.announced == 1


async def test_a_checkpoint_for_another_number_of_slots_is_refused():
    worker, feed = M2mWorker(), Feed()
    await worker.feed(changed(feed, strategy(7, leg(1, STOCK, BUY, 1, 0))))
    await worker.commit()
    worker.stage._slot = M2mSlot(number=0, slots=2, freshness=BOUND)

    with pytest.raises(CheckpointUnreadable, match="made for 1 slots"):
        worker.stage.restore(worker.checkpoint[0])


async def test_a_long_batch_is_worked_on_in_parts_with_the_same_result(monkeypatch):
    rows = [Tick(STOCK if second % 3 else OPTION, at(0, second), second, 100 + second % 7) for second in range(59)]
    state = strategy(7, leg(1, STOCK, BUY, 3, 0), leg(2, OPTION, SELL, 2, 0))
    results = []
    for cells in (1_000_000, 10):
        monkeypatch.setattr("server.market.m2m._CELLS", cells)
        worker, feed = M2mWorker(), Feed()
        await worker.feed(changed(feed, state))
        published = await worker.feed(feed.batch(*rows))
        await worker.commit()
        results.append((published, worker.candles))

    assert results[0] == results[1]
    assert len(results[0][1]) == 1


async def test_samples_between_a_commit_and_its_end_are_stored_by_the_next_one():
    worker, feed = M2mWorker(), Feed()
    await worker.feed(changed(feed, strategy(7, leg(1, STOCK, BUY, 1, 0))))
    await worker.feed(feed.batch(Tick(STOCK, at(0), 1, 100)))
    worker.take()

    await worker.feed(feed.batch(Tick(STOCK, at(0, 9), 2, 130)))
    await worker.feed(feed.batch(Tick(STOCK, at(1), 3, 110)))
    await worker.keep()
    early = worker.ohlc()
    await worker.commit()

    assert early == {(7, at(0)): (100, 100, 100, 100)}
    assert worker.ohlc() == {(7, at(0)): (100, 130, 100, 130), (7, at(1)): (110, 110, 110, 110)}
    assert worker.current[7].market_time == at(1)


async def test_prices_and_strategies_between_a_commit_and_its_end_are_in_the_next_checkpoint():
    worker, feed = M2mWorker(), Feed()
    await worker.commit()
    worker.take()
    await worker.feed(changed(feed, strategy(7, leg(1, STOCK, BUY, 1, 0), leg(2, OPTION, BUY, 1, 0))))
    await worker.feed(feed.batch(Tick(STOCK, at(0), 1, 100)))
    await worker.keep()
    await worker.commit()
    worker.crash()

    published = await worker.feed(feed.batch(Tick(OPTION, at(0, 1), 2, 10)))

    assert samples_of(published)["m2m"].tolist() == [110]

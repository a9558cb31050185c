"""Minutes of chains: samples and sums, what ends a minute, order books, volume, metrics."""

from __future__ import annotations

import math

import numpy as np
import pytest

from server.domain.prices import ABSENT, SCALE
from tests.unit.market.chain_stage.chain_pipeline import (
    DAY,
    EXPIRY,
    INDEX,
    MONTHLY,
    OPEN,
    SECOND,
    STRIKES,
    VOLATILITY,
    Tick,
    Worker,
    call,
    depth_record,
    minute,
    minutes_of,
    model_price,
    option_tick,
    spot_tick,
    started,
    whole_chain,
)

CLOSE = OPEN + 375 * 60 * SECOND


async def test_a_minute_sums_its_samples():
    worker = Worker()
    feed = await started(worker)
    await worker.feed_all([feed.batch(*whole_chain(OPEN + second * SECOND)) for second in range(4)])

    (closed,) = minutes_of(await worker.feed(feed.batch(spot_tick(minute(1)))))

    rows = closed.rows["call"]
    assert (closed.underlying, closed.expiry, closed.open_time) == ("NIFTY", EXPIRY, OPEN)
    assert rows["samples"].tolist() == [4] * 4
    assert rows["volatility_count"].tolist() == [4] * 4
    assert rows["volatility_sum"] / rows["volatility_count"] == pytest.approx(VOLATILITY, abs=1e-4)
    assert rows["gamma_last"] == pytest.approx(rows["gamma_sum"] / 4, rel=1e-2)


async def test_a_contract_that_cannot_be_valued_counts_no_sample():
    worker = Worker()
    feed = await started(worker)
    await worker.feed(feed.batch(*whole_chain(OPEN)))
    worthless = Tick(call(23_900), OPEN + SECOND, 1 * SCALE)
    await worker.feed(feed.batch(*whole_chain(OPEN + SECOND)[2:], worthless))

    (closed,) = minutes_of(await worker.feed(feed.batch(spot_tick(minute(1)))))

    row = closed.rows["call"][0]
    assert (row["samples"], row["volatility_count"]) == (2, 1)
    assert row["volatility_last"] == row["volatility_sum"]


async def test_only_strikes_that_were_valued_or_ticked_are_in_a_minute():
    worker = Worker()
    feed = await started(worker)
    await worker.feed(feed.batch(spot_tick(OPEN), option_tick(call(24_000), OPEN)))

    (closed,) = minutes_of(await worker.feed(feed.batch(spot_tick(minute(1)))))

    assert (closed.rows["strike"] / SCALE).tolist() == [24_000]


async def test_what_changed_at_the_end_of_a_minute_is_in_it():
    worker = Worker()
    feed = await started(worker)
    last = minute(1) - 10_000_000
    await worker.feed(feed.batch(*whole_chain(last - 10_000_000)))
    await worker.feed(feed.batch(option_tick(call(24_000), last, open_interest=9_000)))

    (closed,) = minutes_of(await worker.feed(feed.batch(spot_tick(minute(1)))))

    row = closed.rows["call"][1]
    assert (row["samples"], row["open_interest"]) == (2, 9_000)
    assert closed.metrics.call_open_interest == 31_500.0


async def test_volume_of_a_minute_is_the_increase_of_the_days_volume():
    worker = Worker()
    feed = await started(worker)
    number = call(24_000)
    entries = [
        feed.batch(option_tick(number, OPEN, volume=100)),
        feed.batch(option_tick(number, minute(1), volume=130)),
        feed.batch(option_tick(number, minute(2), volume=130)),
        feed.batch(option_tick(number, minute(3), volume=131)),
    ]

    closed = [item for entry in await worker.feed_all(entries) for item in minutes_of(entry)]

    assert [item.rows["call"]["volume"].tolist() for item in closed] == [[100], [30], [0]]


async def test_volume_of_a_first_minute_within_the_day_is_not_known():
    worker = Worker()
    feed = await started(worker)
    number = call(24_000)
    entries = [
        feed.batch(option_tick(number, minute(5), volume=100)),
        feed.batch(option_tick(number, minute(6), volume=130)),
        feed.ended(),
    ]

    closed = [item for entry in await worker.feed_all(entries) for item in minutes_of(entry)]

    assert [item.rows["call"]["volume"].tolist() for item in closed] == [[ABSENT], [30]]


async def test_the_newest_book_of_the_minute_is_summed_up_without_padded_levels():
    worker = Worker()
    feed = await started(worker)
    depths = [depth_record(call(24_000), OPEN, 150.0, 152.0), depth_record(call(24_000), OPEN + SECOND, 150.0, 151.0)]
    await worker.feed(feed.batch(*whole_chain(OPEN), *whole_chain(OPEN + SECOND), depths=depths))

    (closed,) = minutes_of(await worker.feed(feed.batch(spot_tick(minute(1)))))

    book = closed.rows["call"]["book"]
    assert book["spread"][1] == pytest.approx(1.0)
    assert (book["microprice"][1], book["imbalance_pct"][1]) == (150.5, 0.0)
    assert 0.0 < book["score"][1] < 100.0
    assert np.isnan(book["spread"]).tolist() == [True, False, True, True]


async def test_a_book_of_the_minute_before_says_nothing_of_this_one():
    worker = Worker()
    feed = await started(worker)
    await worker.feed(feed.batch(*whole_chain(OPEN), depths=[depth_record(call(24_000), OPEN, 150.0, 152.0)]))
    await worker.feed(feed.batch(*whole_chain(minute(1))))

    (closed,) = minutes_of(await worker.feed(feed.batch(spot_tick(minute(2)))))

    assert np.isnan(closed.rows["call"]["book"]["spread"]).all()


async def test_a_minute_without_a_valuation_does_not_exist():
    worker = Worker()
    feed = await started(worker)
    await worker.feed(feed.batch(*whole_chain(OPEN)))
    await worker.feed(feed.batch(*whole_chain(minute(5))))

    await worker.feed(feed.ended())
    await worker.commit()

    assert [opened for _, _, opened in worker.minutes] == [OPEN, minute(5)]


async def test_outside_of_sessions_chains_are_valued_and_no_minute_is_made():
    worker = Worker()
    feed = await started(worker)
    entries = [
        feed.batch(*whole_chain(CLOSE + 1, MONTHLY)),
        feed.batch(*whole_chain(CLOSE + 60 * SECOND, MONTHLY)),
        feed.ended(),
    ]

    published = await worker.feed_all(entries)

    assert [len(entry.chains) for entry in published] == [1, 1, 0]
    assert not any(entry.minutes for entry in published)


async def test_a_chain_of_the_closing_instant_belongs_to_the_last_minute_of_its_day():
    worker = Worker()
    feed = await started(worker)
    entries = [
        feed.batch(*whole_chain(CLOSE - 120 * SECOND, MONTHLY, volume=100)),
        feed.batch(*whole_chain(CLOSE - 30 * SECOND, MONTHLY, volume=130)),
        feed.batch(*whole_chain(CLOSE, MONTHLY, volume=150, open_interest=9_000)),
        feed.batch(*whole_chain(CLOSE + 1, MONTHLY, volume=170, open_interest=1)),
    ]

    told = [minutes_of(entry) for entry in await worker.feed_all(entries)]

    assert [[item.open_time for item in minutes] for minutes in told] == [
        [], [CLOSE - 120 * SECOND], [], [CLOSE - 60 * SECOND],
    ]  # fmt: skip
    row = told[3][0].rows["call"][1]
    assert (row["samples"], row["volume"], row["open_interest"]) == (2, 50, 9_000)
    assert row["close"] == model_price(call(24_000, MONTHLY), CLOSE)


async def test_a_chain_of_the_closing_instant_alone_is_the_last_minute_of_its_day():
    worker = Worker()
    feed = await started(worker)
    await worker.feed(feed.batch(*whole_chain(CLOSE, MONTHLY)))

    (closed,) = minutes_of(await worker.feed(feed.ended()))

    assert (closed.open_time, closed.rows["call"]["samples"].tolist()) == (CLOSE - 60 * SECOND, [1] * 4)
    assert closed.rows["call"]["volume"].tolist() == [ABSENT] * 4


@pytest.mark.parametrize("crashes", [False, True])
async def test_what_comes_later_of_the_closing_instant_counts_until_market_time_is_beyond_it(crashes):
    worker = Worker()
    feed = await started(worker)
    number = call(24_000, MONTHLY)
    await worker.feed(feed.batch(*whole_chain(CLOSE, MONTHLY)))
    assert not minutes_of(await worker.feed(feed.beat()))
    await worker.commit()
    if crashes:
        worker.crash()
    await worker.feed(feed.batch(option_tick(number, CLOSE, row=1, open_interest=9_000)))

    (closed,) = minutes_of(await worker.feed(feed.batch(spot_tick(CLOSE + SECOND))))

    assert closed.rows["call"]["samples"].tolist() == [2] * 4
    assert closed.rows["call"]["open_interest"].tolist() == [7_500, 9_000, 7_500, 7_500]
    assert closed.metrics.call_open_interest == 31_500.0


async def test_the_last_minute_of_an_expiry_has_its_last_instant():
    worker = Worker()
    feed = await started(worker)
    last = CLOSE + DAY
    await worker.feed(feed.batch(spot_tick(last), Tick(call(24_000), last, 50 * SCALE, open_interest=7_500)))

    told = await worker.feed(feed.batch(spot_tick(last + 1)))

    (closed,) = minutes_of(told)
    assert (closed.open_time, closed.years) == (last - 60 * SECOND, 0.0)
    assert closed.metrics.call_open_interest == 7_500.0
    assert [key.expiry for key in told.ended] == ["2025-12-02"]


async def test_metrics_of_the_minute_are_those_of_its_last_valuation():
    worker = Worker()
    feed = await started(worker)
    await worker.feed(feed.batch(*whole_chain(OPEN)))

    (closed,) = minutes_of(await worker.feed(feed.batch(spot_tick(minute(1)))))

    assert closed.metrics == worker.chains()[0].metrics
    assert closed.metrics.pcr_oi == 1.0
    assert closed.metrics.atm_volatility == pytest.approx(VOLATILITY, abs=1e-4)
    assert closed.metrics.atm_strike in STRIKES
    assert not math.isnan(closed.years)


async def test_minutes_of_several_chains_close_together():
    worker = Worker()
    feed = await started(worker)
    await worker.feed(feed.batch(*whole_chain(OPEN), *whole_chain(OPEN, MONTHLY)[1:], Tick(50, OPEN, 30 * SCALE)))

    closed = minutes_of(await worker.feed(feed.batch(spot_tick(minute(1)))))

    assert [(item.underlying, item.expiry, len(item.rows)) for item in closed] == [
        ("NIFTY", EXPIRY, 4), ("NIFTY", MONTHLY, 4), ("RELIANCE", MONTHLY, 1),
    ]  # fmt: skip
    assert closed[0].rows["call"]["instrument"][0] == call(23_900)
    assert INDEX not in closed[0].rows["call"]["instrument"]

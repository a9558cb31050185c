"""From ticks to valued chains: what is in them, when they are valued, and when they end."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from server.domain.options.forward import ForwardSource
from server.domain.prices import ABSENT, SCALE
from server.market.records import CONTRACT_LISTED, CONTRACT_STALE, CONTRACT_WITHHELD
from tests.unit.market.chain_stage.chain_pipeline import (
    EXPIRY,
    FUTURE,
    INSTRUMENTS,
    MILLI,
    MONTHLY,
    OPEN,
    RULES,
    SECOND,
    STOCK,
    STRIKES,
    VOLATILITY,
    Feed,
    MemoryReference,
    Tick,
    Worker,
    call,
    chains_of,
    depth_record,
    minute,
    option_tick,
    put,
    spot_tick,
    started,
    whole_chain,
)

CLOSE = OPEN + 375 * 60 * SECOND
EXPIRY_DAY = minute(0, day=1)


async def test_the_first_tick_of_an_option_begins_its_chain_with_the_whole_ladder():
    worker = Worker()
    feed = await started(worker)

    (chain,) = chains_of(await worker.feed(feed.batch(option_tick(call(24_000), OPEN))))

    assert (chain.underlying, chain.expiry, chain.as_of, chain.revision) == ("NIFTY", EXPIRY, OPEN, 1)
    assert chain.strikes.tolist() == list(STRIKES)
    assert (chain.rows["call"]["flags"] == CONTRACT_LISTED).all()
    assert chain.rows["call"]["event_time"].tolist() == [ABSENT, OPEN, ABSENT, ABSENT]


async def test_volatilities_are_those_that_prices_were_made_with():
    worker = Worker()
    feed = await started(worker)

    (chain,) = chains_of(await worker.feed(feed.batch(*whole_chain(OPEN))))

    assert chain.spot == 24_050.0
    assert chain.forward.source is ForwardSource.PARITY_SYNTHETIC
    for side in ("call", "put"):
        assert chain.rows[side]["volatility"] == pytest.approx(VOLATILITY, abs=1e-4)
        assert np.isfinite(chain.rows[side]["gamma"]).all()
    assert (chain.rows["call"]["delta"] > 0).all()
    assert (chain.rows["put"]["delta"] < 0).all()


async def test_the_listed_future_of_the_expiry_is_the_forward():
    worker = Worker()
    feed = await started(worker)
    rows = [*whole_chain(OPEN, MONTHLY), Tick(FUTURE, OPEN, 24_180 * SCALE)]

    (chain,) = chains_of(await worker.feed(feed.batch(*rows)))

    assert (chain.forward.price, chain.forward.source) == (24_180.0, ForwardSource.LISTED_FUTURE)


async def test_a_chain_is_valued_at_most_once_in_its_window():
    worker = Worker()
    feed = await started(worker)
    times = [OPEN + step * 50 * MILLI for step in range(40)]

    entries = await worker.feed_all([feed.batch(*whole_chain(time)) for time in times])

    valued = [chain.as_of for entry in entries for chain in chains_of(entry)]
    assert valued[0] == OPEN
    assert np.diff(valued[1:]).tolist() == [250 * MILLI] * (len(valued) - 2)
    assert len(valued) == 9


async def test_a_chain_of_a_stock_is_valued_half_as_often():
    worker = Worker()
    feed = await started(worker)
    times = [OPEN + step * 50 * MILLI for step in range(41)]

    entries = await worker.feed_all(
        [feed.batch(Tick(50, time, 30 * SCALE), Tick(STOCK, time, 1_410 * SCALE)) for time in times]
    )

    valued = [chain.as_of for entry in entries for chain in chains_of(entry)]
    assert np.diff(valued[1:]).tolist() == [500 * MILLI] * (len(valued) - 2)


async def test_nothing_is_valued_that_did_not_change():
    worker = Worker()
    feed = await started(worker)
    await worker.feed(feed.batch(*whole_chain(OPEN)))

    entry = await worker.feed(feed.batch(Tick(STOCK, OPEN + SECOND, 1_410 * SCALE)))

    assert not entry.chains


async def test_a_sign_of_life_values_what_waits_for_its_window():
    worker = Worker()
    feed = await started(worker)
    await worker.feed(feed.batch(*whole_chain(OPEN)))
    late = OPEN + 10 * MILLI
    assert not (await worker.feed(feed.batch(spot_tick(late, 24_060.0)))).chains

    (chain,) = chains_of(await worker.feed(feed.beat()))

    assert (chain.as_of, chain.spot, chain.revision) == (late, 24_060.0, 2)


async def test_the_index_moves_all_of_its_expiries():
    worker = Worker()
    feed = await started(worker)
    await worker.feed(feed.batch(*whole_chain(OPEN), *whole_chain(OPEN, MONTHLY)[1:]))

    chains = chains_of(await worker.feed(feed.batch(spot_tick(OPEN + SECOND, 24_100.0))))

    assert [(chain.expiry, chain.spot) for chain in chains] == [(EXPIRY, 24_100.0), (MONTHLY, 24_100.0)]


async def test_a_late_tick_changes_nothing():
    worker = Worker()
    feed = await started(worker)
    await worker.feed(feed.batch(*whole_chain(OPEN + SECOND)))

    entry = await worker.feed(feed.batch(option_tick(call(24_000), OPEN, open_interest=1)))

    assert not entry.chains
    assert not (await worker.feed(feed.beat())).chains


async def test_a_price_too_old_values_nothing_and_stays_visible():
    worker = Worker()
    feed = await started(worker)
    await worker.feed(feed.batch(*whole_chain(OPEN)))
    later = OPEN + 301 * SECOND

    (chain,) = chains_of(await worker.feed(feed.batch(spot_tick(later), option_tick(call(24_000), later))))

    flags = chain.rows["call"]["flags"]
    assert flags.tolist() == [
        CONTRACT_LISTED | CONTRACT_STALE,
        CONTRACT_LISTED,
        *[CONTRACT_LISTED | CONTRACT_STALE] * 2,
    ]
    assert np.isfinite(chain.rows["call"]["volatility"]).tolist() == [False, True, False, False]
    assert (chain.rows["call"]["last_price"] != ABSENT).all()
    assert (chain.metrics.call_open_interest, chain.metrics.put_open_interest) == (30_000.0, 30_000.0)


async def test_a_tick_without_a_price_does_not_make_the_price_young():
    worker = Worker()
    feed = await started(worker)
    await worker.feed(feed.batch(*whole_chain(OPEN)))
    later = OPEN + 301 * SECOND
    silent = Tick(call(24_000), later, ABSENT, open_interest=9_000)

    (chain,) = chains_of(await worker.feed(feed.batch(silent)))

    contract = chain.rows["call"][1]
    assert (contract["event_time"], contract["open_interest"]) == (later, 9_000)
    assert contract["flags"] == CONTRACT_LISTED | CONTRACT_STALE
    assert np.isnan(contract["volatility"])


async def test_a_spot_too_old_is_absent():
    worker = Worker()
    feed = await started(worker)
    await worker.feed(feed.batch(spot_tick(OPEN)))
    later = OPEN + 301 * SECOND

    (chain,) = chains_of(await worker.feed(feed.batch(option_tick(call(24_000), later))))

    assert chain.spot is None
    assert chain.forward is None


async def test_what_violates_an_invariant_is_withheld_flagged_and_counted():
    worker = Worker()
    feed = await started(worker)
    rows = [row for row in whole_chain(OPEN) if row.instrument != call(23_900)]
    worthless = Tick(call(23_900), OPEN, 1 * SCALE)

    (chain,) = chains_of(await worker.feed(feed.batch(*rows, worthless)))

    assert chain.rows["call"]["flags"][0] == CONTRACT_LISTED | CONTRACT_WITHHELD
    assert np.isnan(chain.rows["call"]["volatility"][0])
    assert worker.counted["PRICE_BOUNDS"] == 1


async def test_at_expiry_open_interest_stays_and_volatility_is_gone():
    worker = Worker()
    feed = await started(worker)
    close = CLOSE + 86_400 * SECOND
    await worker.feed(feed.batch(*whole_chain(close - SECOND)))

    chains = chains_of(await worker.feed(feed.batch(spot_tick(close))))

    assert (chains[-1].as_of, chains[-1].years) == (close, 0.0)
    assert np.isnan(chains[-1].rows["call"]["volatility"]).all()
    assert chains[-1].metrics.call_open_interest == 30_000.0


async def test_after_expiry_the_chain_is_gone():
    worker = Worker()
    feed = await started(worker)
    close = CLOSE + 86_400 * SECOND
    await worker.feed(feed.batch(*whole_chain(close - SECOND), *whole_chain(close - SECOND, MONTHLY)[1:]))

    entry = await worker.feed(feed.batch(spot_tick(close + 1), option_tick(call(24_000, MONTHLY), close + 1)))

    assert [(key.underlying, key.expiry) for key in entry.ended] == [("NIFTY", "2025-12-02")]
    assert {chain.expiry for chain in chains_of(entry)} == {MONTHLY}


async def test_a_tick_after_expiry_begins_no_chain():
    worker = Worker()
    feed = await started(worker)
    after = CLOSE + 86_400 * SECOND + 1

    entry = await worker.feed(feed.batch(Tick(call(24_000), after, SCALE)))

    assert not entry.chains


async def test_a_strike_that_is_listed_later_joins_the_ladder():
    reference = MemoryReference()
    late = INSTRUMENTS[put(24_200)]
    del reference.rows[late.instrument_id]
    worker = Worker(reference)
    feed = await started(worker)
    await worker.feed(feed.batch(option_tick(call(24_000), OPEN)))
    reference.rows[late.instrument_id] = late

    (chain,) = chains_of(await worker.feed(feed.batch(option_tick(late.instrument_id, OPEN + SECOND))))

    assert chain.rows["put"]["instrument"][3] == late.instrument_id


async def test_of_two_contracts_for_one_strike_the_first_listed_counts():
    reference = MemoryReference()
    twin = replace(INSTRUMENTS[call(24_000)], instrument_id=99, exchange="BFO")
    reference.rows[99] = twin
    worker = Worker(reference)
    feed = await started(worker)

    (chain,) = chains_of(await worker.feed(feed.batch(*whole_chain(OPEN), Tick(99, OPEN, 5 * SCALE))))

    assert chain.rows["call"]["instrument"].tolist() == [call(strike) for strike in STRIKES]


async def test_the_run_that_started_last_has_the_chain_while_it_lives():
    worker = Worker()
    one = await started(worker, Feed("run-1", "one"))
    two = await started(worker, Feed("run-2", "two", first_id=100))
    await worker.feed(one.batch(*whole_chain(OPEN)))
    await worker.feed(two.batch(*whole_chain(OPEN + SECOND)))

    entry = await worker.feed(one.batch(*whole_chain(OPEN + 2 * SECOND)))

    assert not entry.chains
    assert worker.chains()[-1].run == "run-2"


async def test_the_run_end_values_what_is_left():
    worker = Worker()
    feed = await started(worker)
    await worker.feed(feed.batch(*whole_chain(OPEN)))
    await worker.feed(feed.batch(spot_tick(OPEN + 10 * MILLI, 24_060.0)))

    entry = await worker.feed(feed.ended())

    assert [chain.spot for chain in chains_of(entry)] == [24_060.0]
    assert len(entry.minutes) == 1


async def test_a_run_that_its_source_replaces_is_finished():
    worker = Worker()
    feed = await started(worker)
    await worker.feed(feed.batch(*whole_chain(OPEN)))

    entry = await worker.feed(Feed("run-2", first_id=100).started())

    assert (entry.run, entry.market_time) == ("run-1", OPEN)
    assert [minute.open_time for minute in entry.minutes] == [OPEN]


async def test_chains_of_two_underlyings_are_valued_together():
    worker = Worker()
    feed = await started(worker)

    chains = chains_of(await worker.feed(feed.batch(*whole_chain(OPEN), Tick(50, OPEN, 30 * SCALE))))

    assert [(chain.underlying, len(chain.rows)) for chain in chains] == [("NIFTY", 4), ("RELIANCE", 3)]
    assert chains[1].expiry == date(2025, 12, 30)


async def test_a_contract_has_the_score_of_its_newest_order_book():
    worker = Worker()
    feed = await started(worker)
    books = [
        depth_record(call(24_000), OPEN, 150.0, 150.1, quantity=75_000),
        depth_record(put(23_900), OPEN, 99.0, 0.0),
    ]

    (chain,) = chains_of(await worker.feed(feed.batch(*whole_chain(OPEN), depths=books)))

    calls, puts = chain.rows["call"]["liquidity_score"], chain.rows["put"]["liquidity_score"]
    assert calls[1] == pytest.approx(78.53, abs=0.01)
    assert np.isnan(calls).tolist() == [True, False, True, True]
    assert (puts[0], np.isnan(puts[1:]).all()) == (0.0, True)


async def test_an_order_book_older_than_a_price_may_be_has_no_score():
    worker = Worker()
    feed = await started(worker)
    await worker.feed(feed.batch(*whole_chain(OPEN), depths=[depth_record(call(24_000), OPEN, 150.0, 150.1)]))

    chains = [
        chains_of(await worker.feed(feed.batch(*whole_chain(time))))[-1]
        for time in (OPEN + RULES.freshness, OPEN + RULES.freshness + SECOND)
    ]

    assert [bool(np.isnan(chain.rows["call"]["liquidity_score"][1])) for chain in chains] == [False, True]

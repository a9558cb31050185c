"""Entries that no chain is valued with are taken in at once, and are remembered as if cell by cell."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from server.domain.prices import ABSENT
from server.market.chain_stage.quotes import QUOTE
from server.market.chain_stage.segments import whole
from tests.unit.market.chain_stage.chain_pipeline import (
    DAY,
    FUTURE,
    INDEX,
    MILLI,
    OPEN,
    SECOND,
    STOCK,
    Feed,
    Tick,
    Worker,
    chains_of,
    option_tick,
    started,
    whole_chain,
)

MOMENTS = st.builds(
    lambda day, step: OPEN + day * DAY + step * 20 * MILLI, st.sampled_from((-1, 0, 1)), st.integers(0, 20)
)
UNDERLYING_TICKS = st.lists(
    st.builds(
        Tick,
        st.sampled_from((INDEX, FUTURE, STOCK)),
        MOMENTS,
        st.sampled_from((ABSENT, 240_000_000, 241_000_000)),
        row=st.integers(0, 2),
        volume=st.sampled_from((ABSENT, 100, 200)),
        open_interest=st.sampled_from((ABSENT, 75, 150)),
    ),
    min_size=1,
    max_size=30,
)


def known_quotes(worker: Worker) -> list[tuple]:
    payload = worker.stage.sections(full=True)["quotes"]
    return sorted(np.frombuffer(payload, QUOTE).tolist())


@settings(max_examples=300, deadline=None)
@given(rows=UNDERLYING_TICKS)
async def test_one_entry_leaves_what_an_entry_for_each_cell_leaves(rows):
    together, apart = Worker(), Worker()
    feed = await started(together)
    await together.feed(feed.batch(*rows))

    feed = await started(apart)
    for cell in cells_of(rows):
        await apart.feed(feed.batch(*cell))

    assert known_quotes(together) == known_quotes(apart)


def cells_of(rows: list[Tick]) -> list[list[Tick]]:
    """The ticks of each stretch in which market time stays within 50 ms, in plain Python."""
    groups: list[list[Tick]] = []
    market_time, cell = 0, -1
    for row in rows:
        market_time = max(market_time, row.event_time)
        if market_time // (50 * MILLI) != cell:
            cell = market_time // (50 * MILLI)
            groups.append([])
        groups[-1].append(row)
    return groups


def test_a_tick_behind_a_newer_one_of_its_instrument_is_left_out():
    entry = Feed().batch(
        Tick(INDEX, OPEN + SECOND, 1), Tick(STOCK, OPEN + 2 * SECOND, 2), Tick(INDEX, OPEN, 3), Tick(FUTURE, OPEN, 4)
    )

    assert whole(entry, begins_at=0).ticks["last_price"].tolist() == [1, 2, 4]


def test_ticks_of_one_moment_are_left_to_the_sort_by_time():
    entry = Feed().batch(Tick(INDEX, OPEN + SECOND, 1), Tick(INDEX, OPEN, 2))

    assert whole(entry, begins_at=0).ticks["last_price"].tolist() == [1, 2]


async def test_the_first_option_of_an_entry_begins_its_chain_in_the_middle_of_it():
    worker = Worker()
    feed = await started(worker)
    later = OPEN + SECOND

    entry = await worker.feed(
        feed.batch(*whole_chain(OPEN)[:1], Tick(INDEX, later, 240_600_000), option_tick(10, later))
    )

    (chain,) = chains_of(entry)
    assert chain.as_of == later


async def test_a_chain_that_exists_is_valued_within_an_entry_of_its_underlying_alone():
    worker = Worker()
    feed = await started(worker)
    await worker.feed(feed.batch(*whole_chain(OPEN)))

    entry = await worker.feed(feed.batch(*(Tick(INDEX, OPEN + step * SECOND, 240_500_000) for step in (1, 2, 3))))

    assert [chain.as_of for chain in chains_of(entry)] == [OPEN + step * SECOND for step in (1, 2, 3)]

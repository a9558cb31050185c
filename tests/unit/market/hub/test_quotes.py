"""A quote out of the book: its order book is the feed's ladder, or the best prices of a tick that is younger."""

import numpy as np
import pytest

from server.domain.prices import ABSENT
from server.market.book import Book
from server.market.hub.quotes import Level, Quote, quote_of
from server.market.records import DEPTH
from server.market.sessions import SessionTable
from tests.unit.market.pipeline import CALENDAR, INSTRUMENTS, MONDAY, SECOND, STOCK, Tick, ticks

BEST = {"bid_price": 221_500, "bid_quantity": 1_500, "ask_price": 224_500, "ask_quantity": 500}


def ladder(event_time: int) -> np.ndarray:
    rows = np.zeros(1, DEPTH)
    rows["instrument"], rows["event_time"], rows["row"] = STOCK, event_time, 1
    for side, price in (("bids", 221_000), ("asks", 225_000)):
        rows[side] = (ABSENT, ABSENT, 0)
        rows[side][0, :2] = [(price, 75, 2), (price - 500 if side == "bids" else price + 500, 150, 3)]
    return rows


def quote(ticked: int, laddered: int | None, **best: int) -> Quote:
    """The quote after a tick and a ladder, each so many seconds from the open."""
    sessions = SessionTable({"NSE": CALENDAR})
    sessions.register(INSTRUMENTS.values())
    book, rows = Book(sessions), ticks([Tick(STOCK, MONDAY + ticked * SECOND, 1, 223_000)])
    for name, value in best.items():
        rows[name] = value
    depths = np.zeros(0, DEPTH) if laddered is None else ladder(MONDAY + laddered * SECOND)
    book.apply("run-1", "replay", MONDAY + 10 * SECOND, rows, depths)
    found = quote_of(book, STOCK)
    assert found is not None
    return found


@pytest.mark.parametrize("laddered", [None, 1])
def test_best_prices_of_a_tick_that_no_ladder_is_as_young_as_are_a_book_of_one_level(laddered: int | None) -> None:
    found = quote(2, laddered, **BEST)

    assert (found.bids, found.asks) == ((Level(221_500, 1_500, 0),), (Level(224_500, 500, 0),))
    assert found.depth_time == MONDAY + 2 * SECOND


@pytest.mark.parametrize("laddered", [2, 3])
def test_a_ladder_as_young_as_the_tick_stands(laddered: int) -> None:
    found = quote(2, laddered, **BEST)

    assert found.bids == (Level(221_000, 75, 2), Level(220_500, 150, 3))
    assert found.asks == (Level(225_000, 75, 2), Level(225_500, 150, 3))
    assert found.depth_time == MONDAY + laddered * SECOND


def test_a_tick_without_best_prices_leaves_the_ladder() -> None:
    found = quote(2, 1)

    assert (found.bids[0].price, found.depth_time) == (221_000, MONDAY + SECOND)


def test_one_side_may_be_empty_and_a_quantity_unknown() -> None:
    found = quote(2, None, bid_price=221_500)

    assert (found.bids, found.asks, found.depth_time) == ((Level(221_500, 0, 0),), (), MONDAY + 2 * SECOND)


def test_without_either_there_is_no_book() -> None:
    found = quote(2, None)

    assert (found.bids, found.asks, found.depth_time) == ((), (), None)

"""Liquidity of a chain's options by the best level of their books."""

import numpy as np
import pytest

from server.market.chain_liquidity import best_level_liquidity
from server.market.chain_messages import ChainMessages
from server.market.records import ABSENT
from tests.unit.market.chain_rows import RUPEE, live, rows

BOOK = ("bid_price", "bid_quantity", "ask_price", "ask_quantity")


def books(*given: tuple[float, int, float, int]) -> np.ndarray:
    """Contracts with these best levels; the others have no book."""
    contracts = rows()["call"]
    for place, (bid, bid_quantity, ask, ask_quantity) in enumerate(given):
        for name, value in zip(BOOK, (round(bid * RUPEE), bid_quantity, round(ask * RUPEE), ask_quantity), strict=True):
            contracts[name][place] = value
    return contracts


def test_spread_balance_and_microprice_come_from_the_best_level():
    found = best_level_liquidity(books((99.0, 300, 101.0, 100)))
    assert {name: column[0] for name, column in found.items()} == {
        "spread": 2.0, "spread_pct": 2.0, "imbalance_pct": 50.0, "pressure": 0.5, "microprice": 100.5,
    }  # fmt: skip


@pytest.mark.parametrize("book", [(99.0, 300, 0.0, 0), (0.0, 0, 101.0, 100)])
def test_a_book_with_an_empty_side_has_no_liquidity(book: tuple[float, int, float, int]):
    assert all(np.isnan(column[0]) for column in best_level_liquidity(books(book)).values())


def test_a_crossed_book_has_a_balance_and_no_spread():
    found = best_level_liquidity(books((101.0, 300, 99.0, 100)))
    assert (found["imbalance_pct"][0], np.isnan(found["spread"][0]), np.isnan(found["microprice"][0])) == (
        50.0, True, True,
    )  # fmt: skip


def test_a_quote_without_an_order_book_says_nothing_of_liquidity():
    chain = rows()
    for name, value in zip(BOOK, (99 * RUPEE, 300, 101 * RUPEE, 100), strict=True):
        chain["call"][name] = [value, ABSENT, ABSENT, ABSENT]
    first, second, *_ = ChainMessages(live(chain), str).message().rows
    assert first.call.liquidity.microprice == 100.5
    assert not second.call.HasField("liquidity")


def test_the_score_of_a_contract_is_that_of_its_row():
    chain = rows()
    chain["call"]["liquidity_score"][1] = 72.0
    _, second, *_ = ChainMessages(live(chain), str).message().rows
    assert second.call.liquidity.score == 72.0

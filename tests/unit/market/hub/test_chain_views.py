"""What views of chains show."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from server.domain.instruments import Instrument, shard_of
from server.domain.options.strike_range import AllStrikes
from server.market.hub.chain_views import NOTHING, ChainView, Shown, compared
from server.market.hub.option_chains import slot_of
from tests.support.market import NIFTY, RELIANCE, option

NEAR, NEXT = date(2025, 11, 25), date(2025, 12, 2)


def test_an_item_is_a_date_or_a_label():
    dated = ChainView.of("NIFTY", "2025-11-25", AllStrikes())
    called = ChainView.of("NIFTY", "NWeek+1", AllStrikes())

    assert (dated.expiry, dated.expiry_at(())) == (NEAR, NEAR)
    assert (called.expiry, called.expiry_at(())) == (None, None)


@pytest.mark.parametrize("item", ["2025-02-30", "NWeek", "NWeek-1", "tomorrow", ""])
def test_other_items_are_refused(item):
    with pytest.raises(ValueError, match=r".+"):
        ChainView.of("NIFTY", item, AllStrikes())


def test_the_first_selection_is_compared_with_nothing():
    window = compared(NOTHING, NEAR, np.array([100.0, 110.0]), 110.0).window

    assert (window.lowest, window.highest, window.atm_strike) == (100.0, 110.0, 110.0)
    assert (window.HasField("recentred"), window.recentred) == (True, False)
    assert not window.added_strikes


def test_a_selection_says_what_came_and_went():
    window = compared(Shown(NEAR, np.array([90.0, 100.0])), NEAR, np.array([100.0, 110.0]), None).window

    assert window.recentred
    assert (list(window.added_strikes), list(window.removed_strikes)) == ([110.0], [90.0])
    assert not window.HasField("atm_strike")


def test_another_expiry_has_rolled_and_is_not_recentred():
    update = compared(Shown(NEAR, np.array([90.0])), NEXT, np.array([100.0]), None)

    assert (update.rolled_from, update.window.recentred) == ("2025-11-25", False)


def test_what_is_not_known_any_more_is_not_compared():
    assert not compared(Shown(NEAR, None), NEAR, np.array([100.0]), None).window.HasField("recentred")


def test_an_empty_selection_has_no_bounds():
    window = compared(Shown(NEAR, np.array([90.0])), NEAR, np.array([]), None).window

    assert not window.HasField("lowest")
    assert (window.recentred, list(window.removed_strikes)) == (True, [90.0])


@pytest.mark.parametrize("contract", [NIFTY, RELIANCE, option(24_500)])
@pytest.mark.parametrize("slots", [1, 2, 7])
def test_a_chain_is_read_from_the_slot_that_its_instruments_are_in(contract, slots):
    fields = {name: getattr(contract, name) for name in contract.__dataclass_fields__}
    instrument = Instrument(**fields, instrument_id=1)

    assert slot_of(contract.underlying or contract.tradingsymbol, slots) == shard_of(instrument, slots)

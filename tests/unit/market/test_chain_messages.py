"""A valuation in the contract's words."""

from __future__ import annotations

import numpy as np
import pytest

from server.market.chain_messages import ChainMessages
from server.market.chains import LiveChain
from server.market.records import CONTRACT_STALE, CONTRACT_WITHHELD
from strikeline.v1 import option_pb2 as pb
from tests.unit.market.chain_rows import live, rows


def messages(chain: LiveChain | None = None) -> ChainMessages:
    return ChainMessages(chain or live(), lambda number: f"NFO:{number}")


def test_a_chain_says_what_it_is_valued_with():
    chain = messages().message(labels=("NWeek+0",))

    assert (chain.underlying, chain.expiry, list(chain.labels)) == ("NIFTY", "2026-11-24", ["NWeek+0"])
    assert (chain.as_of.seconds, chain.revision, chain.strike_count) == (7, 3, 4)
    assert (chain.spot, chain.forward, chain.forward_source) == (101.0, 102.0, pb.FORWARD_SOURCE_LISTED_FUTURE)
    assert not chain.HasField("forward_strike")
    assert (chain.rate, chain.dividend_yield, chain.years_to_expiry) == (0.065, 0.0, 0.1)
    assert (chain.model, chain.day_count) == (pb.PRICING_MODEL_BLACK_76, pb.DAY_COUNT_ACT_365)
    assert (chain.greeks_reference, chain.atm_strike) == (pb.GREEKS_REFERENCE_SPOT, 100.0)


def test_strikes_know_their_place_from_both_sides():
    chain = messages().message()

    assert [row.strike for row in chain.rows] == [90.0, 100.0, 110.0, 120.0]
    assert [row.level for row in chain.rows] == [-1, 0, 1, 2]
    assert [row.call.moneyness for row in chain.rows] == ["ITM1", "ATM", "OTM1", "OTM2"]
    assert [row.put.moneyness for row in chain.rows[1:]] == ["ATM", "ITM1", "ITM2"]


def test_a_side_that_is_not_listed_is_empty():
    first = messages().message().rows[0]

    assert first.HasField("call")
    assert not first.HasField("put")
    assert not first.HasField("pcr_oi")


def test_what_is_not_known_is_absent():
    never = messages().message().rows[3].call

    assert never.instrument == "NFO:13"
    present = {field.name for field, _ in never.ListFields()}
    assert present == {"instrument", "option_type", "moneyness", "open_interest", "oi_change", "oi_change_pct"} | {
        "model_price"
    }


def test_a_quote_has_its_premium_and_its_change_of_open_interest():
    quote = messages().message().rows[0].call

    assert (quote.last_price, quote.intrinsic_value, quote.extrinsic_value) == (12.0, 11.0, 1.0)
    assert (quote.oi_change, quote.oi_change_pct) == (20, 25.0)
    assert quote.premium_abs == pytest.approx(12.0 - quote.model_price)
    assert (quote.event_time.seconds, quote.implied_volatility) == (5, 0.2)


def test_greeks_are_those_of_the_row():
    chain = rows()
    chain["call"]["delta"][1], chain["call"]["colour"][1] = 0.55, -0.25

    quote = messages(live(chain)).message().rows[1].call

    assert {field.name: value for field, value in quote.greeks.ListFields()} == {"delta": 0.55, "colour": -0.25}


def test_a_quote_says_why_it_has_no_figures():
    chain = rows()
    chain["call"]["flags"][1] |= CONTRACT_STALE
    chain["put"]["flags"][1] |= CONTRACT_WITHHELD

    row = messages(live(chain)).message().rows[1]

    assert (row.call.stale, row.call.withheld) == (True, False)
    assert (row.put.stale, row.put.withheld) == (False, True)


def test_a_selection_has_its_strikes_only():
    chain = messages().message(np.array([False, True, True, False]))

    assert [row.strike for row in chain.rows] == [100.0, 110.0]
    assert chain.strike_count == 4


def test_selections_share_the_bytes_of_a_strike():
    shared = messages()

    assert shared.row(1) == shared.message().rows[1]


def test_without_a_reference_price_nothing_is_at_the_money():
    chain = messages(live(spot=None, forward=None)).message()

    assert not chain.HasField("atm_strike")
    assert not chain.rows[0].HasField("level")
    assert chain.rows[0].call.moneyness == ""
    assert chain.greeks_reference == pb.GREEKS_REFERENCE_UNSPECIFIED


def test_when_time_is_over_prices_stay():
    chain = messages(live(years=0.0)).message()

    assert chain.years_to_expiry == 0.0
    assert chain.rows[0].call.last_price == 12.0
    assert not chain.rows[0].call.HasField("model_price")

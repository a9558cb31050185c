"""Chains as they are published: what goes in comes out, and what is not known stays unknown."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from server.domain.options.forward import Forward, ForwardSource
from server.market.chains import LiveChain, MinuteChain
from server.market.records import (
    ABSENT,
    CHAIN_ROW,
    CONTRACT_LISTED,
    CONTRACT_STALE,
    MINUTE_ROW,
)
from strikeline.internal.v1.log_pb2 import ChainMinute, ChainState

EXPIRY = date(2026, 11, 24)
RUPEE = 10_000


def rows() -> np.ndarray:
    chain = np.zeros(2, CHAIN_ROW)
    chain["strike"] = [100 * RUPEE, 110 * RUPEE]
    for side, open_interest in (("call", (10, 50)), ("put", (100, ABSENT))):
        contracts = chain[side]
        contracts["instrument"] = [1, 2]
        contracts["flags"] = [CONTRACT_LISTED, CONTRACT_LISTED | CONTRACT_STALE]
        contracts["last_price"] = [5 * RUPEE, 2 * RUPEE]
        contracts["volume"], contracts["open_interest"] = 7, open_interest
        contracts["volatility"], contracts["delta"] = [0.2, np.nan], [0.5, np.nan]
    return chain


def live(forward: Forward | None = None, spot: float | None = 101.05) -> LiveChain:
    return LiveChain("NIFTY", EXPIRY, 17, spot, forward, 0.065, 0.01, 0.1, rows(), 3, "run")


def test_a_chain_survives_its_message():
    forward = Forward(102.5, ForwardSource.PARITY_SYNTHETIC, 100.0)

    chain = LiveChain.parse(ChainState.FromString(live(forward).state().SerializeToString()), "run")

    assert (chain.underlying, chain.expiry, chain.as_of, chain.revision, chain.run) == ("NIFTY", EXPIRY, 17, 3, "run")
    assert (chain.spot, chain.forward) == (101.05, forward)
    assert (chain.rate, chain.dividend_yield, chain.years) == (0.065, 0.01, 0.1)
    assert chain.rows.tobytes() == rows().tobytes()


def test_what_a_chain_is_not_valued_with_is_none():
    chain = LiveChain.parse(live(spot=None).state(), "run")

    assert chain.spot is None
    assert chain.forward is None


def test_rows_of_a_message_cannot_be_changed():
    chain = LiveChain.parse(live().state(), "run")

    with pytest.raises(ValueError, match="read-only"):
        chain.rows["strike"][0] = 1


def test_a_price_that_is_too_old_is_absent_from_the_chain_and_open_interest_is_not():
    chain = live().chain

    assert chain.strikes.tolist() == [100.0, 110.0]
    assert chain.calls.price[0] == 5.0
    assert np.isnan(chain.calls.price[1])
    assert chain.calls.open_interest.tolist() == [10.0, 50.0]
    assert chain.puts.open_interest[0] == 100.0
    assert np.isnan(chain.puts.open_interest[1])


def test_a_contract_that_is_not_listed_counts_for_nothing():
    chain = live()
    chain.rows["put"]["flags"][0] = 0

    assert np.isnan(chain.chain.puts.open_interest).all()
    assert chain.metrics.put_open_interest is None


def test_metrics_are_those_of_the_whole_expiry():
    metrics = live(Forward(103.0, ForwardSource.CARRY)).metrics

    assert (metrics.call_open_interest, metrics.put_open_interest) == (60.0, 100.0)
    assert (metrics.call_volume, metrics.put_volume) == (14.0, 14.0)
    assert (metrics.atm_strike, metrics.atm_volatility, metrics.straddle) == (100.0, 0.2, 10.0)
    assert metrics.max_pain == 100.0


def test_a_minute_survives_its_message():
    chain = live(Forward(103.0, ForwardSource.LISTED_FUTURE))
    minute_rows = np.zeros(1, MINUTE_ROW)
    minute_rows["strike"] = 100 * RUPEE
    minute = MinuteChain(
        "NIFTY", EXPIRY, 60, 101.05, chain.forward, 0.065, 0.0, 0.1, minute_rows, metrics=chain.metrics
    )

    read = MinuteChain.parse(ChainMinute.FromString(minute.message().SerializeToString()))

    assert (read.underlying, read.expiry, read.open_time) == ("NIFTY", EXPIRY, 60)
    assert (read.spot, read.forward, read.years) == (101.05, chain.forward, 0.1)
    assert read.metrics == chain.metrics
    assert read.rows.tobytes() == minute_rows.tobytes()

"""The synthetic feed through the stage: chains of its market make sense."""

from __future__ import annotations

import asyncio
from datetime import date

import numpy as np
import pytest

from server.domain.instruments import Instrument
from server.domain.options.forward import ForwardSource
from server.market.chain_stage.stage import ChainsStage
from server.market.chains import LiveChain
from server.market.entries import TICKS
from server.market.feeds.contracts import Contract, ContractRules
from server.market.feeds.expiries import ExpiryRules
from server.market.feeds.synthetic.generator import DayGenerator, Rates
from server.market.feeds.synthetic.paths import opening_levels
from server.market.feeds.synthetic.world import list_day
from server.market.sessions import SessionTable
from tests.support.feeds import make_calendar
from tests.unit.market.chain_stage.chain_pipeline import RULES, Feed, MemoryReference, Worker

MONDAY = date(2026, 11, 23)
SEED, CONTRACTS, STEPS = 1, 900, 120


def instrument(number: int, contract: Contract) -> Instrument:
    return Instrument(
        instrument_id=number,
        exchange=contract.exchange,
        tradingsymbol=contract.tradingsymbol,
        kind=contract.kind,
        underlying=contract.underlying,
        expiry=contract.expiry,
        strike=contract.strike,
        tick_size=contract.tick_size,
        lot_size=contract.lot_size,
    )


class SyntheticWorker(Worker):
    """A worker over the calendar of the feed."""

    def _new(self) -> ChainsStage:
        return ChainsStage(SessionTable({"NSE": make_calendar()}), RULES, self.reference, self, self)


@pytest.fixture(scope="module")
def worker() -> Worker:
    """Two minutes of a synthetic day, a step each second."""
    return asyncio.run(synthetic_minutes())


async def synthetic_minutes() -> Worker:
    rules = ContractRules(ExpiryRules(make_calendar()))
    listed = list_day(MONDAY, opening_levels(SEED, MONDAY).tolist(), rules, CONTRACTS)
    generator = DayGenerator(
        SEED, make_calendar().session_on(MONDAY)[0], listed, Rates(ticks_per_second=900, step=1_000)
    )
    worker = SyntheticWorker(
        MemoryReference([instrument(number, item.contract) for number, item in enumerate(listed, 1)])
    )
    feed = Feed(source="synthetic")
    await worker.feed(feed.started())
    for step in range(STEPS):
        ticks, depths = generator.step(step)
        for records in (ticks, depths):
            records["instrument"] += 1
        feed.market_time = int(ticks["event_time"].max())
        await worker.feed(feed.entry(TICKS, ticks=ticks.tobytes(), depths=depths.tobytes()))
    await worker.feed(feed.ended())
    await worker.commit()
    return worker


@pytest.fixture(scope="module")
def chains(worker: Worker) -> list[LiveChain]:
    """The newest state of each chain."""
    return list({(chain.underlying, chain.expiry): chain for chain in worker.chains()}.values())


def test_every_listed_expiry_has_a_chain(chains):
    names = {chain.underlying for chain in chains}

    assert names == {"NIFTY", "BANKNIFTY", "RELIANCE", "HDFCBANK", "ICICIBANK", "INFY", "TCS"}
    assert len([chain for chain in chains if chain.underlying == "NIFTY"]) >= 4


def test_forwards_come_from_futures_where_they_are_listed_and_from_parity_elsewhere(chains):
    sources = {chain.forward.source for chain in chains if chain.underlying == "NIFTY"}

    assert sources == {ForwardSource.LISTED_FUTURE, ForwardSource.PARITY_SYNTHETIC}
    assert all(abs(chain.forward.price / chain.spot - 1.0) < 0.03 for chain in chains)


def test_volatilities_at_the_money_are_those_of_a_calm_market(chains):
    for chain in chains:
        assert 0.05 < chain.metrics.atm_volatility < 0.6
        assert chain.metrics.expected_move > 0.0


def test_greeks_have_their_signs_and_fall_with_the_strike(chains):
    for chain in chains:
        for side, low, high in (("call", 0.0, 1.0), ("put", -1.0, 0.0)):
            rows = chain.rows[side][np.isfinite(chain.rows[side]["delta"])]
            assert len(rows)
            assert ((rows["delta"] >= low - 1e-9) & (rows["delta"] <= high + 1e-9)).all()
            assert (np.diff(rows["delta"]) < 0.01).all()
            assert (rows["gamma"] >= 0.0).all()
            assert (rows["vega"] >= 0.0).all()


def test_nearly_all_contracts_that_ticked_are_valued(chains):
    ticked = sum(int((chain.rows[side]["last_price"] > 0).sum()) for chain in chains for side in ("call", "put"))
    valued = sum(int(np.isfinite(chain.rows[side]["volatility"]).sum()) for chain in chains for side in ("call", "put"))

    assert ticked > 700
    assert valued > 0.9 * ticked


def test_both_minutes_of_every_chain_are_stored_with_books(worker, chains):
    assert len(worker.minutes) == 2 * len(chains)
    books = [minute.rows[side]["book"]["score"] for minute in worker.minutes.values() for side in ("call", "put")]
    scores = np.concatenate(books)
    assert np.isfinite(scores).any()
    assert (scores[np.isfinite(scores)] <= 100.0).all()

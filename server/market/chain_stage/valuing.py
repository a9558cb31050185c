"""Values chains: their quotes at a market time become rows, volatilities and Greeks, all chains in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from server.domain.options.arrays import FloatArray
from server.domain.options.forward import Forward
from server.domain.options.greeks import NAMES
from server.domain.options.invariants import Checked
from server.domain.options.time_to_expiry import years_between
from server.domain.options.valuation import ExpiryQuotes, SideQuotes, value_columns
from server.domain.prices import ABSENT, SCALE
from server.market.chain_stage.chain_table import ChainTable
from server.market.chain_stage.contracts import NONE, Contracts, Ladder
from server.market.chain_stage.order_books import OrderBooks
from server.market.chain_stage.ports import ChainRules
from server.market.chain_stage.quotes import Quotes
from server.market.chains import LiveChain, prices, quantities
from server.market.records import CHAIN_CONTRACT, CHAIN_ROW, CONTRACT_LISTED, CONTRACT_STALE, CONTRACT_WITHHELD
from server.market.runs import Run
from server.market.sessions import day_number
from server.market.telemetry import Meter

Rows = NDArray[np.void]
Ids = NDArray[np.int32]
Numbers = NDArray[np.int64]

_SHOWN: Final = (
    "event_time",
    "last_price",
    "volume",
    "open_interest",
    "exchange_oi_change",
    "bid_price",
    "bid_quantity",
    "ask_price",
    "ask_quantity",
)
"""Columns that a contract takes from its quote while that counts."""


@dataclass(frozen=True)
class ValuedSide:
    """One side of some chains, one after the other.

    `ids` is `NONE` where nothing is listed. `figures` of shape (12, contracts) are volatility and Greeks, NaN where
    absent.
    """

    ids: Ids
    figures: FloatArray


@dataclass(frozen=True)
class Valued:
    """Chains that were valued, in the order asked for, and their sides."""

    chains: Sequence[LiveChain]
    sides: tuple[ValuedSide, ValuedSide]


@dataclass(frozen=True)
class _Side:
    """Calls or puts of some chains, one after the other: rows of `CHAIN_CONTRACT` and what they are valued by."""

    rows: Rows
    price: FloatArray
    open_interest: FloatArray
    volume: FloatArray

    def part(self, rows: slice) -> SideQuotes:
        return SideQuotes(price=self.price[rows], open_interest=self.open_interest[rows], volume=self.volume[rows])


class Valuer:
    """Values chains out of quotes. What violates an invariant is withheld, and counted by rule."""

    def __init__(
        self,
        contracts: Contracts,
        table: ChainTable,
        quotes: Quotes,
        books: OrderBooks,
        rules: ChainRules,
        meter: Meter,
    ) -> None:
        self._contracts = contracts
        self._table = table
        self._quotes = quotes
        self._books = books
        self._rules = rules
        self._meter = meter

    def value(self, chains: Numbers, run: Run) -> Valued:
        """Values chains of a run at its market time."""
        numbers = chains.tolist()
        ladders = [self._contracts.ladders[number] for number in numbers]
        calls, puts = (self._side(run, np.concatenate(ids)) for ids in _columns(ladders))
        parts = _parts(ladders)
        quotes = self._expiries(chains, ladders, (calls, puts), parts, run)
        forwards, found = value_columns(quotes)
        for rule, count in found.violations.items():
            self._meter.count("strikeline_chain_figures_withheld_total", count, rule=rule.value)
        count = len(calls.rows)
        sides = _fill(calls, found, slice(0, count)), _fill(puts, found, slice(count, 2 * count))
        rows = np.empty(count, CHAIN_ROW)
        rows["strike"] = np.concatenate([ladder.strikes for ladder in ladders])
        rows["call"], rows["put"] = calls.rows, puts.rows
        cut = [np.frombuffer(rows[part].tobytes(), CHAIN_ROW) for part in parts]
        return Valued(self._lives(chains, cut, quotes, forwards, run), sides)

    def _side(self, run: Run, ids: Ids) -> _Side:
        rows = self._quotes.rows[ids]
        oldest = run.market_time - self._rules.freshness
        listed = ids != NONE
        counts = listed & self._quotes.usable(run, ids, self._rules.freshness)
        shown = np.zeros(len(ids), CHAIN_CONTRACT)
        shown["instrument"] = np.where(listed, ids, 0)
        for name in _SHOWN:
            shown[name] = np.where(counts, rows[name], ABSENT)
        today = rows["day"] == day_number(run.market_time)
        for name in ("volume", "exchange_oi_change"):
            shown[name][~today] = ABSENT
        shown["liquidity_score"] = np.where(counts, self._books.scores(ids, oldest), np.nan)
        shown["previous_open_interest"] = np.where(listed, rows["previous_open_interest"], ABSENT)
        priced = shown["last_price"] != ABSENT
        fresh = priced & (rows["price_time"] >= oldest)
        shown["flags"] = np.where(listed, CONTRACT_LISTED, 0) | np.where(priced & ~fresh, CONTRACT_STALE, 0)
        price = np.where(fresh, shown["last_price"] / SCALE, np.nan)
        return _Side(shown, price, quantities(shown["open_interest"]), quantities(shown["volume"]))

    def _expiries(
        self, chains: Numbers, ladders: Sequence[Ladder], sides: tuple[_Side, _Side], parts: Sequence[slice], run: Run
    ) -> list[ExpiryQuotes]:
        strikes = prices(np.concatenate([ladder.strikes for ladder in ladders]))
        years = years_between(run.market_time, self._table.rows["expiry"][chains]).tolist()
        spots = [self._contracts.spots[self._contracts.underlying_of[chain]] for chain in chains.tolist()]
        bases = self._fresh_prices(run, spots)
        futures = self._fresh_prices(run, [ladder.future for ladder in ladders])
        return [
            ExpiryQuotes(
                strikes=strikes[part],
                calls=sides[0].part(part),
                puts=sides[1].part(part),
                spot=base,
                future=future,
                rate=self._rules.rate,
                dividend_yield=self._rules.dividend_yield,
                years=left,
            )
            for part, base, future, left in zip(parts, bases, futures, years, strict=True)
        ]

    def _fresh_prices(self, run: Run, numbers: Sequence[int]) -> list[float | None]:
        """Rupees; None for no instrument, and where the price is not known or too old."""
        ids = np.array(numbers, np.int32)
        rows = self._quotes.rows[ids]
        fresh = (ids != NONE) & (rows["last_price"] != ABSENT)
        fresh &= self._quotes.usable(run, ids, self._rules.freshness)
        fresh &= rows["price_time"] >= run.market_time - self._rules.freshness
        known = zip(fresh.tolist(), rows["last_price"].tolist(), strict=True)
        return [price / SCALE if usable else None for usable, price in known]

    def _lives(
        self,
        chains: Numbers,
        rows: Sequence[Rows],
        quotes: Sequence[ExpiryQuotes],
        forwards: Sequence[Forward | None],
        run: Run,
    ) -> list[LiveChain]:
        revisions = self._table.rows["revision"][chains].tolist()
        keys = [self._contracts.keys[chain] for chain in chains.tolist()]
        return [
            LiveChain(
                underlying=key[0],
                expiry=key[1],
                as_of=run.market_time,
                spot=quote.spot,
                forward=forward,
                rate=self._rules.rate,
                dividend_yield=self._rules.dividend_yield,
                years=quote.years,
                rows=own,
                revision=revision + 1,
                run=run.name,
            )
            for key, own, quote, forward, revision in zip(keys, rows, quotes, forwards, revisions, strict=True)
        ]


def _fill(side: _Side, found: Checked, part: slice) -> ValuedSide:
    """Writes what was found into the side's rows."""
    volatility, greeks = found.volatility[part], found.greeks.values[:, part]
    side.rows["volatility"] = volatility
    for number, name in enumerate(NAMES):
        side.rows[name] = greeks[number]
    side.rows["flags"] |= np.where(found.withheld[part], CONTRACT_WITHHELD, 0).astype(np.int32)
    ids = np.where(side.rows["instrument"] > 0, side.rows["instrument"], NONE).astype(np.int32)
    return ValuedSide(ids, np.concatenate((volatility[None, :], greeks)))


def _columns(ladders: Sequence[Ladder]) -> tuple[list[Ids], list[Ids]]:
    return [ladder.calls for ladder in ladders], [ladder.puts for ladder in ladders]


def _parts(ladders: Sequence[Ladder]) -> list[slice]:
    """Where each chain's strikes are among those of all."""
    ends = np.cumsum([len(ladder.strikes) for ladder in ladders]).tolist()
    return [slice(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True)]

"""From quotes to published figures: forward, volatilities and Greeks of expiries, checked. Many expiries at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from server.domain.options.arrays import ABSENT, BoolArray, FloatArray
from server.domain.options.black76 import Contracts
from server.domain.options.chain import Chain, ChainSide
from server.domain.options.forward import Forward, forward_of
from server.domain.options.greeks import Greeks, greeks
from server.domain.options.implied_volatility import implied_volatility
from server.domain.options.invariants import Checked, Rule, checked, parity_gap, parity_holds


@dataclass(frozen=True, kw_only=True)
class SideQuotes:
    """All calls or all puts of an expiry by strike, NaN absent: prices to value by, open interest, day's volume."""

    price: FloatArray
    open_interest: FloatArray
    volume: FloatArray


@dataclass(frozen=True, kw_only=True)
class ExpiryQuotes:
    """What is known of one expiry: strikes ascending, both sides in that order, and what a forward is made from.

    Prices too old to be valued must be absent. `rate` and `dividend_yield` are fractions a year, `years` the time to
    expiry, 0 when it is over.
    """

    strikes: FloatArray
    calls: SideQuotes
    puts: SideQuotes
    spot: float | None
    future: float | None
    rate: float
    dividend_yield: float
    years: float

    def forward(self) -> Forward | None:
        """The forward and its source; None when nothing is known."""
        return forward_of(
            future=self.future,
            spot=self.spot,
            strikes=self.strikes,
            call_prices=self.calls.price,
            put_prices=self.puts.price,
            rate=self.rate,
            dividend_yield=self.dividend_yield,
            years=self.years,
        )


@dataclass(frozen=True)
class ExpiryValuation:
    """One expiry, valued: its chain, Greeks of both sides by strike, and what violated an invariant."""

    quotes: ExpiryQuotes
    forward: Forward | None
    chain: Chain
    call_greeks: Greeks
    put_greeks: Greeks
    violations: Mapping[Rule, int]


def value_expiries(expiries: Sequence[ExpiryQuotes]) -> tuple[ExpiryValuation, ...]:
    """Values expiries together: one pass over all of their contracts, whatever underlying they belong to.

    Greeks are with respect to the spot, and to the forward where there is no spot.
    """
    if not expiries:
        return ()
    forwards = [quotes.forward() for quotes in expiries]
    parts = [_contracts(quotes, forward) for quotes, forward in zip(expiries, forwards, strict=True)]
    contracts = _joined(parts)
    prices = np.concatenate([side.price for quotes in expiries for side in (quotes.calls, quotes.puts)])
    volatility = implied_volatility(contracts, prices)
    figures = greeks(contracts, volatility)
    valued: list[ExpiryValuation] = []
    start = 0
    for quotes, forward, part in zip(expiries, forwards, parts, strict=True):
        rows = slice(start, start + len(part))
        found = checked(
            part, prices[rows], volatility[rows], Greeks(figures.values[:, rows]), _parity(part, prices[rows])
        )
        valued.append(_valuation(quotes, forward, found))
        start = rows.stop
    return tuple(valued)


def all_violations(valued: Sequence[ExpiryValuation]) -> Mapping[Rule, int]:
    """Violations of all expiries together, by rule."""
    counts: Counter[Rule] = Counter()
    for valuation in valued:
        counts.update(valuation.violations)
    return MappingProxyType(counts)


def _contracts(quotes: ExpiryQuotes, forward: Forward | None) -> Contracts:
    """Calls, then puts."""
    price = ABSENT if forward is None else forward.price
    count = len(quotes.strikes)
    return Contracts.of(
        call=np.repeat([True, False], count),
        strike=np.tile(quotes.strikes, 2),
        underlying=price if quotes.spot is None else quotes.spot,
        forward=price,
        rate=quotes.rate,
        years=quotes.years,
    )


def _joined(parts: Sequence[Contracts]) -> Contracts:
    return Contracts(
        call=np.concatenate([part.call for part in parts]),
        strike=np.concatenate([part.strike for part in parts]),
        underlying=np.concatenate([part.underlying for part in parts]),
        forward=np.concatenate([part.forward for part in parts]),
        rate=np.concatenate([part.rate for part in parts]),
        years=np.concatenate([part.years for part in parts]),
    )


def _parity(contracts: Contracts, prices: FloatArray) -> BoolArray:
    """Whether parity holds, contract by contract. A miss is held against the side in the money: it is traded less."""
    count = len(contracts) // 2
    calls = contracts.part(slice(0, count))
    holds = parity_holds(parity_gap(prices[:count], prices[count:], calls), calls)
    call_inside = calls.strike < calls.forward
    return np.concatenate((holds | ~call_inside, holds | call_inside))


def _valuation(quotes: ExpiryQuotes, forward: Forward | None, found: Checked) -> ExpiryValuation:
    count = len(quotes.strikes)
    calls, puts = slice(0, count), slice(count, None)
    chain = Chain(
        strikes=quotes.strikes,
        calls=_side(quotes.calls, found, calls),
        puts=_side(quotes.puts, found, puts),
    )
    values = found.greeks.values
    return ExpiryValuation(quotes, forward, chain, Greeks(values[:, calls]), Greeks(values[:, puts]), found.violations)


def _side(quotes: SideQuotes, found: Checked, rows: slice) -> ChainSide:
    return ChainSide(
        price=quotes.price,
        open_interest=quotes.open_interest,
        volume=quotes.volume,
        volatility=found.volatility[rows],
        delta=found.greeks.delta[rows],
    )

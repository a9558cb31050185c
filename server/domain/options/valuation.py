"""From quotes to published figures: forward, volatilities and Greeks of expiries, checked. Many expiries at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from server.domain.options.arrays import ABSENT, BoolArray, FloatArray
from server.domain.options.black76 import Contracts
from server.domain.options.forward import Forward, forward_of
from server.domain.options.greeks import greeks
from server.domain.options.implied_volatility import implied_volatility
from server.domain.options.invariants import Checked, checked, parity_gap, parity_holds


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


def value_columns(expiries: Sequence[ExpiryQuotes]) -> tuple[list[Forward | None], Checked]:
    """Values expiries together: one pass over all of their contracts, whatever underlying they belong to.

    Greeks are with respect to the spot, and to the forward where there is no spot. -> the forwards, and the figures in
    columns, which hold the calls of all expiries in the order given, by strike, then their puts. At least one expiry.
    """
    forwards = [quotes.forward() for quotes in expiries]
    contracts = _contracts(expiries, forwards)
    sides = [[quotes.calls for quotes in expiries], [quotes.puts for quotes in expiries]]
    prices = np.concatenate([side.price for rows in sides for side in rows])
    volatility = implied_volatility(contracts, prices)
    return forwards, checked(contracts, prices, volatility, greeks(contracts, volatility), _parity(contracts, prices))


def _contracts(expiries: Sequence[ExpiryQuotes], forwards: Sequence[Forward | None]) -> Contracts:
    """The calls of all expiries, then their puts."""
    counts = [len(quotes.strikes) for quotes in expiries]
    prices = [ABSENT if forward is None else forward.price for forward in forwards]
    spots = [ABSENT if quotes.spot is None else quotes.spot for quotes in expiries]
    return Contracts.of(
        call=np.repeat([True, False], sum(counts)),
        strike=np.tile(np.concatenate([quotes.strikes for quotes in expiries]), 2),
        underlying=np.tile(np.repeat(spots, counts), 2),
        by_forward=np.tile(np.repeat([quotes.spot is None for quotes in expiries], counts), 2),
        forward=np.tile(np.repeat(prices, counts), 2),
        rate=np.tile(np.repeat([quotes.rate for quotes in expiries], counts), 2),
        years=np.tile(np.repeat([quotes.years for quotes in expiries], counts), 2),
    )


def _parity(contracts: Contracts, prices: FloatArray) -> BoolArray:
    """Whether parity holds, contract by contract. A miss is held against the side in the money: it is traded less."""
    count = len(contracts) // 2
    calls = contracts.part(slice(0, count))
    holds = parity_holds(parity_gap(prices[:count], prices[count:], calls), calls)
    call_inside = calls.strike < calls.forward
    return np.concatenate((holds | ~call_inside, holds | call_inside))

"""Live chains for tests: made of prices or volatilities, valued as the worker does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np

from server.domain.options.arrays import FloatArray
from server.domain.options.black76 import Contracts, price
from server.domain.options.forward import Forward, ForwardSource
from server.domain.options.greeks import NAMES, greeks
from server.domain.options.implied_volatility import implied_volatility
from server.domain.options.time_to_expiry import years_to_expiry
from server.domain.prices import ABSENT, SCALE
from server.market.chains import LiveChain
from server.market.records import CHAIN_ROW, CONTRACT_LISTED


def live_chain(
    expiry: date,
    as_of: int,
    volatilities: Mapping[float, float],
    *,
    underlying: str = "NIFTY",
    spot: float | None = 24_000.0,
    forward: float = 24_050.0,
    rate: float = 0.065,
) -> LiveChain:
    """A chain whose calls and puts trade at these volatilities by strike, rounded to a paisa; NaN: no price."""
    strikes = np.array(sorted(volatilities))
    rows = np.zeros(len(strikes), CHAIN_ROW)
    rows["strike"] = np.rint(strikes * SCALE)
    years = years_to_expiry(as_of, expiry)
    sigma = np.array([volatilities[strike] for strike in strikes.tolist()])
    for side in ("call", "put"):
        _fill(rows[side], side == "call", strikes, sigma, (spot or forward, forward, rate, years))
    return LiveChain(
        underlying=underlying,
        expiry=expiry,
        as_of=as_of,
        spot=spot,
        forward=Forward(forward, ForwardSource.LISTED_FUTURE),
        rate=rate,
        dividend_yield=0.0,
        years=years,
        rows=rows,
        revision=1,
        run="run-1",
    )


def _fill(
    side: np.ndarray, call: bool, strikes: FloatArray, sigma: FloatArray, market: tuple[float, float, float, float]
) -> None:
    base, forward, rate, years = market
    for name in side.dtype.names or ():
        side[name] = np.nan if side[name].dtype.kind == "f" else ABSENT if side[name].dtype.itemsize == 8 else 0
    side["flags"] = CONTRACT_LISTED
    contracts = Contracts.of(call=call, strike=strikes, underlying=base, forward=forward, rate=rate, years=years)
    paise = np.rint(price(contracts, sigma) * 100.0)
    known = np.isfinite(paise)
    side["last_price"] = np.where(known, np.nan_to_num(paise) * (SCALE // 100), ABSENT)
    side["volatility"] = implied_volatility(contracts, np.where(known, paise / 100.0, np.nan))
    figures = greeks(contracts, side["volatility"]).values
    for name, column in zip(NAMES, figures, strict=True):
        side[name] = column


@dataclass
class LiveChains:
    """The hub's chains, by hand."""

    chains: list[LiveChain] = field(default_factory=list)

    def get(self, underlying: str, expiry: date) -> LiveChain | None:
        """The chain of an expiry."""
        return next((chain for chain in self.chains if (chain.underlying, chain.expiry) == (underlying, expiry)), None)

    def expiries(self, underlying: str) -> Sequence[date]:
        """Expiries with a chain."""
        return sorted(chain.expiry for chain in self.chains if chain.underlying == underlying)


@dataclass
class Market:
    """Where the market is, by hand."""

    time: int | None = None
    live: bool = True

    def market_time(self) -> int | None:
        """The market time that the test set."""
        return self.time

    def is_live(self) -> bool:
        """What the test set."""
        return self.live

"""How a price becomes a volatility and Greeks: with respect to what, under which rate, counted in which days."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from server.domain.options.arrays import ABSENT, floats
from server.domain.options.black76 import Contracts, forward_price

NSE_RATE: Final = 0.10
"""The rate of the exchange's own implied volatilities, a year, continuously compounded."""


class Convention(StrEnum):
    """Named sets of assumptions.

    `SPOT`: Black-76 on the forward, Greeks with respect to the spot. `FORWARD`: the same, Greeks with respect to the
    forward. `NSE`: the exchange's website: Black-Scholes on the spot, rate 10 %, no dividends, whole calendar days to
    the expiry date over 365 (see `time_to_expiry.calendar_years`).
    """

    SPOT = "SPOT"
    FORWARD = "FORWARD"
    NSE = "NSE"


def contracts_under(
    convention: Convention,
    *,
    call: ArrayLike,
    strike: ArrayLike,
    years: ArrayLike,
    spot: ArrayLike = ABSENT,
    forward: ArrayLike = ABSENT,
    rate: ArrayLike = 0.0,
    dividend_yield: ArrayLike = 0.0,
) -> Contracts:
    """Contracts under a convention. Where the forward is absent it is the spot's, by rate and dividend yield.

    `years` must be counted as the convention says. `NSE` uses neither forward nor rate nor dividend yield. Under
    `SPOT` without a spot a volatility is still known, Greeks are not.
    """
    if convention is Convention.NSE:
        forwards = forward_price(spot, NSE_RATE, 0.0, years)
        return Contracts.of(call=call, strike=strike, underlying=spot, forward=forwards, rate=NSE_RATE, years=years)
    given = floats(forward)
    forwards = np.where(np.isnan(given), forward_price(spot, rate, dividend_yield, years), given)
    base = None if convention is Convention.FORWARD else spot
    return Contracts.of(call=call, strike=strike, underlying=base, forward=forwards, rate=rate, years=years)

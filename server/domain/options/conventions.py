"""How a price becomes a volatility and Greeks: with respect to what, under which rate, counted in which days."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

NSE_RATE: Final = 0.10
"""The rate of the exchange's own implied volatilities, a year, continuously compounded."""


class Convention(StrEnum):
    """Named sets of assumptions.

    `SPOT`: Black-76 on the forward, Greeks with respect to the spot. `FORWARD`: the same, Greeks with respect to the
    forward. `NSE`: the exchange's website: Black-Scholes on the spot, rate 10 %, no dividends, whole calendar days to
    the expiry date, at least one, over 365 (see `time_to_expiry.calendar_years`).
    """

    SPOT = "SPOT"
    FORWARD = "FORWARD"
    NSE = "NSE"

"""The forward price of an expiry, and where it was taken from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeGuard

import numpy as np

from server.domain.options.arrays import FloatArray

PARITY_REACH: Final = 0.05
"""Put-call parity is read at a strike within this share of the spot; further away the prices are too old to tell."""


class ForwardSource(StrEnum):
    """What a forward was taken from, best first."""

    LISTED_FUTURE = "LISTED_FUTURE"
    PARITY_SYNTHETIC = "PARITY_SYNTHETIC"
    CARRY = "CARRY"


@dataclass(frozen=True)
class Forward:
    """A forward in rupees. `strike` is where parity was read, for a synthetic one."""

    price: float
    source: ForwardSource
    strike: float | None = None


def forward_of(
    *,
    future: float | None,
    spot: float | None,
    strikes: FloatArray,
    call_prices: FloatArray,
    put_prices: FloatArray,
    rate: float,
    dividend_yield: float,
    years: float,
) -> Forward | None:
    """The listed future of the expiry, else the synthetic of put-call parity at the money, else the spot with carry.

    Prices that are too old to be compared must be given as absent (None, NaN). Strikes ascending, prices by strike.
    None when nothing is known.
    """
    if _usable(future):
        return Forward(future, ForwardSource.LISTED_FUTURE)
    synthetic = parity_forward(strikes, call_prices, put_prices, spot, math.exp(-rate * years))
    if synthetic is not None:
        return synthetic
    if _usable(spot):
        return Forward(spot * math.exp((rate - dividend_yield) * years), ForwardSource.CARRY)
    return None


def parity_forward(
    strikes: FloatArray, call_prices: FloatArray, put_prices: FloatArray, spot: float | None, discount: float
) -> Forward | None:
    """F = K + (C − P)/discount at the strike nearest to the spot at which both sides have a price.

    Without a spot it is the strike where call and put are closest. None when there is no such strike within reach.
    """
    both = np.flatnonzero((call_prices > 0.0) & (put_prices > 0.0))
    if not len(both):
        return None
    difference = call_prices[both] - put_prices[both]
    distance = np.abs(difference) if not _usable(spot) else np.abs(strikes[both] - spot)
    chosen = int(np.argmin(distance))
    strike = float(strikes[both][chosen])
    if _usable(spot) and abs(strike - spot) > PARITY_REACH * spot:
        return None
    price = strike + float(difference[chosen]) / discount
    return Forward(price, ForwardSource.PARITY_SYNTHETIC, strike) if _usable(price) else None


def _usable(price: float | None) -> TypeGuard[float]:
    return price is not None and math.isfinite(price) and price > 0.0

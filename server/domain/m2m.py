"""Mark-to-market of a leg in profit's sign, exact: direction × (price − entry) × units.

A BUY gains when the price rises. At the last price it is unrealized, at the exit price realized. Lot sizes multiply
nothing. Sums over the open legs of many strategies are made over columns (`server.market.m2m_kernel`).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Final

BUY: Final = 1
SELL: Final = -1

SAFE_UNITS: Final = 900_000
"""Σ|units| up to which amounts in scaled 64-bit integers cannot overflow, prices being below 10^9 rupees."""

_EXACT = Context(prec=60)


@dataclass(frozen=True)
class Position:
    """A leg: `direction` is `BUY` or `SELL`, `units` are not negative, `entry` is rupees, not negative.

    Raises ValueError for anything else.
    """

    direction: int
    units: int
    entry: Decimal

    def __post_init__(self) -> None:
        if self.direction not in {BUY, SELL}:
            raise ValueError(f"a direction is +1 or -1, not {self.direction}")
        _require_units(self.units)
        _require_price(self.entry)


def leg_m2m(position: Position, price: Decimal) -> Decimal:
    """Profit of a leg at a price in rupees, exact. Raises ValueError for what is no price."""
    _require_price(price)
    return _EXACT.multiply(position.direction * position.units, _EXACT.subtract(price, position.entry))


def _require_units(units: object) -> None:
    if not isinstance(units, int) or units < 0:
        raise ValueError(f"units are whole and not negative: {units}")


def _require_price(price: object) -> None:
    if not isinstance(price, Decimal) or not price.is_finite() or price < 0:
        raise ValueError(f"a price is a finite decimal, not negative: {price}")

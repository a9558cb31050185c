"""Mark-to-market of positions, in profit's sign, exact.

The m2m of a leg is direction × (last − entry) × units: a BUY gains when the price rises. The premium flow of a
strategy is Σ last × units × (BUY −1, SELL +1): the cash that opening it at current prices would bring. Lot sizes
multiply nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    """An open leg.

    `direction` is `BUY` or `SELL`, `units` are not negative, `entry` and `last` are rupees, not negative. `last` is
    None when the price is not known. Raises ValueError for anything else.
    """

    direction: int
    units: int
    entry: Decimal
    last: Decimal | None

    def __post_init__(self) -> None:
        if self.direction not in {BUY, SELL}:
            raise ValueError(f"a direction is +1 or -1, not {self.direction}")
        if self.units != int(self.units) or self.units < 0:
            raise ValueError(f"units are whole and not negative: {self.units}")
        for price in (self.entry, *(() if self.last is None else (self.last,))):
            if not price.is_finite() or price < 0:
                raise ValueError(f"a price is not negative: {price}")


def leg_m2m(position: Position) -> Decimal | None:
    """Unrealized profit of a leg in rupees; None without a price."""
    if position.last is None:
        return None
    move = _EXACT.subtract(position.last, position.entry)
    return _EXACT.multiply(position.direction * position.units, move)


def strategy_m2m(positions: Sequence[Position]) -> Decimal | None:
    """Sum over the open legs in rupees, 0 without legs; None when a leg has no price."""
    return _total([leg_m2m(position) for position in positions])


def premium_flow(positions: Sequence[Position]) -> Decimal | None:
    """Cash of opening the legs at their last prices in rupees, received positive; None when a leg has no price."""
    return _total([_flow(position) for position in positions])


def _flow(position: Position) -> Decimal | None:
    return None if position.last is None else _EXACT.multiply(-position.direction * position.units, position.last)


def _total(amounts: Sequence[Decimal | None]) -> Decimal | None:
    total = Decimal(0)
    for amount in amounts:
        if amount is None:
            return None
        total = _EXACT.add(total, amount)
    return total

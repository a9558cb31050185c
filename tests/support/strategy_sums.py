"""Sums over a strategy's legs in decimals, leg by leg: what the kernel over columns is compared with."""

from collections.abc import Sequence
from decimal import Decimal

from server.domain.m2m import Position, leg_m2m

PricedLeg = tuple[Position, Decimal]
"""A leg and its last price in rupees."""


def strategy_m2m(legs: Sequence[PricedLeg]) -> Decimal:
    """Sum of the legs' mark-to-market in rupees, 0 without legs."""
    return sum((leg_m2m(position, last) for position, last in legs), Decimal(0))


def premium_flow(legs: Sequence[PricedLeg]) -> Decimal:
    """Cash of opening the legs at their last prices in rupees, received positive."""
    return sum((-position.direction * position.units * last for position, last in legs), Decimal(0))

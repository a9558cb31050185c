"""Figures of expiries that were valued together, each expiry's by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from server.domain.options.arrays import FloatArray
from server.domain.options.chain import Chain, ChainSide
from server.domain.options.forward import Forward
from server.domain.options.greeks import Greeks
from server.domain.options.invariants import Rule
from server.domain.options.valuation import ExpiryQuotes, SideQuotes, value_columns


@dataclass(frozen=True)
class ValuedExpiry:
    """Its forward, its chain, and the Greeks of both sides by strike."""

    quotes: ExpiryQuotes
    forward: Forward | None
    chain: Chain
    call_greeks: Greeks
    put_greeks: Greeks


def value_expiries(expiries: Sequence[ExpiryQuotes]) -> tuple[list[ValuedExpiry], Mapping[Rule, int]]:
    """The expiries in the order given, and how many figures of all of them were withheld, by rule."""
    forwards, found = value_columns(expiries)
    total, start, valued = len(found.volatility) // 2, 0, []
    for quotes, forward in zip(expiries, forwards, strict=True):
        end = start + len(quotes.strikes)
        sides = (slice(start, end), slice(total + start, total + end))
        calls, puts = (Greeks(found.greeks.values[:, rows]) for rows in sides)
        chain = Chain(
            strikes=quotes.strikes,
            calls=_side(quotes.calls, found.volatility[sides[0]], calls),
            puts=_side(quotes.puts, found.volatility[sides[1]], puts),
        )
        valued.append(ValuedExpiry(quotes, forward, chain, calls, puts))
        start = end
    return valued, found.violations


def _side(quotes: SideQuotes, volatility: FloatArray, figures: Greeks) -> ChainSide:
    return ChainSide(
        price=quotes.price,
        open_interest=quotes.open_interest,
        volume=quotes.volume,
        volatility=volatility,
        delta=figures.delta,
    )

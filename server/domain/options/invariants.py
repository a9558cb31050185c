"""What must hold before a figure is published. A value that violates it is withheld (NaN) and counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from server.domain.options.arrays import BoolArray, FloatArray, floats
from server.domain.options.black76 import Contracts
from server.domain.options.greeks import NAMES, Greeks, limited_carry

HIGHEST_VOLATILITY: Final = 5.0
"""Above 500 % a year a volatility says that the price is old or the strike is worth nothing."""

PARITY_SHARE: Final = 0.01
"""Put-call parity may be missed by this share of the forward where no spread is known."""

_SLACK: Final = 1e-9
_ROW: Final = MappingProxyType({name: number for number, name in enumerate(NAMES)})


class Rule(StrEnum):
    """The invariants, by which violations are counted."""

    PRICE_BOUNDS = "PRICE_BOUNDS"
    VOLATILITY_BOUNDS = "VOLATILITY_BOUNDS"
    NOT_FINITE = "NOT_FINITE"
    DELTA_BOUNDS = "DELTA_BOUNDS"
    GAMMA_SIGN = "GAMMA_SIGN"
    VEGA_SIGN = "VEGA_SIGN"
    THETA_BOUND = "THETA_BOUND"
    RHO_SIGN = "RHO_SIGN"
    PUT_CALL_PARITY = "PUT_CALL_PARITY"


@dataclass(frozen=True)
class Checked:
    """Figures that passed, NaN in place of those that did not, and how many violated each rule (absent: none).

    `withheld` marks the contracts of which a figure did not pass.
    """

    volatility: FloatArray
    greeks: Greeks
    violations: Mapping[Rule, int]
    withheld: BoolArray


def price_within_bounds(contracts: Contracts, price: ArrayLike) -> BoolArray:
    """The price is at or above the discounted intrinsic value and at or below the discounted forward or strike.

    False where the price is absent.
    """
    prices = floats(price)
    most = np.where(contracts.call, contracts.forward, contracts.strike) * contracts.discount()
    slack = _SLACK * most
    return (prices >= contracts.intrinsic() - slack) & (prices <= most + slack)


def parity_gap(call_price: ArrayLike, put_price: ArrayLike, contracts: Contracts) -> FloatArray:
    """C − P − discount·(F − K) by strike, in rupees; NaN where a side is absent. 0 without arbitrage."""
    parity = contracts.discount() * (contracts.forward - contracts.strike)
    return floats(call_price) - floats(put_price) - parity


def parity_holds(gap: FloatArray, contracts: Contracts, spreads: ArrayLike = np.nan) -> BoolArray:
    """The gap lies within the sum of both spreads (rupees), or within 1 % of the forward where they are absent.

    True where the gap is absent: what cannot be compared violates nothing.
    """
    allowance = np.where(np.isfinite(floats(spreads)), floats(spreads), PARITY_SHARE * contracts.forward)
    return ~(np.abs(gap) > allowance)


def checked(
    contracts: Contracts,
    price: ArrayLike,
    volatility: FloatArray,
    greeks: Greeks,
    parity: BoolArray | None = None,
) -> Checked:
    """Withholds what violates an invariant. A wrong price, volatility or parity withholds everything of a contract.

    Price or forward NaN, or no time left: nothing to compare. `parity` is `parity_holds` contract by contract, when
    put and call were compared.
    """
    values = greeks.values.copy()
    counts: dict[Rule, int] = {}
    prices = floats(price)
    with np.errstate(all="ignore"):
        comparable = np.isfinite(prices) & np.isfinite(contracts.forward) & (contracts.years > 0.0)
        whole = {
            Rule.PRICE_BOUNDS: comparable & ~price_within_bounds(contracts, prices),
            Rule.VOLATILITY_BOUNDS: (volatility <= 0.0) | (volatility > HIGHEST_VOLATILITY),
        }
        if parity is not None:
            whole[Rule.PUT_CALL_PARITY] = ~parity & np.isfinite(volatility)
        single = _single(contracts, values)
    wrong = np.logical_or.reduce(list(whole.values()))
    withheld = wrong.copy()
    for rule, (names, rows) in single.items():
        withheld |= rows
        _count(counts, rule, rows & ~wrong)
        for name in names:
            values[_ROW[name], rows] = np.nan
    for rule, rows in whole.items():
        _count(counts, rule, rows)
    values[:, wrong] = np.nan
    return Checked(np.where(wrong, np.nan, volatility), Greeks(values), MappingProxyType(counts), withheld)


def _count(counts: dict[Rule, int], rule: Rule, rows: BoolArray) -> None:
    number = int(np.count_nonzero(rows))
    if number:
        counts[rule] = number


def _single(contracts: Contracts, values: FloatArray) -> dict[Rule, tuple[tuple[str, ...], BoolArray]]:
    """Rules on single Greeks: which of them, and where they are violated."""
    delta, gamma, theta, vega, rho = values[:5]
    call, discount = contracts.call, contracts.discount()
    growth = discount * contracts.forward / contracts.underlying
    sided = np.where(call, delta, -delta)
    direction = np.where(contracts.by_forward, -rho, np.where(call, rho, -rho))
    infinite = np.isinf(values).any(axis=0)
    return {
        Rule.NOT_FINITE: (NAMES, infinite),
        Rule.DELTA_BOUNDS: (("delta",), (sided < 0.0) | (sided > growth * (1.0 + _SLACK))),
        Rule.GAMMA_SIGN: (("gamma",), gamma < 0.0),
        Rule.VEGA_SIGN: (("vega",), vega < 0.0),
        Rule.THETA_BOUND: (("theta",), theta > _highest_theta(contracts, growth, discount)),
        Rule.RHO_SIGN: (("rho",), direction < 0.0),
    }


def _highest_theta(contracts: Contracts, growth: FloatArray, discount: FloatArray) -> FloatArray:
    """The most a day can add to a price: interest on the strike of a put, the yield on the underlying of a call."""
    interest = contracts.rate * contracts.strike * discount
    yielded = (contracts.rate - limited_carry(contracts)) * contracts.underlying * growth
    of_calls = np.maximum(yielded, 0.0) + np.maximum(-interest, 0.0)
    of_puts = np.maximum(interest, 0.0) + np.maximum(-yielded, 0.0)
    return np.where(contracts.call, of_calls, of_puts) / 365.0 + _SLACK * contracts.strike

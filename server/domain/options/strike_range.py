"""Which strikes of a chain someone watches, and how the selection follows the market."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from server.domain.options.arrays import BoolArray, floats
from server.domain.options.chain import Chain
from server.domain.options.moneyness import window


@dataclass(frozen=True)
class AllStrikes:
    """Every listed strike."""


@dataclass(frozen=True)
class ExplicitStrikes:
    """Exactly these strikes, rupees; one that is not listed selects nothing."""

    strikes: tuple[float, ...]


@dataclass(frozen=True)
class AroundMoney:
    """The strike at the money and so many listed strikes on both sides of it."""

    steps: int


@dataclass(frozen=True)
class WithinPercent:
    """Strikes within so many per cent of the reference price, both ends included."""

    percent: float


@dataclass(frozen=True)
class DeltaRange:
    """Strikes at which the call's or the put's |delta| lies within the range (0 to 1), both ends included."""

    lowest: float
    highest: float


StrikeRange = AllStrikes | ExplicitStrikes | AroundMoney | WithinPercent | DeltaRange


def select_strikes(chain: Chain, wanted: StrikeRange, reference: float | None) -> BoolArray:
    """The strikes of the chain that are wanted now. `reference` is the forward, else the spot.

    Without a reference price a selection around it is empty; it re-centres by itself when called again.
    """
    strikes = chain.strikes
    match wanted:
        case AllStrikes():
            return np.ones(len(strikes), np.bool_)
        case ExplicitStrikes(listed):
            return np.isin(strikes, floats(listed))
        case DeltaRange(lowest, highest):
            sizes = np.abs(np.stack((chain.calls.delta, chain.puts.delta)))
            return np.asarray(((sizes >= lowest) & (sizes <= highest)).any(axis=0), np.bool_)
        case _ if reference is None or not len(strikes):
            return np.zeros(len(strikes), np.bool_)
        case AroundMoney(steps):
            chosen = np.zeros(len(strikes), np.bool_)
            chosen[window(strikes, reference, steps)] = True
            return chosen
        case WithinPercent(percent):
            return np.abs(strikes - reference) <= reference * percent / 100.0

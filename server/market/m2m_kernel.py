"""Mark-to-market of many strategies at once, over flat columns of legs.

Amounts are scaled integers (ten-thousandths of a rupee). Columns are int64 where Σ|units| of each strategy is at most
`SAFE_UNITS`; for larger ones the same code runs on object columns of Python integers, which never overflow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
Amounts = NDArray[np.int64] | NDArray[np.object_]


@dataclass(frozen=True)
class StrategyLegs:
    """Open legs of one strategy. `units` are signed: positive for BUY. `place` is the strategy's place in its table."""

    place: int
    number: Numbers
    instrument: Numbers
    units: Numbers
    entry: Numbers


@dataclass(frozen=True)
class LegColumns:
    """Legs of many strategies, one after the other; every strategy has at least one.

    `start` and `count` say which legs a strategy has, `place` is the strategy's place in its table, `cost` is Σ units
    × entry.
    """

    place: Numbers
    start: Numbers
    count: Numbers
    number: Numbers
    instrument: Numbers
    owner: Numbers
    units: Amounts
    entry: Amounts

    @classmethod
    def of(cls, strategies: Sequence[StrategyLegs], *, exact: bool) -> LegColumns:
        """Columns of the strategies that have legs; of Python integers when `exact`."""
        rows = [legs for legs in strategies if len(legs.number)]
        count = np.array([len(legs.number) for legs in rows], dtype=np.int64)
        return cls(
            place=np.array([legs.place for legs in rows], dtype=np.int64),
            start=np.cumsum(count) - count,
            count=count,
            number=_joined([legs.number for legs in rows]),
            instrument=_joined([legs.instrument for legs in rows]),
            owner=np.repeat(np.arange(len(rows)), count),
            units=_amounts(_joined([legs.units for legs in rows]), exact),
            entry=_amounts(_joined([legs.entry for legs in rows]), exact),
        )

    def __len__(self) -> int:
        return len(self.place)

    @cached_property
    def cost(self) -> Amounts:
        """Σ units × entry of each strategy."""
        return np.add.reduceat(self.units * self.entry, self.start) if len(self) else self.units

    @cached_property
    def by_instrument(self) -> Numbers:
        """Legs, ascending by instrument."""
        return np.argsort(self.instrument, kind="stable")

    def hits(self, instruments: Numbers) -> tuple[Numbers, Numbers]:
        """Pairs of a leg and the place of its instrument in `instruments`, ascending by that place."""
        ordered = self.instrument[self.by_instrument]
        low = np.searchsorted(ordered, instruments, side="left")
        counts = np.searchsorted(ordered, instruments, side="right") - low
        places = np.repeat(np.arange(len(instruments)), counts)
        within = np.arange(len(places)) - np.repeat(np.cumsum(counts) - counts, counts)
        return self.by_instrument[low[places] + within], places


def _joined(columns: Sequence[Numbers]) -> Numbers:
    return np.concatenate([np.empty(0, np.int64), *columns])


def _amounts(column: Numbers, exact: bool) -> Amounts:
    return column.astype(np.object_) if exact else column

"""Samples of strategies from the ticks of one log entry, over columns.

All ticks of one event time (a *step*) are applied, then each strategy that they touch is sampled once at the run's
market time. The samples of a strategy and its legs form a small matrix; the matrices of all touched strategies lie
one after the other in flat columns, once ordered (leg, sample) to carry prices forward from tick to tick, once
ordered (sample, leg) to sum over legs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from server.domain.prices import ABSENT
from server.market.m2m_kernel import Amounts, LegColumns

Rows = NDArray[np.void]
Numbers = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Steps:
    """Ticks that count, ascending by (event time, row), and their steps.

    `step` numbers the event times of the entry from 0; `market_time` is the run's at each step. `sampled` marks the
    ticks whose market is in session. `first` is the place of the first tick among the entry's.
    """

    first: int
    instrument: Numbers
    time: Numbers
    price: Numbers
    step: Numbers
    market_time: Numbers
    sampled: Mask

    @classmethod
    def none(cls) -> Steps:
        """No tick."""
        nothing = np.empty(0, np.int64)
        return cls(0, nothing, nothing, nothing, nothing, nothing, np.empty(0, np.bool_))

    @classmethod
    def of(cls, ticks: Rows, market_time: Numbers, sampled: Mask) -> Steps:
        """Steps of ticks, at least one, ascending by (event time, row); the other columns are theirs."""
        time = ticks["event_time"]
        first = np.append(True, time[1:] != time[:-1])
        step = np.cumsum(first) - 1
        return cls(0, ticks["instrument"], time, ticks["last_price"], step, market_time[first], sampled)

    def halves(self) -> tuple[Steps, Steps]:
        """The ticks of the earlier and of the later steps; there are at least two steps."""
        middle = int(np.searchsorted(self.step, (self.step[0] + self.step[-1] + 1) // 2))
        return self._cut(0, middle), self._cut(middle, len(self.step))

    def _cut(self, low: int, high: int) -> Steps:
        cut = slice(low, high)
        columns = (self.instrument[cut], self.time[cut], self.price[cut], self.step[cut])
        return Steps(self.first + low, *columns, self.market_time, self.sampled[cut])


@dataclass(frozen=True)
class Before:
    """What was known of each leg before the ticks: its price and the time of it, `ABSENT` for none.

    `fresh_until` is the last market time at which the price still counts; `ABSENT` when it does not count at all.
    """

    price: Numbers
    time: Numbers
    fresh_until: Numbers


@dataclass(frozen=True)
class LegValues:
    """Legs (by their place in the leg columns) at one sample of each of some strategies, strategy after strategy."""

    leg: Numbers
    price: Numbers
    time: Numbers
    fresh_until: Numbers
    fresh: Mask


@dataclass(frozen=True)
class Samples:
    """Samples ascending by (strategy, step). `owner` is the strategy's row in the leg columns.

    `last` are the legs at the last sample of each strategy. `m2m` and `premium_flow` are 0 where a price is missing
    (`priced` is false); `complete` means that every leg's price is fresh.
    """

    owner: Numbers
    market_time: Numbers
    m2m: Amounts
    premium_flow: Amounts
    priced: Mask
    complete: Mask
    last: LegValues


def take_samples(legs: LegColumns, steps: Steps, before: Before, bound: int) -> Samples:
    """All samples that the ticks cause. `bound` is the freshness bound in nanoseconds."""
    hit_leg, hit_tick = legs.hits(steps.instrument)
    grid = _Grid.of(legs, steps, hit_leg, hit_tick)
    tick = grid.forward(legs, steps, hit_leg, hit_tick)
    leg = grid.leg_of_cell(legs)
    known = tick >= 0
    filled = np.where(known, tick, 0)
    price, time, until = before.price[leg], before.time[leg], before.fresh_until[leg]
    if len(steps.price):
        price = np.where(known, steps.price[filled], price)
        time = np.where(known, steps.time[filled], time)
        until = np.where(known, steps.time[filled] + bound, until)
    fresh = (price != ABSENT) & (until >= grid.market_time_of_cell())
    return grid.summed(legs, LegValues(leg, price, time, until, fresh))


def sample_now(legs: LegColumns, before: Before, market_time: int) -> Samples:
    """One sample of every strategy at the prices that are known."""
    priced = before.price != ABSENT
    fresh = priced & (before.fresh_until >= market_time)
    value = np.add.reduceat(legs.units * np.where(priced, before.price, 0), legs.start)
    return Samples(
        owner=np.arange(len(legs)),
        market_time=np.full(len(legs), market_time),
        m2m=value - legs.cost,
        premium_flow=-value,
        priced=np.logical_and.reduceat(priced, legs.start),
        complete=np.logical_and.reduceat(fresh, legs.start),
        last=LegValues(np.arange(len(legs.number)), before.price, before.time, before.fresh_until, fresh),
    )


@dataclass(frozen=True)
class _Grid:
    """The matrices of the touched strategies.

    `rows` are the strategies' rows in the leg columns; `samples` and `legs` are the sizes of their matrices, which
    begin at `base`. `sample_key` is row × `steps` + step of each sample, ascending.
    """

    rows: Numbers
    samples: Numbers
    legs: Numbers
    base: Numbers
    sample_key: Numbers
    sample_time: Numbers
    steps: int

    @classmethod
    def of(cls, legs: LegColumns, steps: Steps, hit_leg: Numbers, hit_tick: Numbers) -> _Grid:
        """Sizes: a sample for each strategy and step at which a tick of a running session touches it."""
        width = int(steps.step[-1]) + 1 if len(steps.step) else 1
        sampled = steps.sampled[hit_tick]
        keys = np.unique(legs.owner[hit_leg[sampled]] * width + steps.step[hit_tick[sampled]])
        rows, samples = np.unique(keys // width, return_counts=True)
        count = legs.count[rows]
        cells = samples * count
        return cls(rows, samples, count, np.cumsum(cells) - cells, keys, steps.market_time[keys % width], width)

    @property
    def cells(self) -> int:
        return int((self.samples * self.legs).sum())

    @property
    def first_sample(self) -> Numbers:
        return np.cumsum(self.samples) - self.samples

    def forward(self, legs: LegColumns, steps: Steps, hit_leg: Numbers, hit_tick: Numbers) -> Numbers:
        """For each cell, ordered (strategy, leg, sample): the newest tick of the leg up to the sample; −1 for none."""
        row_place = np.full(len(legs), -1, dtype=np.int64)
        row_place[self.rows] = np.arange(len(self.rows))
        touched = row_place[legs.owner[hit_leg]] >= 0
        hit_leg, hit_tick = hit_leg[touched], hit_tick[touched]
        place = row_place[legs.owner[hit_leg]]
        key = legs.owner[hit_leg] * self.steps + steps.step[hit_tick]
        at = np.searchsorted(self.sample_key, key) - self.first_sample[place]
        used = at < self.samples[place]
        place, hit_leg, hit_tick, at = place[used], hit_leg[used], hit_tick[used], at[used]
        cell = self.base[place] + (hit_leg - legs.start[self.rows[place]]) * self.samples[place] + at
        tick = np.full(self.cells, -1, dtype=np.int64)
        tick[cell] = hit_tick
        marks = np.zeros(self.cells, dtype=np.int64)
        marks[cell] = cell
        starts = self._leg_starts()
        marks[starts] = starts
        return tick[np.maximum.accumulate(marks)] if self.cells else tick

    def leg_of_cell(self, legs: LegColumns) -> Numbers:
        """The leg of each cell, ordered (strategy, leg, sample)."""
        return np.repeat(_ranges(legs.start[self.rows], self.legs), np.repeat(self.samples, self.legs))

    def market_time_of_cell(self) -> Numbers:
        """The market time of each cell, ordered (strategy, leg, sample)."""
        first = np.repeat(self.first_sample, self.legs)
        return self.sample_time[_ranges(first, np.repeat(self.samples, self.legs))]

    def summed(self, legs: LegColumns, cells: LegValues) -> Samples:
        """Sums over the legs of each sample."""
        owner = np.repeat(self.rows, self.samples)
        if not self.cells:
            nothing, never = legs.units[:0], np.empty(0, np.bool_)
            return Samples(owner, self.sample_time, nothing, nothing, never, never, cells)
        order = self._by_sample()
        width = np.repeat(self.legs, self.samples)
        starts = np.cumsum(width) - width
        priced = cells.price != ABSENT
        amount = legs.units[cells.leg] * np.where(priced, cells.price, 0)
        value = np.add.reduceat(amount[order], starts)
        return Samples(
            owner=owner,
            market_time=self.sample_time,
            m2m=value - legs.cost[owner],
            premium_flow=-value,
            priced=np.logical_and.reduceat(priced[order], starts),
            complete=np.logical_and.reduceat(cells.fresh[order], starts),
            last=self._last(cells),
        )

    def _last(self, cells: LegValues) -> LegValues:
        size = np.repeat(self.samples, self.legs)
        at = np.cumsum(size) - 1
        return LegValues(cells.leg[at], cells.price[at], cells.time[at], cells.fresh_until[at], cells.fresh[at])

    def _leg_starts(self) -> Numbers:
        size = np.repeat(self.samples, self.legs)
        return np.cumsum(size) - size

    def _by_sample(self) -> Numbers:
        """Cells reordered (strategy, sample, leg)."""
        cell = np.arange(self.cells) - np.repeat(self.base, self.samples * self.legs)
        count = np.repeat(self.legs, self.samples * self.legs)
        samples = np.repeat(self.samples, self.samples * self.legs)
        order: Numbers = np.repeat(self.base, self.samples * self.legs) + (cell % count) * samples + cell // count
        return order


def _ranges(start: Numbers, count: Numbers) -> Numbers:
    """start, start + 1, … `count` times, for each pair, one after the other."""
    offset = np.cumsum(count) - count
    return np.arange(int(count.sum())) - np.repeat(offset - start, count)

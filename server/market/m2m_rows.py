"""Samples as rows: as they are published, as candles are made of them, and as the current figure is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from server.domain.prices import ABSENT
from server.market.m2m_kernel import LegColumns
from server.market.records import M2M, M2M_COMPLETE, M2M_LEG
from server.market.sampling import Samples
from server.store.m2m import CurrentSample

Rows = NDArray[np.void]
Numbers = NDArray[np.int64]
Mask = NDArray[np.bool_]

AMOUNT_LIMIT = 10**18
"""Scaled amounts are below this, either sign: what the database's NUMERIC(18,4) holds."""

LEG_FRESH = 1
"""Flag of a leg row: its price is fresh."""


@dataclass(frozen=True)
class SampleRows:
    """The last sample of some strategies, ascending by number.

    `rows` are of `M2M`, `legs` their legs' rows of `M2M_LEG`, one strategy after the other; `place` are their places.
    `fresh_until` is the last market time up to which a complete sample stays complete without ticks; `ABSENT` for
    others.
    """

    place: Numbers
    rows: Rows
    legs: Rows
    fresh_until: Numbers

    @classmethod
    def empty(cls) -> SampleRows:
        """No sample."""
        nothing = np.empty(0, np.int64)
        return cls(nothing, np.empty(0, M2M), np.empty(0, M2M_LEG), nothing)

    @classmethod
    def newest(cls, parts: Sequence[SampleRows]) -> SampleRows:
        """The last sample of each strategy of several, in order."""
        parts = [part for part in parts if len(part.place)]
        if len(parts) < 2:
            return parts[0] if parts else cls.empty()
        place = np.concatenate([part.place for part in parts])
        rows = np.concatenate([part.rows for part in parts])
        legs = np.concatenate([part.legs for part in parts])
        last = len(place) - 1 - np.unique(rows["strategy"][::-1], return_index=True)[1]
        start = np.cumsum(rows["legs"]) - rows["legs"]
        chosen = [legs[at : at + count] for at, count in zip(start[last], rows["legs"][last], strict=True)]
        until = np.concatenate([part.fresh_until for part in parts])
        return cls(place[last], rows[last], np.concatenate(chosen), until[last])

    def current(self) -> list[CurrentSample]:
        """As they are stored."""
        payload, size = self.legs.tobytes(), M2M_LEG.itemsize
        ends = np.cumsum(self.rows["legs"]) * size
        starts = ends - self.rows["legs"] * size
        columns = (self.rows[name].tolist() for name in ("strategy", "market_time", "m2m", "premium_flow", "flags"))
        return [
            CurrentSample(
                strategy=strategy,
                market_time=market_time,
                m2m=None if m2m == ABSENT else m2m,
                premium_flow=None if flow == ABSENT else flow,
                complete=bool(flags & M2M_COMPLETE),
                legs=payload[start:end],
            )
            for strategy, market_time, m2m, flow, flags, start, end in zip(
                *columns, starts.tolist(), ends.tolist(), strict=True
            )
        ]


@dataclass(frozen=True)
class Valued:
    """Samples in 64 bits. Amounts are `ABSENT` where a price is missing or the amount is out of range."""

    place: Numbers
    strategy: Numbers
    leg_count: Numbers
    market_time: Numbers
    m2m: Numbers
    premium_flow: Numbers
    complete: Mask

    @classmethod
    def of(cls, columns: LegColumns, samples: Samples, numbers: Numbers) -> Valued:
        """`numbers` are the strategies' numbers by place."""
        place = columns.place[samples.owner]
        inside = _in_range(samples.m2m) & _in_range(samples.premium_flow) & samples.priced
        return cls(
            place=place,
            strategy=numbers[place],
            leg_count=columns.count[samples.owner],
            market_time=samples.market_time,
            m2m=np.where(inside, samples.m2m, ABSENT).astype(np.int64),
            premium_flow=np.where(inside, samples.premium_flow, ABSENT).astype(np.int64),
            complete=samples.complete & inside,
        )


def sample_rows(columns: LegColumns, samples: Samples, valued: Valued) -> SampleRows:
    """The last sample of each strategy, with its legs."""
    if not len(samples.owner):
        return SampleRows.empty()
    last = np.append(samples.owner[1:] != samples.owner[:-1], True)
    rows = np.empty(int(last.sum()), M2M)
    rows["strategy"], rows["legs"] = valued.strategy[last], valued.leg_count[last]
    rows["flags"] = np.where(valued.complete[last], M2M_COMPLETE, 0)
    rows["market_time"], rows["m2m"] = valued.market_time[last], valued.m2m[last]
    rows["premium_flow"] = valued.premium_flow[last]
    start = np.cumsum(rows["legs"]) - rows["legs"]
    until = np.minimum.reduceat(samples.last.fresh_until, start)
    fresh_until = np.where(valued.complete[last], until, ABSENT)
    return SampleRows(valued.place[last], rows, _leg_rows(columns, samples), fresh_until)


def without_legs(place: int, number: int, market_time: int) -> SampleRows:
    """A strategy without open legs is worth 0.00, whatever the prices."""
    rows = np.array([(number, M2M_COMPLETE, 0, market_time, 0, 0)], M2M)
    return SampleRows(np.array([place]), rows, np.empty(0, M2M_LEG), np.array([ABSENT]))


def _leg_rows(columns: LegColumns, samples: Samples) -> Rows:
    last = samples.last
    rows = np.empty(len(last.leg), M2M_LEG)
    priced = last.price != ABSENT
    amount = columns.units[last.leg] * (np.where(priced, last.price, 0) - columns.entry[last.leg])
    inside = priced & _in_range(amount)
    rows["leg"], rows["reserved"] = columns.number[last.leg], 0
    rows["flags"] = np.where(last.fresh, LEG_FRESH, 0)
    rows["last_time"], rows["last_price"] = np.where(priced, last.time, ABSENT), last.price
    rows["m2m"] = np.where(inside, amount, ABSENT).astype(np.int64)
    return rows


def _in_range(amounts: NDArray[np.int64] | NDArray[np.object_]) -> Mask:
    inside = (amounts > -AMOUNT_LIMIT) & (amounts < AMOUNT_LIMIT)
    return inside.astype(np.bool_)

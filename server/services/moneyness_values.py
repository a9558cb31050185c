"""Figures of all options of an expiry as arrays over buckets of time and strikes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from types import MappingProxyType
from typing import Final, TypeVar

import numpy as np

from server.domain.calendar import EXCHANGE_ZONE, MarketCalendar, exchange_date, to_nanoseconds
from server.domain.instruments import Instrument, InstrumentKind
from server.domain.options.arrays import ABSENT, FloatArray
from server.domain.options.moneyness_series import carried, model_prices
from server.domain.options.premium import premium
from server.domain.timeframes import Timeframe
from server.services.history_requests import INSTANT
from server.store.expiry_metrics import MetricsBucket
from server.store.option_minutes import InterestBucket, MeanBucket, OptionMinuteStore, PriceBucket
from server.store.windows import Cut, windows_between
from strikeline.v1 import option_pb2 as pb

Bucket = TypeVar("Bucket", InterestBucket, MeanBucket, PriceBucket)
Sides = tuple[FloatArray, FloatArray]
"""Calls and puts, each (buckets, strikes); NaN is absent."""

_MEANS: Final = MappingProxyType(
    {
        pb.OPTION_INDICATOR_IMPLIED_VOLATILITY: "volatility",
        pb.OPTION_INDICATOR_DELTA: "delta",
        pb.OPTION_INDICATOR_GAMMA: "gamma",
        pb.OPTION_INDICATOR_THETA: "theta",
        pb.OPTION_INDICATOR_VEGA: "vega",
        pb.OPTION_INDICATOR_RHO: "rho",
        pb.OPTION_INDICATOR_DECAY: "theta",
    }
)
_LEVELS: Final = frozenset({pb.OPTION_INDICATOR_OPEN_INTEREST, pb.OPTION_INDICATOR_PCR})
_COMPARED: Final = frozenset({pb.OPTION_INDICATOR_PREMIUM_ABS, pb.OPTION_INDICATOR_PREMIUM_PCT})


@dataclass(frozen=True)
class Ladder:
    """Listed strikes in rupees, ascending; and where each contract stands: its side (0 call, 1 put) and strike."""

    strikes: FloatArray
    places: Mapping[int, tuple[int, int]]

    @classmethod
    def of(cls, contracts: Sequence[Instrument]) -> Ladder:
        """The ladder of the options of one expiry."""
        strikes = np.unique(np.array([float(item.strike or 0) for item in contracts], np.float64))
        places = {
            item.instrument_id: (
                0 if item.kind is InstrumentKind.CALL else 1,
                int(np.searchsorted(strikes, float(item.strike or 0))),
            )
            for item in contracts
        }
        return cls(strikes, MappingProxyType(places))


class MoneynessValues:
    """Reads what an indicator needs, and no more."""

    def __init__(self, minutes: OptionMinuteStore) -> None:
        self._minutes = minutes

    async def read(
        self,
        indicator: pb.OptionIndicator.ValueType,
        ladder: Ladder,
        timeframe: Timeframe,
        calendar: MarketCalendar,
        buckets: Sequence[MetricsBucket],
    ) -> Sides:
        """The indicator of all options at each of the buckets, which are ascending and at least one."""
        times = [bucket.open_time for bucket in buckets]
        cut = _cut_of(timeframe, calendar, times)
        grid = _Grid(ladder, times)
        numbers = list(ladder.places)
        if indicator in _MEANS:
            means = await self._minutes.means(numbers, cut, _MEANS[indicator])
            return grid.fill(means, lambda row: row.mean)
        if indicator in _LEVELS:
            return await self._carried(grid, await self._minutes.open_interest(numbers, cut))
        prices = await self._minutes.prices(numbers, cut)
        if indicator == pb.OPTION_INDICATOR_VOLUME:
            return grid.fill(prices, lambda row: row.volume)
        closes = grid.fill(prices, lambda row: row.close)
        if indicator not in _COMPARED:
            return closes
        means = await self._minutes.means(numbers, cut, "volatility")
        volatility = grid.fill(means, lambda row: row.volatility)
        return _compared(ladder, buckets, closes, volatility, percent=indicator == pb.OPTION_INDICATOR_PREMIUM_PCT)

    async def _carried(self, grid: _Grid, known: Sequence[InterestBucket]) -> Sides:
        """Open interest, which stays what it was until it changes, from the day's beginning on."""
        first = grid.times[0]
        day = exchange_date(to_nanoseconds(first))
        midnight = datetime.combine(day, time(), EXCHANGE_ZONE).astimezone(UTC)
        before = await self._minutes.open_interest_before(list(grid.ladder.places), midnight, first)
        starts = np.full((2, len(grid.ladder.strikes)), ABSENT)
        for number, (_, level) in before.items():
            starts[grid.ladder.places[number]] = level
        days = np.array([exchange_date(to_nanoseconds(item)).toordinal() for item in grid.times], np.int64)
        calls, puts = grid.fill(known, lambda row: row.open_interest)
        return carried(calls, starts[0], days), carried(puts, starts[1], days)


@dataclass(frozen=True)
class _Grid:
    ladder: Ladder
    times: Sequence[datetime]

    def fill(self, rows: Iterable[Bucket], value: Callable[[Bucket], float | None]) -> Sides:
        """Values at their places; rows of other times are left out."""
        rows_of = {moment: row for row, moment in enumerate(self.times)}
        sides = np.full((2, len(self.times), len(self.ladder.strikes)), ABSENT)
        for item in rows:
            row, known = rows_of.get(item.open_time), value(item)
            if row is not None and known is not None:
                side, column = self.ladder.places[item.instrument_id]
                sides[side, row, column] = known
        return sides[0], sides[1]


def _cut_of(timeframe: Timeframe, calendar: MarketCalendar, times: Sequence[datetime]) -> Cut:
    """The windows from the first to the last of the buckets."""
    span = (times[0], times[-1] + INSTANT)
    return Cut(timeframe, windows_between(timeframe, calendar, span, span))


def _compared(
    ladder: Ladder, buckets: Sequence[MetricsBucket], closes: Sides, volatility: Sides, *, percent: bool
) -> Sides:
    """Prices at each bucket's end against the model at the smoothed smile of its last volatilities."""
    sides = np.full((2, *closes[0].shape), ABSENT)
    for row, bucket in enumerate(buckets):
        forward = ABSENT if bucket.forward is None else bucket.forward.price
        years, rate = bucket.years or 0.0, ABSENT if bucket.rate is None else bucket.rate
        models = model_prices(ladder.strikes, volatility[0][row], volatility[1][row], forward, rate, years)
        for side, (prices, model) in enumerate(zip(closes, models, strict=True)):
            spot = ABSENT if bucket.spot is None else bucket.spot
            found = premium(side == 0, ladder.strikes, spot, prices[row], model)
            sides[side, row] = found.percent if percent else found.absolute
    return sides[0], sides[1]

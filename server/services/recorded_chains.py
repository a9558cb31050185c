"""Chains of the past, put together from what was stored of their minutes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Final

import numpy as np

from server.domain.calendar import EXCHANGE_ZONE, to_nanoseconds
from server.domain.instruments import Instrument, InstrumentKind
from server.domain.options.expiry_metrics import ExpiryMetrics
from server.domain.options.greeks import NAMES
from server.domain.options.time_to_expiry import instant_of_years, years_to_expiry
from server.domain.prices import SCALE
from server.domain.timeframes import ONE_MINUTE
from server.market.chain_messages import ChainMessages
from server.market.chains import LiveChain
from server.services.history_requests import INSTANT, HistorySources
from server.services.unvalued_chains import Rows, ladder
from server.store.expiry_listings import Listing
from server.store.expiry_metrics import ExpiryMetricsStore, MetricsBucket
from server.store.option_minutes import OptionBucket, OptionMinuteStore, PriceBucket
from server.store.windows import Cut, windows_between

LOOK_BACK: Final = timedelta(minutes=15)
"""How far before a time its minute, and the last prices, may lie."""

_MINUTE: Final = timedelta(minutes=1)
_SCORE: Final = MappingProxyType({"liquidity_score": "score"})
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True)
class RecordedChain:
    """A chain as it was at the end of a minute, and the figures of the expiry as they were stored."""

    messages: ChainMessages
    metrics: ExpiryMetrics
    liquidity: Mapping[str, Mapping[str, float]]
    """By key, the columns of OptionLiquidity at the newest order book of the minute."""


@dataclass(frozen=True)
class _Stored:
    figures: Sequence[OptionBucket]
    prices: Sequence[PriceBucket]
    open_interest: dict[int, tuple[datetime, int]]
    before: dict[int, tuple[datetime, int]]
    """Open interest at the close of the trading day before."""


class RecordedChains:
    """Reads chains at a time."""

    def __init__(self, sources: HistorySources, metrics: ExpiryMetricsStore, minutes: OptionMinuteStore) -> None:
        self._sources = sources
        self._metrics = metrics
        self._minutes = minutes

    async def chain(self, symbol: str, listing: Listing, at: datetime) -> RecordedChain | None:
        """The chain at the end of the last minute that was over at a time; None without one young enough."""
        calendar = self._sources.calendar(listing.exchange)
        span = (at - LOOK_BACK, at - _MINUTE + INSTANT)
        buckets = await self._metrics.series(
            symbol, listing.expiry, ONE_MINUTE, calendar, span, limit=1 + LOOK_BACK // _MINUTE
        )
        if not buckets:
            return None
        bucket = buckets[-1]
        contracts = await self._sources.contracts(symbol, listing)
        stored = await self._stored([item.instrument_id for item in contracts], listing, bucket.open_time)
        keys = {item.instrument_id: item.key for item in contracts}
        chain = _chain(symbol, listing, bucket, _filled(contracts, stored))
        books = {keys[figures.instrument_id]: _liquidity(figures) for figures in stored.figures}
        return RecordedChain(ChainMessages(chain, keys.__getitem__), bucket.metrics, MappingProxyType(books))

    async def _stored(self, numbers: Sequence[int], listing: Listing, minute: datetime) -> _Stored:
        calendar = self._sources.calendar(listing.exchange)
        end = minute + _MINUTE
        day = minute.astimezone(EXCHANGE_ZONE).date()
        midnight, earlier = (
            datetime(date.year, date.month, date.day, tzinfo=EXCHANGE_ZONE).astimezone(UTC)
            for date in (day, calendar.previous_trading_day(day))
        )
        recent = (end - LOOK_BACK, end)
        windows = windows_between(ONE_MINUTE, calendar, recent, recent)
        return _Stored(
            await self._minutes.figures(numbers, ONE_MINUTE, calendar, (minute, minute + INSTANT), 1),
            await self._minutes.prices(numbers, Cut(ONE_MINUTE, windows)) if windows else (),
            await self._minutes.open_interest_before(numbers, midnight, end),
            await self._minutes.open_interest_before(numbers, earlier, earlier + _DAY),
        )


def _filled(contracts: Sequence[Instrument], stored: _Stored) -> Rows:
    rows = ladder(contracts)
    places = {strike: place for place, strike in enumerate(rows["strike"].tolist())}
    sides = {
        item.instrument_id: (
            "call" if item.kind is InstrumentKind.CALL else "put",
            places[round((item.strike or 0) * SCALE)],
        )
        for item in contracts
    }
    for figures in stored.figures:
        side, place = sides[figures.instrument_id]
        _set_figures(rows[side][place], figures)
    for price in sorted(stored.prices, key=lambda found: found.open_time):
        side, place = sides[price.instrument_id]
        rows[side][place]["last_price"] = round(price.close * SCALE)
        rows[side][place]["event_time"] = to_nanoseconds(price.open_time + _MINUTE) - 1
    for column, found in (("open_interest", stored.open_interest), ("previous_open_interest", stored.before)):
        for number, (_, level) in found.items():
            side, place = sides[number]
            rows[side][place][column] = level
    return rows


def _liquidity(figures: OptionBucket) -> Mapping[str, float]:
    return MappingProxyType({_SCORE.get(name, name): value for name, value in figures.book.items()})


def _set_figures(contract: np.void, figures: OptionBucket) -> None:
    known = {name: sampled.last for name, sampled in figures.sampled.items()} | dict(figures.second_order)
    for name in ("volatility", *NAMES):
        value = known.get(name)
        contract[name] = np.nan if value is None else value


def _chain(symbol: str, listing: Listing, bucket: MetricsBucket, rows: Rows) -> LiveChain:
    as_of = to_nanoseconds(bucket.open_time + _MINUTE)
    if bucket.years is not None:
        as_of = instant_of_years(listing.expiry, bucket.years)
    return LiveChain(
        underlying=symbol,
        expiry=listing.expiry,
        as_of=as_of,
        spot=bucket.spot,
        forward=bucket.forward,
        rate=bucket.rate or 0.0,
        dividend_yield=bucket.dividend_yield or 0.0,
        years=years_to_expiry(as_of, listing.expiry),
        rows=rows,
        revision=0,
        run="",
    )

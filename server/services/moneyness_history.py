"""ListMoneynessSeries: one figure of whichever options stand so far from the money, over time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from types import MappingProxyType
from typing import Final, cast

import numpy as np

from server.domain.calendar import to_nanoseconds
from server.domain.errors import InvalidArgument
from server.domain.expiries import LabelledExpiry, labels_as_of
from server.domain.options.arrays import FloatArray
from server.domain.options.moneyness import moneyness_label
from server.domain.options.moneyness_series import Combination, by_level, combined, money_places
from server.domain.options.time_to_expiry import instant_of_years
from server.domain.timeframes import Timeframe
from server.services.converters_pricing import basis_message
from server.services.history_requests import INSTANT, HistorySources, listing_of, unlisted_expiry
from server.services.listed_expiries import now_of, symbol_of
from server.services.market_data_service import timeframe_of
from server.services.moneyness_values import Ladder, MoneynessValues
from server.services.requests import SERIES_SIZE, page_size
from server.services.times import timestamp, timestamp_of
from server.store.expiry_listings import Listing
from server.store.expiry_metrics import ExpiryMetricsStore, MetricsBucket
from server.store.paging import decode_token, encode_token
from server.store.records import to_datetime
from server.store.windows import LATEST
from strikeline.v1 import option_pb2
from strikeline.v1.moneyness_series_pb2 import (
    ListMoneynessSeriesRequest,
    ListMoneynessSeriesResponse,
    MoneynessPoint,
    MoneynessSeries,
    MoneynessValuation,
)

_LOOK_BACK: Final = timedelta(hours=6)
_LEVELS: Final = 10
_DEFAULT_EXPIRIES: Final = 2
_COMBINATIONS: Final = MappingProxyType(
    {
        option_pb2.OPTION_INDICATOR_DELTA: Combination.SUM_OF_SIZES,
        option_pb2.OPTION_INDICATOR_OPEN_INTEREST: Combination.SUM,
        option_pb2.OPTION_INDICATOR_VOLUME: Combination.SUM,
        option_pb2.OPTION_INDICATOR_PCR: Combination.PUT_BY_CALL,
    }
)
"""Of the other indicators: the mean."""


@dataclass(frozen=True)
class _Query:
    symbol: str
    indicator: option_pb2.OptionIndicator.ValueType
    option_type: option_pb2.OptionType.ValueType
    timeframe: Timeframe
    levels: int


@dataclass(frozen=True)
class _Expiry:
    listing: Listing
    labels: Sequence[str]
    buckets: Sequence[MetricsBucket]


class MoneynessHistory:
    """Finds the strike at the money of each bucket in the stored metrics, and the figures around it."""

    def __init__(self, sources: HistorySources, metrics: ExpiryMetricsStore, values: MoneynessValues) -> None:
        self._sources = sources
        self._metrics = metrics
        self._values = values

    async def list_moneyness_series(self, request: ListMoneynessSeriesRequest) -> ListMoneynessSeriesResponse:
        """Series by expiry and level. Raises NotFound for an underlying or an expiry that is not on record."""
        query = _query_of(request)
        start, end = self._sources.span(request, _LOOK_BACK)
        listed = await self._expiries(request, query.symbol, end)
        bound = (
            "moneynessSeries", query, tuple(listing.expiry for listing, _ in listed), request.start_time,
            request.end_time,
        )  # fmt: skip
        after = decode_token(bound, request.page_token, int)
        if after:
            start = to_datetime(cast(int, after[0])) + INSTANT
        points = len(listed) * (2 * query.levels + 1)
        size = max(page_size(request.page_size, SERIES_SIZE) // max(points, 1), 1)
        expiries = [
            _Expiry(listing, labels, await self._buckets(query, listing, (start, end), size + 1))
            for listing, labels in listed
        ]
        times = sorted({bucket.open_time for expiry in expiries for bucket in expiry.buckets})
        message = ListMoneynessSeriesResponse(
            underlying=query.symbol,
            indicator=query.indicator,
            option_type=query.option_type,
            timeframe=query.timeframe.name,
            next_page_token=encode_token(bound, [to_nanoseconds(times[size - 1])]) if len(times) > size else "",
        )
        for expiry in expiries:
            buckets = [bucket for bucket in expiry.buckets if bucket.open_time <= times[:size][-1]]
            found = await self._series(query, expiry, buckets)
            message.series.extend(found)
            message.valuations.extend(_valuation(expiry.listing.expiry, bucket) for bucket in buckets if found)
        self._sources.put_now(message)
        return message

    async def _expiries(
        self, request: ListMoneynessSeriesRequest, symbol: str, end: datetime
    ) -> list[tuple[Listing, Sequence[str]]]:
        """The expiries asked for, by date, each once, with what they are called at the end of the time."""
        listings = await self._sources.listed.listings(symbol, request.underlying)
        instant = now_of(self._sources.clock) if end == LATEST else to_nanoseconds(end - INSTANT)
        labelled = labels_as_of(listings, instant)
        wanted = request.expiries or [item.expiry.isoformat() for item in labelled[:_DEFAULT_EXPIRIES]]
        found: dict[Listing, Sequence[str]] = {}
        for place, text in enumerate(wanted):
            listing = listing_of(text, listings, lambda: instant)
            if listing is None:
                raise unlisted_expiry(symbol, text, f"expiries[{place}]")
            found[listing] = _labels_of(listing, labelled)
        return sorted(found.items(), key=lambda item: item[0].expiry)

    async def _buckets(
        self, query: _Query, listing: Listing, span: tuple[datetime, datetime], limit: int
    ) -> Sequence[MetricsBucket]:
        calendar = self._sources.calendar(listing.exchange)
        return await self._metrics.series(query.symbol, listing.expiry, query.timeframe, calendar, span, limit)

    async def _series(
        self, query: _Query, expiry: _Expiry, buckets: Sequence[MetricsBucket]
    ) -> Sequence[MoneynessSeries]:
        """The series of one expiry that have a point in one of the buckets."""
        if not buckets:
            return []
        contracts = await self._sources.contracts(query.symbol, expiry.listing)
        ladder = Ladder.of(contracts)
        calendar = self._sources.calendar(expiry.listing.exchange)
        calls, puts = await self._values.read(query.indicator, ladder, query.timeframe, calendar, buckets)
        places = money_places(ladder.strikes, np.array([_reference(bucket) for bucket in buckets]))
        values = _of_side(
            query,
            by_level(calls, places, query.levels, call=True),
            by_level(puts, places, query.levels, call=False),
        )
        return list(_messages(expiry, [bucket.open_time for bucket in buckets], values, query.levels))


def _query_of(request: ListMoneynessSeriesRequest) -> _Query:
    if request.indicator == option_pb2.OPTION_INDICATOR_PCR and request.option_type:
        raise InvalidArgument.of("option_type", "a put-call ratio needs both sides")
    return _Query(
        symbol_of(request.underlying),
        request.indicator,
        request.option_type,
        timeframe_of(request.timeframe),
        request.max_level or _LEVELS,
    )


def _labels_of(listing: Listing, labelled: Sequence[LabelledExpiry]) -> Sequence[str]:
    return next((item.labels for item in labelled if item.expiry == listing.expiry), ())


def _reference(bucket: MetricsBucket) -> float:
    """What the money is nearest to: the forward, else the spot; NaN when neither is known."""
    price = bucket.spot if bucket.forward is None else bucket.forward.price
    return np.nan if price is None else price


def _of_side(query: _Query, calls: FloatArray, puts: FloatArray) -> FloatArray:
    if query.option_type == option_pb2.OPTION_TYPE_CALL:
        return calls
    if query.option_type == option_pb2.OPTION_TYPE_PUT:
        return puts
    return combined(calls, puts, _COMBINATIONS.get(query.indicator, Combination.MEAN))


def _valuation(expiry: date, bucket: MetricsBucket) -> MoneynessValuation:
    message = MoneynessValuation(
        expiry=expiry.isoformat(), open_time=timestamp_of(bucket.open_time), basis=basis_message(bucket)
    )
    if bucket.years is not None:
        message.as_of.CopyFrom(timestamp(instant_of_years(expiry, bucket.years)))
    return message


def _messages(expiry: _Expiry, times: Sequence[datetime], values: FloatArray, levels: int) -> Iterator[MoneynessSeries]:
    """One message for each level that has a point; `values` is (buckets, levels)."""
    for column, level in enumerate(range(-levels, levels + 1)):
        known = np.flatnonzero(np.isfinite(values[:, column])).tolist()
        if known:
            yield MoneynessSeries(
                expiry=expiry.listing.expiry.isoformat(),
                labels=expiry.labels,
                moneyness=moneyness_label(level),
                level=level,
                points=[
                    MoneynessPoint(open_time=timestamp_of(times[row]), value=float(values[row, column]))
                    for row in known
                ],
            )

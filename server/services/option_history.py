"""History of options: figures of expiries over time, and the Greeks of a contract at a time."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Final, cast

from server.domain.calendar import to_nanoseconds
from server.domain.errors import InvalidArgument
from server.domain.instruments import Instrument, InstrumentKind
from server.domain.options.greeks import NAMES
from server.domain.options.time_to_expiry import instant_of_years
from server.market.chain_messages import basis_fields, fill
from server.market.metrics_messages import metrics_fields
from server.services.converters_pricing import basis_message
from server.services.history_requests import INSTANT, HistorySources
from server.services.listed_expiries import now_of, symbol_of
from server.services.market_data_service import timeframe_of
from server.services.requests import SERIES_SIZE, find_instrument, page_size
from server.services.times import datetime_of, timestamp, timestamp_of
from server.store.expiry_listings import Listing
from server.store.expiry_metrics import ExpiryMetricsStore, MetricsBucket
from server.store.option_minutes import ContractMoment, OptionMinuteStore
from server.store.paging import cut, decode_token, encode_token
from server.store.records import to_datetime
from strikeline.v1 import expiry_metrics_pb2, option_pb2
from strikeline.v1 import option_history_pb2 as pb

_MAX_AGE: Final = timedelta(minutes=15)
_MINUTE: Final = timedelta(minutes=1)
_SIDES: Final = {
    InstrumentKind.CALL: option_pb2.OPTION_TYPE_CALL,
    InstrumentKind.PUT: option_pb2.OPTION_TYPE_PUT,
}


class OptionHistory:
    """Reads what the worker stored. `freshness` is how long prices may be valued by, nanoseconds."""

    def __init__(
        self, sources: HistorySources, metrics: ExpiryMetricsStore, minutes: OptionMinuteStore, freshness: int
    ) -> None:
        self._freshness = freshness
        self._sources = sources
        self._metrics = metrics
        self._minutes = minutes

    async def list_expiry_metrics(self, request: pb.ListExpiryMetricsRequest) -> pb.ListExpiryMetricsResponse:
        """Figures of an expiry, ascending. Raises NotFound for an underlying or an expiry that is not on record."""
        timeframe, symbol = timeframe_of(request.timeframe), symbol_of(request.underlying)
        listing = await self._sources.expiry(symbol, request.underlying, request.expiry)
        start, end = self._sources.span(request)
        size = page_size(request.page_size, SERIES_SIZE)
        bound = ("expiryMetrics", symbol, listing.expiry, timeframe.name, request.start_time, request.end_time)
        after = decode_token(bound, request.page_token, int)
        if after:
            start = to_datetime(cast(int, after[0])) + INSTANT
        found = await self._metrics.series(
            symbol,
            listing.expiry,
            timeframe,
            self._sources.calendar(listing.exchange),
            (start, end),
            size + 1,
            self._sources.market_time(),
        )
        items, last = cut(found, size)
        message = pb.ListExpiryMetricsResponse(
            underlying=symbol,
            expiry=listing.expiry.isoformat(),
            timeframe=timeframe.name,
            buckets=[_bucket(symbol, listing, item) for item in items],
            next_page_token=encode_token(bound, [to_nanoseconds(last.open_time)]) if last else "",
        )
        self._sources.put_now(message)
        return message

    async def get_greeks_at(self, request: pb.GetGreeksAtRequest) -> pb.OptionMoment:
        """The last valuation of a contract in a minute that was over at a time; no figures without a young one."""
        instrument = await find_instrument(self._sources.instruments, request.instrument, "instrument")
        if instrument.kind not in _SIDES or instrument.expiry is None or instrument.underlying is None:
            raise InvalidArgument.of("instrument", "must be an option")
        time = self._time(request)
        age = request.max_age.ToTimedelta() if request.HasField("max_age") else _MAX_AGE
        newest = time - _MINUTE
        found = await self._minutes.at(instrument.instrument_id, newest - age, newest + INSTANT)
        message = _named(instrument, instrument.expiry)
        if found is not None:
            metrics = await self._metrics.at(instrument.underlying, instrument.expiry, found.open_time)
            _set_moment(message, instrument.expiry, found, metrics)
        old = to_nanoseconds(time) - message.as_of.ToNanoseconds() > self._freshness
        message.stale = old or not (request.HasField("time") or self._sources.clock.is_live())
        return message

    def _time(self, request: pb.GetGreeksAtRequest) -> datetime:
        if request.HasField("time"):
            return datetime_of("time", request.time)
        return to_datetime(now_of(self._sources.clock))


def _bucket(symbol: str, listing: Listing, bucket: MetricsBucket) -> pb.ExpiryMetricsBucket:
    metrics = expiry_metrics_pb2.ExpiryMetrics(underlying=symbol, expiry=listing.expiry.isoformat())
    fill(metrics, basis_fields(bucket))
    fill(metrics, metrics_fields(bucket.metrics))
    if bucket.years is not None:
        metrics.as_of.CopyFrom(timestamp(instant_of_years(listing.expiry, bucket.years)))
    return pb.ExpiryMetricsBucket(open_time=timestamp_of(bucket.open_time), metrics=metrics, closed=bucket.closed)


def _named(instrument: Instrument, expiry: date) -> pb.OptionMoment:
    return pb.OptionMoment(
        instrument=instrument.key,
        underlying=instrument.underlying or "",
        expiry=expiry.isoformat(),
        strike=float(instrument.strike or 0),
        option_type=_SIDES[instrument.kind],
    )


def _set_moment(message: pb.OptionMoment, expiry: date, found: ContractMoment, metrics: MetricsBucket | None) -> None:
    message.open_time.CopyFrom(timestamp_of(found.open_time))
    message.greeks.CopyFrom(option_pb2.Greeks(**{name: found.figures[name] for name in NAMES}))
    known = {
        "last_price": found.close,
        "open_interest": found.open_interest,
        "implied_volatility": found.figures["volatility"],
    }
    fill(message, {name: value for name, value in known.items() if value is not None})
    valued_at = to_nanoseconds(found.open_time + _MINUTE)
    if metrics is not None:
        message.basis.CopyFrom(basis_message(metrics))
        if metrics.years is not None:
            valued_at = instant_of_years(expiry, metrics.years)
    message.as_of.CopyFrom(timestamp(valued_at))

"""GetStrikeDistribution: expiries of an underlying by strike, now or at a time in the past."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final

import numpy as np
from google.protobuf.message import Message

from server.domain.calendar import to_nanoseconds
from server.domain.expiries import LabelledExpiry, labels_as_of
from server.domain.options.moneyness_series import Combination, combined
from server.domain.options.put_call_ratio import put_call_ratio
from server.domain.options.strike_range import select_strikes
from server.market.chain_messages import ChainMessages, fill
from server.market.metrics_messages import metrics_fields, metrics_message
from server.market.strike_ranges import strike_range_of
from server.services.history_requests import HistorySources, listing_of, unlisted_expiry
from server.services.listed_expiries import symbol_of
from server.services.option_chains import FoundChain, OptionChains
from server.services.recorded_chains import RecordedChains
from server.services.times import datetime_of, timestamp
from server.store.expiry_listings import Listing
from strikeline.v1 import expiry_metrics_pb2, option_pb2
from strikeline.v1 import option_distribution_pb2 as pb

_DEFAULT_EXPIRIES: Final = 2
_NO_BOOKS: Final[Mapping[str, Mapping[str, float]]] = MappingProxyType({})
_GREEKS: Final = MappingProxyType(
    {
        option_pb2.OPTION_INDICATOR_DELTA: "delta",
        option_pb2.OPTION_INDICATOR_GAMMA: "gamma",
        option_pb2.OPTION_INDICATOR_THETA: "theta",
        option_pb2.OPTION_INDICATOR_DECAY: "theta",
        option_pb2.OPTION_INDICATOR_VEGA: "vega",
        option_pb2.OPTION_INDICATOR_RHO: "rho",
    }
)
_FIELDS: Final = MappingProxyType(
    {
        option_pb2.OPTION_INDICATOR_IMPLIED_VOLATILITY: "implied_volatility",
        option_pb2.OPTION_INDICATOR_OPEN_INTEREST: "open_interest",
        option_pb2.OPTION_INDICATOR_PCR: "open_interest",
        option_pb2.OPTION_INDICATOR_PREMIUM: "last_price",
        option_pb2.OPTION_INDICATOR_PREMIUM_ABS: "premium_abs",
        option_pb2.OPTION_INDICATOR_PREMIUM_PCT: "premium_pct",
        option_pb2.OPTION_INDICATOR_VOLUME: "volume",
    }
)
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
class _Shown:
    """An expiry, and its figures as they are to be told."""

    messages: ChainMessages
    metrics: expiry_metrics_pb2.ExpiryMetrics
    liquidity: Mapping[str, Mapping[str, float]]
    """By key, where the chain itself does not tell."""


class StrikeDistributions:
    """Reads live chains, or recorded ones."""

    def __init__(self, chains: OptionChains, recorded: RecordedChains, sources: HistorySources) -> None:
        self._chains = chains
        self._recorded = recorded
        self._sources = sources

    async def get(self, request: pb.GetStrikeDistributionRequest) -> pb.StrikeDistribution:
        """The expiries asked for. Raises NotFound for an underlying or an expiry that is not known."""
        symbol = symbol_of(request.underlying)
        message = pb.StrikeDistribution(
            underlying=symbol,
            live=not request.HasField("time"),
            indicator=request.indicator,
            option_type=request.option_type,
        )
        if message.live:
            shown, now = await self._present(request)
            if now is not None:
                message.time.CopyFrom(timestamp(now))
        else:
            message.time.CopyFrom(request.time)
            shown = await self._past(request, symbol, datetime_of("time", request.time))
        message.expiries.extend(_distribution(request, item) for item in shown)
        message.stale = not (message.live and shown) or any(item.metrics.stale for item in shown)
        _put_totals(message, [item.metrics for item in shown])
        return message

    async def _present(self, request: pb.GetStrikeDistributionRequest) -> tuple[list[_Shown], int | None]:
        """-> the chains of now, and market time."""
        wanted = list(request.expiries)
        if not wanted:
            in_force = await self._chains.in_force(request.underlying)
            wanted = [expiry.isoformat() for expiry in in_force[:_DEFAULT_EXPIRIES]]
        found: dict[str, FoundChain] = {}
        for place, text in enumerate(wanted):
            chain = await self._chains.find(request.underlying, text, f"expiries[{place}]")
            found[chain.messages.chain.expiry.isoformat()] = chain
        times = [chain.now for chain in found.values() if chain.now is not None]
        shown = [_Shown(found[key].messages, found[key].metrics(), _NO_BOOKS) for key in sorted(found)]
        return shown, max(times, default=None)

    async def _past(self, request: pb.GetStrikeDistributionRequest, symbol: str, at: datetime) -> list[_Shown]:
        listings = await self._sources.listed.listings(symbol, request.underlying)
        labelled = labels_as_of(listings, to_nanoseconds(at))
        shown = []
        for listing in _wanted(request, symbol, listings, to_nanoseconds(at)):
            found = await self._recorded.chain(symbol, listing, at)
            if found is not None:
                metrics = metrics_message(found.messages.chain, _labels(listing, labelled), stale=True)
                for name in ("call_open_interest", "put_open_interest", "call_volume", "put_volume"):
                    metrics.ClearField(name)
                fill(metrics, metrics_fields(found.metrics))
                shown.append(_Shown(found.messages, metrics, found.liquidity))
        return shown


def _wanted(
    request: pb.GetStrikeDistributionRequest, symbol: str, listings: Sequence[Listing], instant: int
) -> list[Listing]:
    """The listings asked for, by date, each once."""
    labelled = labels_as_of(listings, instant)
    texts = list(request.expiries) or [item.expiry.isoformat() for item in labelled[:_DEFAULT_EXPIRIES]]
    found: set[Listing] = set()
    for place, text in enumerate(texts):
        listing = listing_of(text, listings, lambda: instant)
        if listing is None:
            raise unlisted_expiry(symbol, text, f"expiries[{place}]")
        found.add(listing)
    return sorted(found, key=lambda listing: listing.expiry)


def _labels(listing: Listing, labelled: Sequence[LabelledExpiry]) -> tuple[str, ...]:
    return next((item.labels for item in labelled if item.expiry == listing.expiry), ())


def _distribution(request: pb.GetStrikeDistributionRequest, shown: _Shown) -> pb.ExpiryDistribution:
    chain = shown.messages.chain
    chosen = select_strikes(chain.chain, strike_range_of(request.range), shown.messages.reference)
    rows = shown.messages.message(chosen).rows
    quotes = [quote for row in rows for quote in (row.call, row.put)]
    for quote in quotes:
        fill(quote.liquidity, shown.liquidity.get(quote.instrument, {}))
    message = pb.ExpiryDistribution(
        metrics=shown.metrics,
        strike_count=len(chain.rows),
        has_greeks=any(quote.HasField("greeks") for quote in quotes),
        has_open_interest=any(quote.HasField("open_interest") for quote in quotes),
    )
    if request.indicator:
        message.values.extend(_values(request, rows))
    else:
        message.rows.extend(map(_without, rows, [request.option_type] * len(rows)))
    return message


def _without(row: option_pb2.OptionChainRow, kept: option_pb2.OptionType.ValueType) -> option_pb2.OptionChainRow:
    """The row without the side that is not asked for."""
    if kept == option_pb2.OPTION_TYPE_CALL:
        row.ClearField("put")
    if kept == option_pb2.OPTION_TYPE_PUT:
        row.ClearField("call")
    return row


def _values(
    request: pb.GetStrikeDistributionRequest, rows: Sequence[option_pb2.OptionChainRow]
) -> Iterator[pb.StrikeValue]:
    calls, puts = (
        np.array([_figure(quote, request.indicator) for quote in side])
        for side in ([row.call for row in rows], [row.put for row in rows])
    )
    if request.option_type == option_pb2.OPTION_TYPE_CALL:
        puts, values = np.full(len(rows), np.nan), calls
    elif request.option_type == option_pb2.OPTION_TYPE_PUT:
        calls, values = np.full(len(rows), np.nan), puts
    else:
        values = combined(calls, puts, _COMBINATIONS.get(request.indicator, Combination.MEAN))
    for row, value, call, put in zip(rows, values.tolist(), calls.tolist(), puts.tolist(), strict=True):
        message = pb.StrikeValue(strike=row.strike)
        figures = {"value": value, "call": call, "put": put}
        fill(message, {name: figure for name, figure in figures.items() if math.isfinite(figure)})
        _put_places(message, row)
        yield message


def _put_places(message: pb.StrikeValue, row: option_pb2.OptionChainRow) -> None:
    if row.HasField("level"):
        message.level = row.level
    if row.call.HasField("open_interest"):
        message.call_open_interest = row.call.open_interest
    if row.put.HasField("open_interest"):
        message.put_open_interest = row.put.open_interest


def _figure(quote: option_pb2.OptionQuote, indicator: option_pb2.OptionIndicator.ValueType) -> float:
    """One figure of an option; NaN is absent."""
    holder: Message = quote.greeks if indicator in _GREEKS else quote
    name = _GREEKS.get(indicator) or _FIELDS[indicator]
    return float(getattr(holder, name)) if holder.HasField(name) else math.nan


def _put_totals(message: pb.StrikeDistribution, metrics: Sequence[expiry_metrics_pb2.ExpiryMetrics]) -> None:
    sums: dict[str, list[float]] = {}
    for name in ("call_open_interest", "put_open_interest", "call_volume", "put_volume"):
        sums[name] = [getattr(item, name) if item.HasField(name) else math.nan for item in metrics]
        known = [round(value) for value in sums[name] if math.isfinite(value)]
        if known:
            setattr(message, name, sum(known))
    ratios = {
        "pcr_oi": put_call_ratio(sums["put_open_interest"], sums["call_open_interest"]),
        "pcr_volume": put_call_ratio(sums["put_volume"], sums["call_volume"]),
    }
    fill(message, {name: ratio for name, ratio in ratios.items() if ratio is not None})

"""Closed buckets of options in the contract's words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from server.domain.calendar import NANOSECONDS
from server.domain.options.arrays import FloatArray
from server.domain.options.greeks import NAMES as GREEKS
from server.domain.options.moneyness import nearest_index
from server.domain.options.time_to_expiry import instant_of_years
from server.market.chain_messages import basis_fields, fill
from server.market.chains import prices
from server.market.hub.bucket_folding import Bucket
from server.market.metrics_messages import metrics_fields
from server.market.records import ABSENT, BOOK_SUMMARY
from strikeline.v1 import option_history_pb2, option_stream_pb2

Rows = NDArray[np.void]

_SAMPLED = {"volatility": "implied_volatility", **{name: name for name in GREEKS[:5]}}
_BOOK = BOOK_SUMMARY.names or ()


def bucket_message(
    bucket: Bucket, timeframe: str, labels: Sequence[str], ladder: FloatArray
) -> option_stream_pb2.ExpiryBucket:
    """A bucket. `ladder` has the listed strikes, rupees, ascending."""
    chain = bucket.chain
    message = option_stream_pb2.ExpiryBucket(
        underlying=chain.underlying,
        expiry=chain.expiry.isoformat(),
        labels=labels,
        timeframe=timeframe,
        minutes=bucket.minutes,
    )
    message.open_time.seconds, message.open_time.nanos = divmod(chain.open_time, NANOSECONDS)
    metrics = message.metrics
    metrics.underlying, metrics.expiry = message.underlying, message.expiry
    metrics.labels.extend(labels)
    valued = instant_of_years(chain.expiry, chain.years)
    metrics.as_of.seconds, metrics.as_of.nanos = divmod(valued, NANOSECONDS)
    fill(metrics, basis_fields(chain))
    fill(metrics, metrics_fields(chain.metrics))
    for name in ("call", "put"):
        volumes = chain.rows[name]["volume"]
        if (volumes != ABSENT).any():
            setattr(message, f"{name}_volume", int(volumes[volumes != ABSENT].sum()))
    _add_strikes(message, bucket, ladder)
    return message


def _add_strikes(message: option_stream_pb2.ExpiryBucket, bucket: Bucket, ladder: FloatArray) -> None:
    chain = bucket.chain
    strikes = prices(chain.rows["strike"])
    levels = _levels(strikes, ladder, chain.spot if chain.forward is None else chain.forward.price)
    sides = [_options(chain.rows[name]) for name in ("call", "put")]
    for strike, level, call, put in zip(strikes.tolist(), levels, *sides, strict=True):
        row = message.strikes.add(strike=strike, call=call, put=put)
        if level is not None:
            row.level = level


def _levels(strikes: FloatArray, ladder: FloatArray, reference: float | None) -> list[int | None]:
    known = np.union1d(strikes, ladder)
    if reference is None or not len(known):
        return [None] * len(strikes)
    steps: list[int | None] = (np.searchsorted(known, strikes) - nearest_index(known, reference)).tolist()
    return steps


def _options(contracts: Rows) -> list[option_history_pb2.OptionBucket | None]:
    columns = {name: contracts[name].tolist() for name in contracts.dtype.names or () if name != "book"}
    columns["close"] = prices(contracts["close"]).tolist()
    columns |= {name: contracts["book"][name].tolist() for name in _BOOK}
    names = tuple(columns)
    return [_option(dict(zip(names, row, strict=True))) for row in zip(*columns.values(), strict=True)]


def _option(values: dict[str, float | int]) -> option_history_pb2.OptionBucket | None:
    if not values["instrument"]:
        return None
    message = option_history_pb2.OptionBucket(samples=int(values["samples"]))
    fill(message, _known(values, ("close", "volume", "open_interest")))
    for name, target in _SAMPLED.items():
        count = int(values[f"{name}_count"])
        if count:
            figure = getattr(message, target)
            figure.mean, figure.last, figure.count = values[f"{name}_sum"] / count, values[f"{name}_last"], count
    fill(message.greeks, {name: value for name in GREEKS if (value := values[f"{name}_last"]) == value})
    fill(message.liquidity, _known(values, _BOOK))
    return message


def _known(values: dict[str, float | int], names: Sequence[str]) -> dict[str, float | int]:
    return {name: value for name in names if (value := values[name]) == value and value != ABSENT}

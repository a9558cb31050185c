"""Chains as the worker publishes them: values over the messages of the chains log, for whoever reads it."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import date
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from server.domain.options.arrays import FloatArray, optional
from server.domain.options.chain import Chain, ChainSide
from server.domain.options.expiry_metrics import ExpiryMetrics, expiry_metrics
from server.domain.options.forward import Forward, ForwardSource
from server.domain.prices import ABSENT, SCALE
from server.market.records import CHAIN_ROW, CONTRACT_LISTED, CONTRACT_STALE, MINUTE_ROW
from strikeline.internal.v1.log_pb2 import ChainBasis, ChainKey, ChainMetrics, ChainMinute, ChainsEntry, ChainState

Rows = NDArray[np.void]

_LENGTH = struct.Struct("<I")
_METRICS = tuple(field.name for field in fields(ExpiryMetrics))


@dataclass(frozen=True, eq=False)
class LiveChain:
    """One expiry of an underlying, valued at the market time `as_of` (nanoseconds since 1970 UTC).

    `spot` in rupees and `forward` are None when not known. `rate` and `dividend_yield` are fractions a year, `years`
    is the time to expiry. `rows` of `CHAIN_ROW` hold every listed strike, ascending, and cannot be written to.
    `revision` grows by 1 with each valuation of this chain in the feed run `run`.
    """

    underlying: str
    expiry: date
    as_of: int
    spot: float | None
    forward: Forward | None
    rate: float
    dividend_yield: float
    years: float
    rows: Rows
    revision: int
    run: str

    @classmethod
    def parse(cls, state: ChainState, run: str) -> LiveChain:
        """The chain of a message. `rows` share the memory of the message's bytes."""
        basis = state.basis
        return cls(
            underlying=state.key.underlying,
            expiry=date.fromisoformat(state.key.expiry),
            as_of=state.as_of,
            spot=_spot_of(basis),
            forward=_forward_of(basis),
            rate=basis.rate,
            dividend_yield=basis.dividend_yield,
            years=basis.years,
            rows=np.frombuffer(state.rows, CHAIN_ROW),
            revision=state.revision,
            run=run,
        )

    def state(self) -> ChainState:
        """The message that `parse` reads."""
        return ChainState(
            key=key_of(self.underlying, self.expiry),
            as_of=self.as_of,
            basis=basis_of(self.spot, self.forward, self.rate, self.dividend_yield, self.years),
            rows=self.rows.tobytes(),
            revision=self.revision,
        )

    @cached_property
    def strikes(self) -> FloatArray:
        """Listed strikes in rupees, ascending."""
        return prices(self.rows["strike"])

    @cached_property
    def chain(self) -> Chain:
        """The options by strike. Prices that are too old to be valued by are absent, open interest and volume stay."""
        return chain_of(self.rows)

    @cached_property
    def metrics(self) -> ExpiryMetrics:
        """Figures of the whole expiry."""
        return expiry_metrics(self.chain, None if self.forward is None else self.forward.price, self.years)


@dataclass(frozen=True, eq=False)
class MinuteChain:
    """One expiry of an underlying over the minute that began at `open_time` (nanoseconds since 1970 UTC).

    `spot` to `years` are as in `LiveChain`, at the minute's last valuation, and so are `metrics`. `rows` of
    `MINUTE_ROW` hold the strikes of which a side was valued or ticked within the minute, ascending.
    """

    underlying: str
    expiry: date
    open_time: int
    spot: float | None
    forward: Forward | None
    rate: float
    dividend_yield: float
    years: float
    rows: Rows
    metrics: ExpiryMetrics

    @classmethod
    def parse(cls, minute: ChainMinute) -> MinuteChain:
        """The minute of a message. `rows` share the memory of the message's bytes."""
        basis = minute.basis
        return cls(
            underlying=minute.key.underlying,
            expiry=date.fromisoformat(minute.key.expiry),
            open_time=minute.open_time,
            spot=_spot_of(basis),
            forward=_forward_of(basis),
            rate=basis.rate,
            dividend_yield=basis.dividend_yield,
            years=basis.years,
            rows=np.frombuffer(minute.rows, MINUTE_ROW),
            metrics=_metrics_of(minute.metrics),
        )

    def message(self) -> ChainMinute:
        """The message that `parse` reads."""
        return ChainMinute(
            key=key_of(self.underlying, self.expiry),
            open_time=self.open_time,
            basis=basis_of(self.spot, self.forward, self.rate, self.dividend_yield, self.years),
            rows=self.rows.tobytes(),
            metrics=metrics_message(self.metrics),
        )


def pack_entries(entries: Iterable[ChainsEntry]) -> bytes:
    """The section `published` of the chains slots' checkpoints: entries as in the chains log, one after the other.

    Those of a base hold the newest state of every chain. Those of a delta hold what came since, and what ended.
    """
    payloads = (entry.SerializeToString() for entry in entries)
    return b"".join(_LENGTH.pack(len(payload)) + payload for payload in payloads)


def unpack_entries(section: bytes) -> Iterator[ChainsEntry]:
    """The entries of a section `published`, to be taken in like those of the log. They have no market time."""
    place = 0
    while place < len(section):
        (size,) = _LENGTH.unpack_from(section, place)
        place += _LENGTH.size + size
        yield ChainsEntry.FromString(section[place - size : place])


def key_of(underlying: str, expiry: date) -> ChainKey:
    """The name of a chain."""
    return ChainKey(underlying=underlying, expiry=expiry.isoformat())


def basis_of(
    spot: float | None, forward: Forward | None, rate: float, dividend_yield: float, years: float
) -> ChainBasis:
    """What a chain is valued with; `spot` in rupees."""
    strike = None if forward is None else forward.strike
    return ChainBasis(
        spot=ABSENT if spot is None else round(spot * SCALE),
        forward=math.nan if forward is None else forward.price,
        forward_source="" if forward is None else forward.source.value,
        forward_strike=math.nan if strike is None else strike,
        rate=rate,
        dividend_yield=dividend_yield,
        years=years,
    )


def metrics_message(metrics: ExpiryMetrics) -> ChainMetrics:
    """Metrics with NaN for what is absent."""
    values = ((name, getattr(metrics, name)) for name in _METRICS)
    return ChainMetrics(**{name: math.nan if value is None else value for name, value in values})


def chain_of(rows: Rows) -> Chain:
    """The options of rows of `CHAIN_ROW`. Prices that are too old to be valued by are absent."""
    return Chain(strikes=prices(rows["strike"]), calls=_side(rows["call"]), puts=_side(rows["put"]))


def prices(scaled: NDArray[np.int64]) -> FloatArray:
    """Rupees of scaled prices; NaN for `ABSENT`."""
    return np.where(scaled == ABSENT, np.nan, scaled / SCALE)


def quantities(units: NDArray[np.int64]) -> FloatArray:
    """Quantities as doubles; NaN for `ABSENT`."""
    return np.where(units == ABSENT, np.nan, units.astype(np.float64))


def _side(contracts: Rows) -> ChainSide:
    listed = (contracts["flags"] & CONTRACT_LISTED) != 0
    fresh = listed & ((contracts["flags"] & CONTRACT_STALE) == 0)
    return ChainSide(
        price=np.where(fresh, prices(contracts["last_price"]), np.nan),
        open_interest=np.where(listed, quantities(contracts["open_interest"]), np.nan),
        volume=np.where(listed, quantities(contracts["volume"]), np.nan),
        volatility=np.where(listed, contracts["volatility"], np.nan),
        delta=np.where(listed, contracts["delta"], np.nan),
    )


def _spot_of(basis: ChainBasis) -> float | None:
    return None if basis.spot == ABSENT else basis.spot / SCALE


def _forward_of(basis: ChainBasis) -> Forward | None:
    if not basis.forward_source:
        return None
    return Forward(basis.forward, ForwardSource(basis.forward_source), optional(basis.forward_strike))


def _metrics_of(metrics: ChainMetrics) -> ExpiryMetrics:
    return ExpiryMetrics(**{name: optional(getattr(metrics, name)) for name in _METRICS})

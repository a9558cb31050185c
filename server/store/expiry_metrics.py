"""Metrics of expiries by the minute, and in buckets of any timeframe."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import Final, Protocol

from server.domain.calendar import MarketCalendar
from server.domain.options.expiry_metrics import ExpiryMetrics
from server.domain.options.forward import Forward, ForwardSource
from server.domain.timeframes import Timeframe
from server.store.database import Database, Row, Transaction
from server.store.records import to_datetime
from server.store.statements import Statements
from server.store.windows import cuts

_SQL = Statements.of("expiry_metrics")
_FIGURES: Final = tuple(field.name for field in fields(ExpiryMetrics))


class ExpiryMinute(Protocol):
    """What is saved of an expiry's minute; see `server.store.option_minutes.ChainMinute`."""

    @property
    def underlying(self) -> str:
        """Canonical name."""
        ...

    @property
    def expiry(self) -> date:
        """The date."""
        ...

    @property
    def open_time(self) -> int:
        """When the minute began, nanoseconds since 1970 UTC."""
        ...

    @property
    def spot(self) -> float | None:
        """Rupees, at the minute's last valuation; so are the next four."""
        ...

    @property
    def forward(self) -> Forward | None:
        """The forward and its source."""
        ...

    @property
    def rate(self) -> float:
        """Fraction a year."""
        ...

    @property
    def dividend_yield(self) -> float:
        """Fraction a year."""
        ...

    @property
    def years(self) -> float:
        """Time to expiry."""
        ...

    @property
    def metrics(self) -> ExpiryMetrics:
        """Figures of the whole expiry."""
        ...


@dataclass(frozen=True, kw_only=True)
class MetricsBucket:
    """The last metrics of an expiry within a length of time, and what they rest on.

    `rate` and `dividend_yield` are fractions a year, `years` is the time to expiry; None is not known.
    """

    open_time: datetime
    samples: int
    spot: float | None
    forward: Forward | None
    rate: float | None
    dividend_yield: float | None
    years: float | None
    metrics: ExpiryMetrics
    closed: bool


@dataclass(frozen=True, kw_only=True)
class StoredBasis:
    """What an expiry was valued with in the minute or longer piece that began at `time`; see `MetricsBucket`."""

    time: datetime
    spot: float | None
    forward: Forward | None
    rate: float | None
    dividend_yield: float | None
    years: float | None


def stored_basis(row: Row) -> StoredBasis | None:
    """The basis in the columns of a row whose names begin with "valued_"; None where there was no valuation."""
    if row["valued_time"] is None:
        return None
    return StoredBasis(
        time=row["valued_time"],
        spot=row["valued_spot"],
        forward=_forward(row, "valued_"),
        rate=row["valued_rate"],
        dividend_yield=row["valued_dividend_yield"],
        years=row["valued_years"],
    )


async def save_metrics(transaction: Transaction, minutes: Sequence[tuple[ExpiryMinute, int]]) -> None:
    """Saves minutes, each with the number of its samples. Of two versions the one with more samples stays."""
    rows = [_values(minute, samples) for minute, samples in minutes]
    if rows:
        await transaction.execute(_SQL["save"], *(list(column) for column in zip(*rows, strict=True)))


class ExpiryMetricsStore:
    """Reads metrics. They belong to nobody. `OptionMinuteStore.save_minutes` writes them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def series(
        self,
        underlying: str,
        expiry: date,
        timeframe: Timeframe,
        calendar: MarketCalendar,
        span: tuple[datetime, datetime],
        limit: int,
        market_time: datetime | None = None,
    ) -> list[MetricsBucket]:
        """At most `limit` buckets that begin within [start, end), ascending; empty ones are left out.

        `market_time` is the feed's: the bucket that contains it is not closed. None when no feed runs.
        """
        edges = await self._database.fetchrow(_SQL["extent"], underlying, expiry, *span)
        if edges is None or edges["first"] is None:
            return []
        found: list[MetricsBucket] = []
        for cut in cuts(timeframe, calendar, span, (edges["first"], edges["last"]), limit):
            rows = await self._database.fetch(_SQL["series"], underlying, expiry, cut.resolution, *cut.columns)
            found += [_bucket(row, closed=cut.is_closed(row["bucket"], market_time)) for row in rows]
            if len(found) >= limit:
                break
        return found[:limit]

    async def at(self, underlying: str, expiry: date, open_time: datetime) -> MetricsBucket | None:
        """The metrics of the minute that began then."""
        row = await self._database.fetchrow(_SQL["at"], underlying, expiry, open_time)
        return None if row is None else _bucket(row, closed=True)


def _values(minute: ExpiryMinute, samples: int) -> Iterable[object]:
    forward, metrics = minute.forward, minute.metrics
    return (
        minute.underlying,
        minute.expiry,
        to_datetime(minute.open_time),
        samples,
        minute.spot,
        None if forward is None else forward.price,
        None if forward is None else forward.source.value,
        None if forward is None else forward.strike,
        minute.rate,
        minute.dividend_yield,
        minute.years,
        *(getattr(metrics, name) for name in _FIGURES),
    )


def _bucket(row: Row, *, closed: bool) -> MetricsBucket:
    return MetricsBucket(
        open_time=row["bucket"],
        samples=row["samples"],
        spot=row["spot"],
        forward=_forward(row),
        rate=row["rate"],
        dividend_yield=row["dividend_yield"],
        years=row["years"],
        metrics=ExpiryMetrics(**{name: None if row[name] is None else float(row[name]) for name in _FIGURES}),
        closed=closed,
    )


def _forward(row: Row, prefix: str = "") -> Forward | None:
    price, source, strike = (row[f"{prefix}{name}"] for name in ("forward", "forward_source", "forward_strike"))
    if price is None or source is None:
        return None
    return Forward(price, ForwardSource(source), None if strike is None else float(strike))

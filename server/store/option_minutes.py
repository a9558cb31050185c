"""Minutes of options: saving what the worker makes, and reading figures of contracts in buckets of any timeframe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final, Protocol

import numpy as np

from server.domain.calendar import MarketCalendar
from server.domain.options.greeks import NAMES
from server.domain.prices import ABSENT
from server.domain.timeframes import Timeframe
from server.store.database import Database, Row, Transaction
from server.store.expiry_metrics import ExpiryMinute, StoredBasis, save_metrics, stored_basis
from server.store.records import Records, to_datetime, to_nullable
from server.store.rollups import mark_dirty
from server.store.statements import Statements
from server.store.windows import Cut, cuts

_SQL = Statements.of("option_minutes")
_AT_ONCE: Final = 2_000
"""Rows in one statement: encoding more would keep the process from anything else for too long."""

SAMPLED: Final = ("volatility", *NAMES[:5])
"""Figures that are summed over the valuations of a minute."""
_FIGURES: Final = (
    *(f"{name}_sum" for name in SAMPLED),
    *(f"{name}_count" for name in SAMPLED),
    *(f"{name}_last" for name in ("volatility", *NAMES)),
)
_BOOK: Final = ("spread", "spread_pct", "imbalance_pct", "pressure", "microprice")


class ChainMinute(ExpiryMinute, Protocol):
    """One expiry over one minute, as the worker makes it (`server.market.chains.MinuteChain`)."""

    @property
    def rows(self) -> Records:
        """Strikes with both sides, of the dtype `MINUTE_ROW` of `server.market.records`."""
        ...


@dataclass(frozen=True)
class Sampled:
    """A figure over a length of time: mean of its valid samples, how many they are, and the last of them."""

    mean: float | None
    count: int
    last: float | None


@dataclass(frozen=True, kw_only=True)
class OptionBucket:
    """Figures of one contract over one length of time.

    `samples` is how often its chain was valued. `spot` and `forward` are those of the last valuation, and `basis` is
    all that it rested on; None where that is not on record any more. `open_interest` is the last known, units, also of
    a contract that did not trade. `sampled` is by name of `SAMPLED`, `second_order` the last valid ones by name. `book`
    is by name, of the newest order book; empty without one.
    """

    instrument_id: int
    open_time: datetime
    samples: int
    spot: float | None
    forward: float | None
    basis: StoredBasis | None
    open_interest: int | None
    sampled: Mapping[str, Sampled]
    second_order: Mapping[str, float | None]
    book: Mapping[str, float]
    closed: bool


@dataclass(frozen=True)
class MeanBucket:
    """One figure of one contract over one length of time: its mean, and the last volatility; None is not known."""

    instrument_id: int
    open_time: datetime
    mean: float | None
    volatility: float | None


@dataclass(frozen=True)
class PriceBucket:
    """Close in rupees and volume in units of one contract over one length of time."""

    instrument_id: int
    open_time: datetime
    close: float
    volume: int | None


@dataclass(frozen=True)
class InterestBucket:
    """The last known open interest, units, of one contract over one length of time."""

    instrument_id: int
    open_time: datetime
    open_interest: int


@dataclass(frozen=True, kw_only=True)
class ContractMoment:
    """The last valuation of a contract within a minute, `open_time`, with the close, volume and open interest of it.

    `figures` holds volatility and the eleven Greeks by name; None is not known.
    """

    open_time: datetime
    spot: float | None
    forward: float | None
    figures: Mapping[str, float | None]
    close: float | None
    open_interest: int | None


class OptionMinuteStore:
    """Minutes of all options. They belong to nobody."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def save_minutes(self, transaction: Transaction, minutes: Sequence[ChainMinute]) -> int:
        """Saves minutes and their metrics, and marks what is to be rolled up. -> how many rows of contracts it wrote.

        Of two versions of a row the one with more samples stays: saving is idempotent, in whatever order.
        """
        if not minutes:
            return 0
        columns = _columns(minutes)
        written = 0
        for start in range(0, len(columns[0]), _AT_ONCE):
            part = (column[start : start + _AT_ONCE] for column in columns)
            written += await transaction.execute(_SQL["save"], *part)
        await save_metrics(transaction, [(minute, _samples(minute.rows)) for minute in minutes])
        await mark_dirty(transaction, np.array([minute.open_time for minute in minutes], np.int64))
        return written

    async def figures(
        self,
        instrument_ids: Sequence[int],
        timeframe: Timeframe,
        calendar: MarketCalendar,
        span: tuple[datetime, datetime],
        limit: int,
        market_time: datetime | None = None,
    ) -> list[OptionBucket]:
        """What begins within [start, end), by time and contract, for at most `limit` lengths of time.

        `market_time` is the feed's: the bucket that contains it is not closed. None when no feed runs.
        """
        edges = await self._database.fetchrow(_SQL["extent"], list(instrument_ids), *span)
        if edges is None or edges["first"] is None:
            return []
        found: list[OptionBucket] = []
        times: set[datetime] = set()
        for cut in cuts(timeframe, calendar, span, (edges["first"], edges["last"]), limit):
            for row in await self._fetch("figures", cut, instrument_ids):
                found.append(_bucket(row, closed=cut.is_closed(row["open_time"], market_time)))
                times.add(row["open_time"])
            if len(times) >= limit:
                break
        kept = sorted(times)[:limit]
        return [bucket for bucket in found if kept and bucket.open_time <= kept[-1]]

    async def means(self, instrument_ids: Sequence[int], cut: Cut, name: str) -> list[MeanBucket]:
        """One figure of many contracts, `name` of `SAMPLED`, in no order."""
        rows = await self._fetch("means", cut, instrument_ids, name)
        return [
            MeanBucket(row["instrument_id"], row["open_time"], _mean(row["total"], row["samples"]), row["volatility"])
            for row in rows
        ]

    async def prices(self, instrument_ids: Sequence[int], cut: Cut) -> list[PriceBucket]:
        """Prices of many contracts, in no order; only lengths of time in which they traded."""
        rows = await self._fetch("prices", cut, instrument_ids)
        return [PriceBucket(row["instrument_id"], row["open_time"], row["close"], row["volume"]) for row in rows]

    async def open_interest(self, instrument_ids: Sequence[int], cut: Cut) -> list[InterestBucket]:
        """Open interest of many contracts, in no order, traded or not."""
        rows = await self._fetch("open_interest", cut, instrument_ids)
        return [InterestBucket(row["instrument_id"], row["open_time"], row["open_interest"]) for row in rows]

    async def closing_open_interest(
        self, instrument_id: int, days: Sequence[tuple[datetime, datetime]]
    ) -> dict[datetime, int]:
        """The last known open interest within each of the days, [begin, end), by its begin; those without left out."""
        columns = [list(column) for column in zip(*days, strict=True)] if days else [[], []]
        rows = await self._database.fetch(_SQL["closing_open_interest"], instrument_id, *columns)
        return {days[row["position"] - 1][0]: row["open_interest"] for row in rows}

    async def open_interest_before(
        self, instrument_ids: Sequence[int], start: datetime, end: datetime
    ) -> dict[int, tuple[datetime, int]]:
        """The last known open interest within [start, end) and its minute, by contract."""
        rows = await self._database.fetch(_SQL["open_interest_before"], list(instrument_ids), start, end)
        return {row["instrument_id"]: (row["open_time"], row["open_interest"]) for row in rows}

    async def at(self, instrument_id: int, start: datetime, end: datetime) -> ContractMoment | None:
        """The newest minute that begins within [start, end) in which the contract could be valued."""
        row = await self._database.fetchrow(_SQL["at"], instrument_id, start, end)
        if row is None:
            return None
        return ContractMoment(
            open_time=row["open_time"],
            spot=row["spot"],
            forward=row["forward"],
            figures=MappingProxyType({name: row[name] for name in ("volatility", *NAMES)}),
            close=row["close"],
            open_interest=row["open_interest"],
        )

    async def _fetch(self, statement: str, cut: Cut, instrument_ids: Sequence[int], *more: object) -> Sequence[Row]:
        return await self._database.fetch(_SQL[statement], cut.resolution, list(instrument_ids), *cut.columns, *more)


def _columns(minutes: Sequence[ChainMinute]) -> list[list[object]]:
    """The parameters of `save`: contracts of which anything is known, all minutes one after the other."""
    columns: list[list[object]] = [[] for _ in range(6 + 2 * len(SAMPLED) + 1 + len(NAMES) + len(_BOOK) + 1)]
    for minute in minutes:
        opened = to_datetime(minute.open_time)
        forward = None if minute.forward is None else minute.forward.price
        for side in ("call", "put"):
            rows = minute.rows[side]
            known = (rows["samples"] > 0) | (rows["open_interest"] != ABSENT) | ~np.isnan(rows["book"]["spread"])
            rows = rows[(rows["instrument"] > 0) & known]
            parts = (
                rows["instrument"].tolist(),
                [opened] * len(rows),
                rows["samples"].tolist(),
                [minute.spot] * len(rows),
                [forward] * len(rows),
                to_nullable(rows["open_interest"]),
                *(rows[name].tolist() for name in _FIGURES),
                *(rows["book"][name].tolist() for name in (*_BOOK, "score")),
            )
            for column, values in zip(columns, parts, strict=True):
                column.extend(values)
    return columns


def _samples(rows: Records) -> int:
    """How often the chain was valued within the minute."""
    return max((int(rows[side]["samples"].max(initial=0)) for side in ("call", "put")), default=0)


def _bucket(row: Row, *, closed: bool) -> OptionBucket:
    sampled = {
        name: Sampled(_mean(row[f"{name}_sum"], row[f"{name}_count"]), row[f"{name}_count"], row[name])
        for name in SAMPLED
    }
    book = {name: row[name] for name in (*_BOOK, "liquidity_score") if row[name] is not None}
    return OptionBucket(
        instrument_id=row["instrument_id"],
        open_time=row["open_time"],
        samples=row["samples"],
        spot=row["spot"],
        forward=row["forward"],
        basis=stored_basis(row),
        open_interest=row["open_interest"],
        sampled=MappingProxyType(sampled),
        second_order=MappingProxyType({name: row[name] for name in NAMES[5:]}),
        book=MappingProxyType(book),
        closed=closed,
    )


def _mean(total: float | None, count: int | None) -> float | None:
    return total / count if count and total is not None else None

"""Mark-to-market of strategies: the current figure and the minute candles, exact to a ten-thousandth of a rupee."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

import numpy as np

from server.domain.calendar import to_nanoseconds
from server.store.database import Database, Row, Transaction
from server.store.paging import Page, cut, decode_token, encode_token
from server.store.records import CANDLE, Records, to_datetime, to_datetimes
from server.store.statements import Statements
from server.store.strategy_errors import no_strategy
from server.store.windows import up_to

_SQL = Statements.of("m2m")
_FIRST: Final = datetime.fromisoformat("1990-01-01T00:00:00+00:00")


@dataclass(frozen=True)
class CurrentSample:
    """The latest sample of a strategy as the worker hands it over. Times in nanoseconds, amounts in scaled rupees.

    The amounts are None when a leg has no price. `legs` are records of the dtype `M2M_LEG`.
    """

    strategy: int
    market_time: int
    m2m: int | None
    premium_flow: int | None
    complete: bool
    legs: bytes


@dataclass(frozen=True)
class CurrentM2m:
    """The latest sample of a strategy as it is read: rupees. `legs` are records of the dtype `M2M_LEG`."""

    market_time: datetime
    m2m: Decimal | None
    premium_flow: Decimal | None
    complete: bool
    legs: bytes


@dataclass(frozen=True)
class M2mCandle:
    """One minute of complete samples, rupees. `leg_count` is the number of open legs at the last one."""

    open_time: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    leg_count: int


class M2mStore:
    """Written by the worker's role, read by users under row-level security."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def merge_candles(self, transaction: Transaction, rows: Records) -> None:
        """Merges `CANDLE` rows, at most one of each (strategy, open_time). Commutative and idempotent."""
        if not len(rows):
            return
        await transaction.execute(
            _SQL["merge_candles"],
            rows["strategy"].tolist(),
            to_datetimes(rows["open_time"]),
            *(rows[name].tolist() for name in ("open", "high", "low", "close", "leg_count", "first_time", "last_time")),
        )

    async def save_current(self, transaction: Transaction, samples: Sequence[CurrentSample]) -> None:
        """Replaces the current figures, at most one of each strategy."""
        if not samples:
            return
        await transaction.execute(
            _SQL["save_current"],
            [sample.strategy for sample in samples],
            [to_datetime(sample.market_time) for sample in samples],
            [sample.m2m for sample in samples],
            [sample.premium_flow for sample in samples],
            [sample.complete for sample in samples],
            [sample.legs for sample in samples],
        )

    async def candles_of(self, strategies: Sequence[int], start_ns: int, end_ns: int) -> Records:
        """`CANDLE` rows of the strategies (by number) that begin in [start, end), for a worker that goes on."""
        rows = await self._database.fetch(_SQL["minute"], strategies, to_datetime(start_ns), to_datetime(end_ns))
        return np.array([_candle_record(row) for row in rows], CANDLE)

    async def current(self, user: str, account: str, strategy: str) -> CurrentM2m | None:
        """The strategy's latest sample; None before the first, and for a strategy that is not the user's."""
        async with self._database.transaction(user, read_only=True) as transaction:
            row = await transaction.fetchrow(_SQL["current"], account, strategy)
        return None if row is None else CurrentM2m(**dict(row))

    async def list_candles(
        self,
        user: str,
        account: str,
        strategy: str,
        limit: int,
        page_token: str = "",
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        market_time: datetime | None = None,
        ascending: bool = True,
    ) -> Page[M2mCandle]:
        """Candles that begin in [start, end), in order of time; without an end up to market time, None: all.

        Raises NotFound for a strategy not the user's.
        """
        query = (account, strategy, start, end, ascending)
        after = decode_token(query, page_token, int)
        first, last = start or _FIRST, end or up_to(market_time)
        if after and ascending:
            first = to_datetime(int(after[0] or 0) + 1_000)
        elif after:
            last = to_datetime(int(after[0] or 0))
        statement = "candles_ascending" if ascending else "candles_descending"
        async with self._database.transaction(user, read_only=True) as transaction:
            number = await transaction.fetchval(_SQL["strategy_number"], account, strategy)
            if number is None:
                raise no_strategy(strategy)
            rows = await transaction.fetch(_SQL[statement], number, first, last, limit + 1)
        items, final = cut([M2mCandle(**dict(row)) for row in rows], limit)
        return Page(items, encode_token(query, [to_nanoseconds(final.open_time)]) if final else "")


def _candle_record(row: Row) -> tuple[int, ...]:
    amounts = (row[name] for name in ("open", "high", "low", "close", "leg_count", "first_time", "last_time"))
    return (row["strategy"], to_nanoseconds(row["open_time"]), *amounts)

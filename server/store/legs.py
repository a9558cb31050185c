"""Legs of strategies. Each change is one of their strategy: under its lock, and told to the worker."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final

from server.domain.m2m import Position, leg_m2m
from server.store.database import Database, Row, Transaction
from server.store.paging import Page, cut, decode_token, encode_token
from server.store.statements import Statements
from server.store.strategy_changes import LockedStrategy, change, check_etag
from server.store.strategy_errors import leg_closed, no_exit_price, no_leg, no_strategy, strategy_full
from server.store.strategy_values import Leg, LegChanges, NewLeg, Side

_SQL = Statements.of("legs")
MOST_LEGS: Final = 1_000
"""Most legs of one strategy, open and closed."""


class LegStore:
    """Legs of strategies. Every method acts as `user`, who sees own rows only; foreign ids are NotFound.

    An `etag` that is not the current one makes a change fail with Aborted; None and "" overwrite.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, user: str, account: str, strategy: str, new: NewLeg) -> Leg:
        """Adds a leg. Raises FailedPrecondition for a strategy that takes none."""

        async def work(transaction: Transaction, locked: LockedStrategy) -> str:
            locked.require_changeable()
            return (await insert_legs(transaction, locked.number, locked.account, (new,)))[0]

        leg = await change(self._database, user, account, strategy, None, work)
        return await self.get(user, account, strategy, leg)

    async def get(self, user: str, account: str, strategy: str, leg: str) -> Leg:
        """The leg. Raises NotFound."""
        async with self._database.transaction(user, read_only=True) as transaction:
            row = await transaction.fetchrow(_SQL["get"], account, strategy, leg)
        if row is None:
            raise no_leg(leg)
        return _leg(row)

    async def list(
        self,
        user: str,
        account: str,
        strategy: str,
        page_size: int,
        page_token: str = "",
        *,
        open: bool | None = None,  # noqa: A002 - the leg's own word
    ) -> Page[Leg]:
        """Legs in order of creation, counted; only open or closed ones unless None. Raises NotFound."""
        query = (account, strategy, open)
        after = decode_token(query, page_token, int)
        async with self._database.transaction(user, read_only=True) as transaction:
            if await transaction.fetchval(_SQL["strategy"], account, strategy) is None:
                raise no_strategy(strategy)
            rows = await transaction.fetch(_SQL["list"], *query, after[0] if after else 0, page_size + 1)
            total = await transaction.fetchval(_SQL["count"], *query)
        items, last = cut([_leg(row) for row in rows], page_size)
        return Page(items, encode_token(query, [last.number]) if last else "", total)

    async def update(
        self, user: str, account: str, strategy: str, leg: str, changes: LegChanges, etag: str | None = None
    ) -> Leg:
        """Changes quantity, entry price and notes of an open leg; `etag` is the leg's."""

        async def work(transaction: Transaction, locked: LockedStrategy) -> bool:
            found = await _open_leg(transaction, locked, leg, etag)
            values = (changes.quantity, changes.entry_price, changes.notes)
            await transaction.execute(_SQL["update"], found["number"], *values)
            return True

        await change(self._database, user, account, strategy, None, work)
        return await self.get(user, account, strategy, leg)

    async def close(
        self,
        user: str,
        account: str,
        strategy: str,
        leg: str,
        exit_price: Decimal,
        exit_time: datetime,
        etag: str | None = None,
    ) -> Leg:
        """Fixes exit price, time and realized profit of an open leg; `etag` is the leg's."""

        async def work(transaction: Transaction, locked: LockedStrategy) -> bool:
            found = await _open_leg(transaction, locked, leg, etag)
            await close_legs(transaction, [found], {leg: exit_price}, exit_time)
            return True

        await change(self._database, user, account, strategy, None, work)
        return await self.get(user, account, strategy, leg)

    async def delete(self, user: str, account: str, strategy: str, leg: str, etag: str | None = None) -> None:
        """Removes a leg that was added by mistake, open or closed; `etag` is the leg's."""

        async def work(transaction: Transaction, locked: LockedStrategy) -> bool:
            locked.require_changeable()
            found = await _find_leg(transaction, locked, leg, etag)
            await transaction.execute(_SQL["delete"], found["number"])
            return True

        await change(self._database, user, account, strategy, None, work)

    async def realized(self, user: str, account: str, strategy: str) -> Decimal:
        """Sum of the closed legs' realized profit, rupees."""
        async with self._database.transaction(user, read_only=True) as transaction:
            return Decimal(await transaction.fetchval(_SQL["realized"], account, strategy))


async def insert_legs(transaction: Transaction, number: int, account: str, legs: Sequence[NewLeg]) -> Sequence[str]:
    """Adds legs to a strategy, by its number. -> their ids. Raises FailedPrecondition when they would be too many."""
    if await transaction.fetchval(_SQL["count_all"], number) + len(legs) > MOST_LEGS:
        raise strategy_full(MOST_LEGS)
    names = [f"leg-{uuid.uuid4().hex[:20]}" for _ in legs]
    for name, leg in zip(names, legs, strict=True):
        values = (leg.instrument_id, leg.side, leg.quantity, leg.entry_price, leg.notes)
        await transaction.execute(_SQL["insert"], name, number, account, *values)
    return names


async def open_legs(transaction: Transaction, number: int) -> Sequence[Row]:
    """Rows of a strategy's open legs, in order of creation."""
    return await transaction.fetch(_SQL["open_of"], number)


async def close_legs(
    transaction: Transaction, legs: Sequence[Row], exits: Mapping[str, Decimal], exit_time: datetime
) -> None:
    """Closes legs at their prices in `exits` (by leg). Raises FailedPrecondition when one has none."""
    missing = [leg["instrument"] for leg in legs if leg["leg"] not in exits]
    if missing:
        raise no_exit_price(" ".join(missing))
    prices = [exits[leg["leg"]] for leg in legs]
    profits = [
        leg_m2m(Position(Side(leg["side"]).direction, leg["quantity"], leg["entry_price"]), price)
        for leg, price in zip(legs, prices, strict=True)
    ]
    await transaction.execute(_SQL["close"], [leg["number"] for leg in legs], prices, profits, exit_time)


async def _find_leg(transaction: Transaction, locked: LockedStrategy, leg: str, etag: str | None) -> Row:
    row = await transaction.fetchrow(_SQL["find"], locked.number, leg)
    if row is None:
        raise no_leg(leg)
    check_etag(etag, row["revision"])
    return row


async def _open_leg(transaction: Transaction, locked: LockedStrategy, leg: str, etag: str | None) -> Row:
    locked.require_changeable()
    row = await _find_leg(transaction, locked, leg, etag)
    if row["closed_at"] is not None:
        raise leg_closed(leg)
    return row


def _leg(row: Row) -> Leg:
    same = ("number", "leg", "account", "strategy", "instrument", "instrument_id", "quantity", "entry_price", "notes")
    return Leg(
        **{name: row[name] for name in same},
        side=Side(row["side"]),
        exit_price=row["exit_price"],
        exit_time=row["closed_at"],
        realized_pnl=row["realized_pnl"],
        create_time=row["created_at"],
        update_time=row["updated_at"],
        etag=str(row["revision"]),
    )

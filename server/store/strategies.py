"""Strategies of accounts. Each change and what the worker must hear of it are one transaction."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Final

from server.store.database import Database, Row, Transaction
from server.store.legs import close_legs, insert_legs, open_legs
from server.store.paging import Page, cut, decode_token, encode_token
from server.store.statements import Statements
from server.store.strategy_changes import LockedStrategy, change
from server.store.strategy_errors import default_strategy, no_strategy
from server.store.strategy_outbox import publish
from server.store.strategy_values import NewStrategy, Strategy, StrategyChanges, StrategyStatus

_SQL = Statements.of("strategies")
_LAST_NUMBER: Final = 2**63 - 1


class StrategyStore:
    """Strategies of accounts. Every method acts as `user`, who sees own rows only; foreign ids are NotFound.

    An `etag` that is not the current one makes a change fail with Aborted; None and "" overwrite.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, user: str, account: str, new: NewStrategy) -> Strategy:
        """A new active strategy with its legs. Raises AlreadyExists for a display name that is in use."""
        name = await self._database.run(lambda transaction: insert_strategy(transaction, account, new), user)
        return await self.get(user, account, name)

    async def get(self, user: str, account: str, strategy: str) -> Strategy:
        """The strategy. Raises NotFound."""
        async with self._database.transaction(user, read_only=True) as transaction:
            row = await transaction.fetchrow(_SQL["get"], account, strategy)
        if row is None:
            raise no_strategy(strategy)
        return _strategy(row)

    async def list(
        self, user: str, account: str, page_size: int, page_token: str = "", status: StrategyStatus | None = None
    ) -> Page[Strategy]:
        """The account's strategies, the default one first, then the newest; counted."""
        query = (account, status)
        after = decode_token(query, page_token, int, int)
        behind = (bool(after[0]), after[1]) if after else (True, _LAST_NUMBER)
        async with self._database.transaction(user, read_only=True) as transaction:
            rows = await transaction.fetch(_SQL["list"], account, status, *behind, page_size + 1)
            total = await transaction.fetchval(_SQL["count"], account, status)
        items, last = cut([_strategy(row) for row in rows], page_size)
        token = encode_token(query, [int(last.is_default), last.number]) if last else ""
        return Page(items, token, total)

    async def update(
        self, user: str, account: str, strategy: str, changes: StrategyChanges, etag: str | None = None
    ) -> Strategy:
        """Changes name, description and tags of a strategy that takes changes."""

        async def work(transaction: Transaction, locked: LockedStrategy) -> bool:
            locked.require_changeable()
            if locked.is_default and changes.display_name not in {None, locked.display_name}:
                raise default_strategy("keeps its name")
            values = (changes.display_name, changes.description, changes.tags)
            await transaction.execute(_SQL["update"], locked.number, *values)
            return True

        await change(self._database, user, account, strategy, etag, work)
        return await self.get(user, account, strategy)

    async def archive(self, user: str, account: str, strategy: str, etag: str | None = None) -> Strategy:
        """Puts a strategy away; one that is archived stays as it is. The default strategy cannot be."""

        async def work(transaction: Transaction, locked: LockedStrategy) -> bool:
            if locked.status is StrategyStatus.ARCHIVED:
                return False
            if locked.is_default:
                raise default_strategy("cannot be archived")
            await transaction.execute(_SQL["set_status"], locked.number, StrategyStatus.ARCHIVED)
            return True

        await change(self._database, user, account, strategy, etag, work)
        return await self.get(user, account, strategy)

    async def close(
        self,
        user: str,
        account: str,
        strategy: str,
        exits: Mapping[str, Decimal],
        exit_time: datetime,
        etag: str | None = None,
    ) -> Strategy:
        """Closes every open leg at its price in `exits` (by leg), then the strategy; all or nothing.

        A closed strategy stays as it is. Raises FailedPrecondition (PRICE_UNAVAILABLE) when an open leg has no price.
        """

        async def work(transaction: Transaction, locked: LockedStrategy) -> bool:
            if locked.status is StrategyStatus.CLOSED:
                return False
            locked.require_changeable()
            if locked.is_default:
                raise default_strategy("cannot be closed")
            await close_legs(transaction, await open_legs(transaction, locked.number), exits, exit_time)
            await transaction.execute(_SQL["set_status"], locked.number, StrategyStatus.CLOSED)
            return True

        await change(self._database, user, account, strategy, etag, work)
        return await self.get(user, account, strategy)


async def insert_strategy(transaction: Transaction, account: str, new: NewStrategy) -> str:
    """Adds a strategy with its legs to an account and tells the worker. -> its id."""
    strategy = f"str-{uuid.uuid4().hex[:20]}"
    number = await transaction.fetchval(
        _SQL["insert"], strategy, account, new.display_name, new.description, new.tags, new.is_default
    )
    await insert_legs(transaction, number, account, new.legs)
    await publish(transaction, number)
    return strategy


def _strategy(row: Row) -> Strategy:
    same = ("number", "strategy", "account", "display_name", "description", "is_default", "open_leg_count", "m2m")
    return Strategy(
        **{name: row[name] for name in same},
        m2m_time=row["m2m_time"],
        tags=tuple(row["tags"]),
        status=StrategyStatus(row["status"]),
        etag=str(row["revision"]),
        create_time=row["created_at"],
        update_time=row["updated_at"],
    )

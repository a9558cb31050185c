"""Accounts and whose they are. A user is the `sub` of a token; there is no table of users."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from server.domain.errors import AlreadyExists, NotFound
from server.store.database import Database, Row, Transaction
from server.store.paging import Page, cut, decode_token, encode_token
from server.store.statements import Statements
from server.store.strategies import insert_strategy
from server.store.strategy_values import DEFAULT_STRATEGY

_SQL = Statements.of("accounts")


@dataclass(frozen=True)
class Account:
    """A trading account of one user."""

    account: str
    user: str
    display_name: str
    create_time: datetime


class AccountStore:
    """Accounts. As the api's role a caller sees its own ones only, whatever it asks for."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, user: str, display_name: str = "", account: str | None = None) -> Account:
        """A new account with its default strategy, both or none. Its id is made here unless given.

        Raises AlreadyExists when the id is taken, by whomever.
        """
        name = account or f"acc-{uuid.uuid4().hex[:20]}"
        return await self._database.run(lambda transaction: _create(transaction, name, user, display_name), user)

    async def ensure(self, user: str, account: str, display_name: str = "") -> Account:
        """The user's account of that id, created when it lacks. Raises AlreadyExists when it is another user's."""
        try:
            return await self.create(user, display_name, account)
        except AlreadyExists:
            try:
                found = await self.get(user, account)
            except NotFound:
                found = None
            if found is None or found.user != user:
                raise
            return found

    async def get(self, user: str, account: str) -> Account:
        """The account. Raises NotFound when it does not exist or is not the user's."""
        async with self._database.transaction(user, read_only=True) as transaction:
            row = await transaction.fetchrow(_SQL["get"], account)
        if row is None or row["user_id"] != user:
            raise _no_account(account)
        return _account(row)

    async def owns(self, user: str, account: str) -> bool:
        """Whether the account exists and is the user's."""
        async with self._database.transaction(user, read_only=True) as transaction:
            row = await transaction.fetchrow(_SQL["get"], account)
        return row is not None and row["user_id"] == user

    async def list(self, user: str, page_size: int, page_token: str = "") -> Page[Account]:
        """The user's accounts by id, counted."""
        after = decode_token((user,), page_token, str)
        async with self._database.transaction(user, read_only=True) as transaction:
            rows = await transaction.fetch(_SQL["list"], user, after[0] if after else "", page_size + 1)
            total = await transaction.fetchval(_SQL["count"], user)
        items, last = cut([_account(row) for row in rows], page_size)
        return Page(items, encode_token((user,), [last.account]) if last else "", total)


def _no_account(account: str) -> NotFound:
    return NotFound(f"no account {account}", metadata={"resource": "account", "id": account})


async def _create(transaction: Transaction, account: str, user: str, display_name: str) -> Account:
    row = await transaction.fetchrow(_SQL["insert"], account, user, display_name)
    if row is None:
        raise _no_account(account)
    await insert_strategy(transaction, account, DEFAULT_STRATEGY)
    return _account(row)


def _account(row: Row) -> Account:
    return Account(row["account"], row["user_id"], row["display_name"], row["created_at"])

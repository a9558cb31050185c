"""What the worker hears of strategies: whole states, written in the transaction that changes a strategy."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final

from server.store.database import Database, Transaction
from server.store.statements import Statements
from server.store.strategy_values import StrategyState

_SQL = Statements.of("strategy_outbox")
_CHANNEL: Final = "strategy_outbox"


@dataclass(frozen=True)
class OutboxEntry:
    """A change that the worker has not heard of yet."""

    id: int
    state: StrategyState


class StrategyOutbox:
    """Changes of strategies on their way to the worker. For the worker's role, which sees those of all users."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def active_states(self) -> Sequence[StrategyState]:
        """All active strategies with all their open legs, in one query."""
        return [_state(row["state"]) for row in await self._database.fetch(_SQL["active_states"])]

    async def pending(self, limit: int) -> Sequence[OutboxEntry]:
        """The oldest changes that the worker has not heard of, at most `limit`."""
        rows = await self._database.fetch(_SQL["pending"], limit)
        return [OutboxEntry(row["id"], _state(row["payload"])) for row in rows]

    async def done(self, ids: Sequence[int]) -> None:
        """Forgets changes that the log has."""
        async with self._database.transaction() as transaction:
            await transaction.execute(_SQL["done"], ids)

    def listening(self) -> AbstractAsyncContextManager[asyncio.Event]:
        """An event that new changes set; see `Database.listening`."""
        return self._database.listening(_CHANNEL)


async def publish(transaction: Transaction, number: int) -> None:
    """Tells the worker the present state of a strategy, by its number, if the transaction is committed."""
    await transaction.execute(_SQL["publish"], number)


def _state(text: str) -> StrategyState:
    return StrategyState.parse(json.loads(text))

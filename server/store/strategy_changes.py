"""How a strategy or its legs are changed: one change after the other, each told to the worker."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from server.store.database import Database, Transaction
from server.store.statements import Statements
from server.store.strategy_errors import changed_meanwhile, no_strategy, not_active
from server.store.strategy_outbox import publish
from server.store.strategy_values import StrategyStatus

T = TypeVar("T")
_SQL = Statements.of("strategy_changes")
_TAKES_CHANGES: Final = frozenset({StrategyStatus.ACTIVE, StrategyStatus.PAUSED})


@dataclass(frozen=True)
class LockedStrategy:
    """A strategy whose row this transaction holds."""

    number: int
    strategy: str
    account: str
    status: StrategyStatus
    is_default: bool
    display_name: str

    def require_changeable(self) -> None:
        """Raises FailedPrecondition (STRATEGY_NOT_ACTIVE) for a strategy that takes no changes."""
        if self.status not in _TAKES_CHANGES:
            raise not_active(self.strategy, self.status)


async def change(
    database: Database,
    user: str,
    account: str,
    strategy: str,
    etag: str | None,
    work: Callable[[Transaction, LockedStrategy], Awaitable[T]],
) -> T:
    """Locks the strategy, does `work`, and tells the worker unless `work` says by False that nothing changed.

    -> what `work` returned. Raises NotFound for a foreign strategy, and Aborted when `etag` is not the strategy's.
    """

    async def locked_work(transaction: Transaction) -> T:
        row = await transaction.fetchrow(_SQL["lock"], account, strategy)
        if row is None:
            raise no_strategy(strategy)
        check_etag(etag, row["revision"])
        status = StrategyStatus(row["status"])
        locked = LockedStrategy(row["number"], strategy, account, status, row["is_default"], row["display_name"])
        result = await work(transaction, locked)
        if result is not False:
            await transaction.execute(_SQL["touch"], row["number"])
            await publish(transaction, row["number"])
        return result

    return await database.run(locked_work, user)


def check_etag(etag: str | None, revision: int) -> None:
    """Raises Aborted for an etag that is not the one of the revision; None and "" are any."""
    if etag and etag != str(revision):
        raise changed_meanwhile(str(revision))

"""Strategies and their legs. Each change and what the worker must hear of it are one transaction."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final, TypeVar

from server.domain.m2m import Position, leg_m2m
from server.store.database import Database, Row, Transaction
from server.store.paging import Page, cut, decode_token, encode_token
from server.store.statements import Statements
from server.store.strategy_errors import (
    changed_meanwhile,
    default_strategy,
    leg_closed,
    no_exit_price,
    no_leg,
    no_strategy,
    not_active,
    strategy_full,
)
from server.store.strategy_values import (
    DEFAULT_STRATEGY,
    Leg,
    LegChanges,
    LegState,
    NewLeg,
    NewStrategy,
    Side,
    Strategy,
    StrategyChanges,
    StrategyState,
    StrategyStatus,
)

__all__ = [
    "DEFAULT_STRATEGY", "Leg", "LegChanges", "LegState", "NewLeg", "NewStrategy", "OutboxEntry", "Side", "Strategy",
    "StrategyChanges", "StrategyState", "StrategyStatus", "StrategyStore", "insert_strategy",
]  # fmt: skip

T = TypeVar("T")
_SQL = Statements.of("strategies")
_MOST_LEGS: Final = 1_000
_CHANNEL: Final = "strategy_outbox"
_LAST_NUMBER: Final = 2**63 - 1
_TAKES_CHANGES: Final = frozenset({StrategyStatus.ACTIVE, StrategyStatus.PAUSED})


@dataclass(frozen=True)
class OutboxEntry:
    """A change that the worker has not heard of yet."""

    id: int
    state: StrategyState


@dataclass(frozen=True)
class _Locked:
    """A strategy whose row this transaction holds."""

    number: int
    strategy: str
    account: str
    status: StrategyStatus
    is_default: bool
    display_name: str


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

        async def work(transaction: Transaction, locked: _Locked) -> bool:
            _require_changeable(locked)
            if locked.is_default and changes.display_name not in {None, locked.display_name}:
                raise default_strategy("keeps its name")
            values = (changes.display_name, changes.description, changes.tags)
            await transaction.execute(_SQL["update"], locked.number, *values)
            return True

        await self._change(user, account, strategy, etag, work)
        return await self.get(user, account, strategy)

    async def archive(self, user: str, account: str, strategy: str, etag: str | None = None) -> Strategy:
        """Puts a strategy away; one that is archived stays as it is. The default strategy cannot be."""

        async def work(transaction: Transaction, locked: _Locked) -> bool:
            if locked.status is StrategyStatus.ARCHIVED:
                return False
            if locked.is_default:
                raise default_strategy("cannot be archived")
            await transaction.execute(_SQL["set_status"], locked.number, StrategyStatus.ARCHIVED)
            return True

        await self._change(user, account, strategy, etag, work)
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

        async def work(transaction: Transaction, locked: _Locked) -> bool:
            if locked.status is StrategyStatus.CLOSED:
                return False
            _require_changeable(locked)
            if locked.is_default:
                raise default_strategy("cannot be closed")
            legs = await transaction.fetch(_SQL["open_legs"], locked.number)
            await _close_legs(transaction, legs, exits, exit_time)
            await transaction.execute(_SQL["set_status"], locked.number, StrategyStatus.CLOSED)
            return True

        await self._change(user, account, strategy, etag, work)
        return await self.get(user, account, strategy)

    async def create_leg(self, user: str, account: str, strategy: str, new: NewLeg) -> Leg:
        """Adds a leg. Raises FailedPrecondition for a strategy that takes none."""

        async def work(transaction: Transaction, locked: _Locked) -> str:
            _require_changeable(locked)
            return (await _insert_legs(transaction, locked.number, locked.account, (new,)))[0]

        leg = await self._change(user, account, strategy, None, work)
        return await self.get_leg(user, account, strategy, leg)

    async def get_leg(self, user: str, account: str, strategy: str, leg: str) -> Leg:
        """The leg. Raises NotFound."""
        async with self._database.transaction(user, read_only=True) as transaction:
            row = await transaction.fetchrow(_SQL["get_leg"], account, strategy, leg)
        if row is None:
            raise no_leg(leg)
        return _leg(row)

    async def list_legs(
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
            if await transaction.fetchrow(_SQL["get"], account, strategy) is None:
                raise no_strategy(strategy)
            rows = await transaction.fetch(_SQL["list_legs"], *query, after[0] if after else 0, page_size + 1)
            total = await transaction.fetchval(_SQL["count_legs"], *query)
        items, last = cut([_leg(row) for row in rows], page_size)
        return Page(items, encode_token(query, [last.number]) if last else "", total)

    async def update_leg(
        self, user: str, account: str, strategy: str, leg: str, changes: LegChanges, etag: str | None = None
    ) -> Leg:
        """Changes quantity, entry price and notes of an open leg; `etag` is the leg's."""

        async def work(transaction: Transaction, locked: _Locked) -> bool:
            found = await _open_leg(transaction, locked, leg, etag)
            values = (changes.quantity, changes.entry_price, changes.notes)
            await transaction.execute(_SQL["update_leg"], found["number"], *values)
            return True

        await self._change(user, account, strategy, None, work)
        return await self.get_leg(user, account, strategy, leg)

    async def close_leg(
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

        async def work(transaction: Transaction, locked: _Locked) -> bool:
            found = await _open_leg(transaction, locked, leg, etag)
            await _close_legs(transaction, [found], {leg: exit_price}, exit_time)
            return True

        await self._change(user, account, strategy, None, work)
        return await self.get_leg(user, account, strategy, leg)

    async def delete_leg(self, user: str, account: str, strategy: str, leg: str, etag: str | None = None) -> None:
        """Removes a leg that was added by mistake, open or closed; `etag` is the leg's."""

        async def work(transaction: Transaction, locked: _Locked) -> bool:
            _require_changeable(locked)
            found = await _find_leg(transaction, locked, leg, etag)
            await transaction.execute(_SQL["delete_leg"], found["number"])
            return True

        await self._change(user, account, strategy, None, work)

    async def realized(self, user: str, account: str, strategy: str) -> Decimal:
        """Sum of the closed legs' realized profit, rupees."""
        async with self._database.transaction(user, read_only=True) as transaction:
            return Decimal(await transaction.fetchval(_SQL["realized"], account, strategy))

    async def active_states(self) -> Sequence[StrategyState]:
        """All active strategies with all their open legs, in one query. For the worker's role."""
        return [_state(row["state"]) for row in await self._database.fetch(_SQL["active_states"])]

    async def outbox_pending(self, limit: int) -> Sequence[OutboxEntry]:
        """The oldest changes that the worker has not heard of, at most `limit`. For the worker's role."""
        rows = await self._database.fetch(_SQL["outbox_pending"], limit)
        return [OutboxEntry(row["id"], _state(row["payload"])) for row in rows]

    async def outbox_done(self, ids: Sequence[int]) -> None:
        """Forgets changes that the log has. For the worker's role."""
        async with self._database.transaction() as transaction:
            await transaction.execute(_SQL["outbox_done"], ids)

    async def outbox_waiting(self) -> int:
        """How many changes wait, for metrics."""
        row = await self._database.fetchrow(_SQL["outbox_waiting"])
        return row[0] if row else 0

    def outbox_listening(self) -> AbstractAsyncContextManager[asyncio.Event]:
        """An event that new changes set; see `Database.listening`."""
        return self._database.listening(_CHANNEL)

    async def _change(
        self,
        user: str,
        account: str,
        strategy: str,
        etag: str | None,
        work: Callable[[Transaction, _Locked], Awaitable[T]],
    ) -> T:
        """Locks the strategy, does `work`, and tells the worker unless `work` says that nothing changed."""

        async def locked_work(transaction: Transaction) -> T:
            row = await transaction.fetchrow(_SQL["lock"], account, strategy)
            if row is None:
                raise no_strategy(strategy)
            _check_etag(etag, row["revision"])
            status = StrategyStatus(row["status"])
            locked = _Locked(row["number"], strategy, account, status, row["is_default"], row["display_name"])
            result = await work(transaction, locked)
            if result is not False:
                await transaction.execute(_SQL["touch"], row["number"])
                await transaction.execute(_SQL["publish"], row["number"])
            return result

        return await self._database.run(locked_work, user)


async def insert_strategy(transaction: Transaction, account: str, new: NewStrategy) -> str:
    """Adds a strategy with its legs to an account and tells the worker. -> its id."""
    strategy = f"str-{uuid.uuid4().hex[:20]}"
    number = await transaction.fetchval(
        _SQL["insert"], strategy, account, new.display_name, new.description, new.tags, new.is_default
    )
    await _insert_legs(transaction, number, account, new.legs)
    await transaction.execute(_SQL["publish"], number)
    return strategy


async def _insert_legs(transaction: Transaction, number: int, account: str, legs: Sequence[NewLeg]) -> Sequence[str]:
    if await transaction.fetchval(_SQL["count_all_legs"], number) + len(legs) > _MOST_LEGS:
        raise strategy_full(_MOST_LEGS)
    names = [f"leg-{uuid.uuid4().hex[:20]}" for _ in legs]
    for name, leg in zip(names, legs, strict=True):
        values = (leg.instrument_id, leg.side, leg.quantity, leg.entry_price, leg.notes)
        await transaction.execute(_SQL["insert_leg"], name, number, account, *values)
    return names


async def _close_legs(
    transaction: Transaction, legs: Sequence[Row], exits: Mapping[str, Decimal], exit_time: datetime
) -> None:
    missing = [leg["instrument"] for leg in legs if leg["leg"] not in exits]
    if missing:
        raise no_exit_price(" ".join(missing))
    prices = [exits[leg["leg"]] for leg in legs]
    profits = [
        leg_m2m(Position(Side(leg["side"]).direction, leg["quantity"], leg["entry_price"]), price)
        for leg, price in zip(legs, prices, strict=True)
    ]
    await transaction.execute(_SQL["close_legs"], [leg["number"] for leg in legs], prices, profits, exit_time)


async def _find_leg(transaction: Transaction, locked: _Locked, leg: str, etag: str | None) -> Row:
    row = await transaction.fetchrow(_SQL["find_leg"], locked.number, leg)
    if row is None:
        raise no_leg(leg)
    _check_etag(etag, row["revision"])
    return row


async def _open_leg(transaction: Transaction, locked: _Locked, leg: str, etag: str | None) -> Row:
    _require_changeable(locked)
    row = await _find_leg(transaction, locked, leg, etag)
    if row["closed_at"] is not None:
        raise leg_closed(leg)
    return row


def _require_changeable(locked: _Locked) -> None:
    if locked.status not in _TAKES_CHANGES:
        raise not_active(locked.strategy, locked.status)


def _check_etag(etag: str | None, revision: int) -> None:
    if etag and etag != str(revision):
        raise changed_meanwhile(str(revision))


def _state(text: str) -> StrategyState:
    return StrategyState.parse(json.loads(text))


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

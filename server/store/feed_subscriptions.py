"""Feed subscriptions: which instruments the live feeds are to follow."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from server.domain.calendar import to_nanoseconds
from server.domain.errors import NotFound
from server.domain.instruments import Instrument
from server.store.database import Database
from server.store.instruments import InstrumentStore
from server.store.paging import Page, cut, decode_token, encode_token
from server.store.records import to_datetime
from server.store.statements import Statements

_SQL = Statements.of("feed_subscriptions")
_QUERY = ("feed_subscriptions",)


@dataclass(frozen=True)
class FeedSubscription:
    """Instruments by key, in the order in which they were named, and who asked for them."""

    feed_subscription: str
    instruments: tuple[str, ...]
    user: str
    created_at: datetime


class FeedSubscriptionStore:
    """Feed subscriptions of the whole system; administrators see all. `wall` gives seconds since 1970 UTC."""

    def __init__(self, database: Database, wall: Callable[[], float] = time.time) -> None:
        self._database = database
        self._wall = wall

    async def create(self, user: str, instruments: Sequence[Instrument]) -> FeedSubscription:
        """A new subscription of at least one instrument, none twice."""
        name = uuid.uuid4().hex
        async with self._database.transaction() as transaction:
            created_at = await transaction.fetchval(_SQL["insert"], name, user)
            await transaction.execute(
                _SQL["insert_instruments"], name, [instrument.instrument_id for instrument in instruments]
            )
        return FeedSubscription(name, tuple(instrument.key for instrument in instruments), user, created_at)

    async def delete(self, name: str) -> None:
        """Ends a subscription. Raises NotFound."""
        async with self._database.transaction() as transaction:
            if not await transaction.execute(_SQL["delete"], name):
                raise NotFound(f"no feed subscription {name}", metadata={"resource": "feed_subscription", "id": name})

    async def instruments(self) -> list[Instrument]:
        """Every instrument that a subscription names or a living monitor session, each once, by number.

        Only the worker's role sees the sessions of all users.
        """
        rows = await self._database.fetch(_SQL["instruments"], datetime.fromtimestamp(self._wall(), UTC))
        return await InstrumentStore(self._database).by_numbers([row["instrument_id"] for row in rows])

    async def list(self, page_size: int, page_token: str = "") -> Page[FeedSubscription]:
        """Subscriptions, the oldest first."""
        after = decode_token(_QUERY, page_token, int, str)
        since, name = (to_datetime(int(after[0] or 0)), after[1]) if after else (to_datetime(0), "")
        rows = await self._database.fetch(_SQL["list"], since, name, page_size + 1)
        found = [
            FeedSubscription(row["feed_subscription"], tuple(row["keys"]), row["user_id"], row["created_at"])
            for row in rows
        ]
        items, last = cut(found, page_size)
        token = encode_token(_QUERY, [to_nanoseconds(last.created_at), last.feed_subscription]) if last else ""
        count = await self._database.fetchrow(_SQL["count"])
        return Page(items, token, count["count"] if count else 0)

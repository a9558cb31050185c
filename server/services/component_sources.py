"""Where the states of components come from."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import MappingProxyType
from typing import Protocol

from server.domain.calendar import to_nanoseconds
from server.domain.errors import Unavailable
from server.market.hub.feed import FeedState
from server.market.hub.hub import Hub
from server.services.components import DEGRADED, DOWN, HEALTHY, Reading, Source
from server.store.database import Database
from server.store.dead_letters import DeadLetter
from server.store.presence import LivingProcess
from server.store.redis import RedisClient
from server.store.worker_state import SlotHolder

_FRESH_NS = 300 * 10**9
_FEED_DETAIL = MappingProxyType(
    {
        FeedState.NONE: "no feed has run yet",
        FeedState.STALE: "the feed is silent",
        FeedState.ENDED: "",
        FeedState.LIVE: "",
    }
)


class StreamCount(Protocol):
    """Counts the streams of this process."""

    @property
    def count(self) -> int:
        """Open streams."""
        ...


def pool_counts(database: Database) -> dict[str, int]:
    """The pool of this process now."""
    pool = database.pool_state()
    return {
        "pool_minimum": pool.minimum,
        "pool_limit": pool.limit,
        "pool_size": pool.size,
        "pool_idle": pool.idle,
        "pool_in_use": pool.in_use,
        "pool_waiting": pool.waiting,
        "pool_utilization_percent": pool.utilization_percent,
    }


def database_source(database: Database) -> Source:
    """The database as this process sees it, with its pool."""

    async def read() -> Sequence[Reading]:
        await database.ping()
        counts = pool_counts(database)
        if counts["pool_waiting"]:
            return (Reading("database", DEGRADED, "callers wait for a connection", counts),)
        return (Reading("database", HEALTHY, "", counts),)

    return read


def redis_source(redis: RedisClient) -> Source:
    """Redis as this process sees it."""

    async def read() -> Sequence[Reading]:
        await redis.ping()
        return (Reading("redis", HEALTHY),)

    return read


def feed_source(hub: Hub) -> Source:
    """The feed, by what the hub hears of it."""

    async def read() -> Sequence[Reading]:
        state = hub.feed_state()
        shown = HEALTHY if state in {FeedState.LIVE, FeedState.ENDED} else DEGRADED
        return (Reading("feed", shown, _FEED_DETAIL[state], {"market_time_seconds": hub.market_time() // 10**9}),)

    return read


def api_source(name: str, hub: Hub, streams: StreamCount, started_at: int) -> Source:
    """This process since `started_at` (nanoseconds): its streams and the hub's tasks."""

    async def read() -> Sequence[Reading]:
        counts = hub.counts()
        failed = [task.name for task in hub.tasks() if not task.running]
        detail = f"tasks that do not run: {', '.join(failed)}" if failed else ""
        shown = {"streams": streams.count, "subscriptions": counts.open, "envelopes_sent": counts.sent}
        state, since = (DEGRADED, None) if failed else (HEALTHY, started_at)
        return (Reading(f"api/{name}", state, detail, shown, since),)

    return read


class SlotLeases(Protocol):
    """Who holds the worker's slots."""

    async def holders(self) -> Sequence[SlotHolder]:
        """The holders of all slots, former ones too."""
        ...


class Presence(Protocol):
    """The processes that say that they are alive."""

    async def living(self) -> Sequence[LivingProcess]:
        """Those alive. Raises Unavailable."""
        ...


def worker_source(leases: SlotLeases, presence: Presence) -> Source:
    """The worker's slots: down when nobody holds one any more, since the lease ran out."""

    async def read() -> Sequence[Reading]:
        holders, started = await leases.holders(), await _starts(presence, "worker")
        return [_of_holder(holder, started.get(holder.owner)) for holder in holders]

    return read


def _of_holder(holder: SlotHolder, started: int | None) -> Reading:
    name, counts = f"worker/{holder.slot}", {"fence": holder.fence}
    if holder.expired:
        return Reading(name, DOWN, "no worker holds the slot", counts, to_nanoseconds(holder.expires_at))
    return Reading(name, HEALTHY, "", counts, started)


async def _starts(presence: Presence, role: str) -> dict[str, int]:
    """When the role's processes began, nanoseconds by instance; of nobody while Redis is away."""
    try:
        living = await presence.living()
    except Unavailable:
        return {}
    return {item.instance: round(item.started_at * 1e9) for item in living if item.role == role and item.started_at}


class Letters(Protocol):
    """Messages that could not be read."""

    async def count(self) -> int:
        """How many are kept."""
        ...

    async def newest(self, count: int) -> Sequence[DeadLetter]:
        """At most `count` of them, the newest first."""
        ...


def dead_letters_source(letters: Letters) -> Source:
    """Messages that could not be read: degraded while new ones come, and healthy again 5 minutes after the last."""

    async def read() -> Sequence[Reading]:
        counts = {"dead_letters": await letters.count()}
        newest = await letters.newest(1)
        if not newest:
            return (Reading("dead-letters", HEALTHY, "", counts),)
        last = newest[0]
        if last.received_ns > time.time_ns() - _FRESH_NS:
            detail = f"messages of {last.source} cannot be read"
            return (Reading("dead-letters", DEGRADED, detail, counts, last.received_ns),)
        return (Reading("dead-letters", HEALTHY, "", counts, last.received_ns + _FRESH_NS),)

    return read


class Roles:
    """The roles that are alive in the whole system."""

    def __init__(self, presence: Presence, own: str) -> None:
        self._presence = presence
        self._own = own

    async def roles(self) -> Sequence[str]:
        """Role names, sorted. While Redis is away only this process's own is known."""
        return sorted({self._own, *(process.role for process in await self._living())})

    async def _living(self) -> Sequence[LivingProcess]:
        try:
            return await self._presence.living()
        except Unavailable:
            return ()

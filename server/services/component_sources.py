"""Where the states of components come from."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import MappingProxyType
from typing import Protocol

from server.domain.errors import Unavailable
from server.market.hub.feed import FeedState
from server.market.hub.hub import Hub
from server.services.components import DEGRADED, DOWN, HEALTHY, Reading, Source
from server.store.database import Database
from server.store.dead_letters import DeadLetterStore
from server.store.presence import LivingProcess, PresenceStore
from server.store.redis import RedisClient
from server.store.worker_state import LeaseStore

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


def api_source(name: str, hub: Hub, streams: StreamCount) -> Source:
    """This process: its streams and the hub's tasks."""

    async def read() -> Sequence[Reading]:
        counts = hub.counts()
        failed = [task.name for task in hub.tasks() if not task.running]
        detail = f"tasks that do not run: {', '.join(failed)}" if failed else ""
        shown = {"streams": streams.count, "subscriptions": counts.open, "envelopes_sent": counts.sent}
        return (Reading(f"api/{name}", DEGRADED if failed else HEALTHY, detail, shown),)

    return read


def worker_source(leases: LeaseStore) -> Source:
    """The worker's slots: down when nobody holds one any more."""

    async def read() -> Sequence[Reading]:
        return [
            Reading(f"worker/{holder.slot}", DOWN, "no worker holds the slot", {"fence": holder.fence})
            if holder.expired
            else Reading(f"worker/{holder.slot}", HEALTHY, "", {"fence": holder.fence})
            for holder in await leases.holders()
        ]

    return read


def dead_letters_source(letters: DeadLetterStore) -> Source:
    """Messages that could not be read: degraded while new ones come."""

    async def read() -> Sequence[Reading]:
        count = await letters.count()
        newest = await letters.newest(1)
        fresh = bool(newest) and newest[0].received_ns > time.time_ns() - _FRESH_NS
        detail = f"messages of {newest[0].source} cannot be read" if fresh else ""
        return (Reading("dead-letters", DEGRADED if fresh else HEALTHY, detail, {"dead_letters": count}),)

    return read


class Roles:
    """The roles that are alive in the whole system."""

    def __init__(self, presence: PresenceStore, own: str) -> None:
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

"""A ticker service as the predecessor has it: its channels and payloads, and a feed that listens to them."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace

from prometheus_client import CollectorRegistry

from server.market.feeds.run import FeedConfig, run_feed
from server.market.feeds.ticker.wiring import TickerRedis
from server.settings import Settings
from server.store.database import Database
from server.store.market_log import MarketLog
from server.store.redis import RedisClient
from strikeline.internal.v1 import log_pb2
from tests.support.waiting import eventually, source

OPEN_SECONDS = 1_764_560_700
"""2025-12-01 09:15 IST, a Monday, seconds since 1970 UTC."""


def polled(symbol: str = "NIFTY", **changes: object) -> dict[str, object]:
    """The quote that the service polls each second."""
    return {
        "symbol": symbol, "open": 26_100.0, "high": 26_140.5, "low": 26_080.0, "close": 26_123.45, "volume": 0,
        "ts": OPEN_SECONDS, **changes,
    }  # fmt: skip


def pushed(symbol: str = "NIFTY 50", **changes: object) -> dict[str, object]:
    """The tick of an index out of the broker's socket."""
    return {
        "symbol": symbol, "instrument_token": 256265, "last_price": 26_123.45, "volume": 0, "timestamp": OPEN_SECONDS,
        "ohlc": {"open": 26_100.0, "high": 26_140.5, "low": 26_080.0, "close": 26_050.1}, **changes,
    }  # fmt: skip


def option(**changes: object) -> dict[str, object]:
    """The tick of an option, without depth."""
    return {
        "symbol": "NIFTY", "token": 12_345_858, "tradingsymbol": "NIFTY25D0226000CE", "segment": "NFO-OPT",
        "exchange": "NFO", "strike": 26_000.0, "expiry": "2025-12-02", "type": "CE", "lot_size": 75, "tick_size": 0.05,
        "price": 182.35, "volume": 1_200, "oi": 75_000, "iv": 0.09, "delta": 9, "gamma": 9, "theta": 9, "vega": 9,
        "ts": OPEN_SECONDS, "is_mock": False, **changes,
    }  # fmt: skip


def depth(levels: int = 5) -> dict[str, object]:
    """Order book with so many levels, padded with zeros up to five as the broker does."""
    padding = [{"quantity": 0, "price": 0, "orders": 0}] * (5 - levels)
    bids = [{"quantity": 75 * (n + 1), "price": round(182.3 - 0.05 * n, 2), "orders": n + 1} for n in range(levels)]
    asks = [{"quantity": 150 * (n + 1), "price": round(182.4 + 0.05 * n, 2), "orders": n + 1} for n in range(levels)]
    return {"buy": bids + padding, "sell": asks + padding}


def encoded(message: dict[str, object]) -> bytes:
    return json.dumps(message).encode()


@dataclass
class TickerSystem:
    """A running ticker feed with the publisher's side of it."""

    redis: RedisClient
    log: MarketLog
    prefix: str
    registry: CollectorRegistry
    feed: asyncio.Task[object]

    async def publish(self, channel: str, *payloads: bytes | dict[str, object]) -> None:
        for payload in payloads:
            data = payload if isinstance(payload, bytes) else encoded(payload)
            await self.redis.run(lambda client, data=data: client.publish(f"{self.prefix}:{channel}", data))

    async def entries(self) -> list[log_pb2.LogEntry]:
        return [log_pb2.LogEntry.FromString(payload) for _, payload in await self.log.range(0, "0-0", "+", 100_000)]

    async def until(self, condition: Callable[[list[log_pb2.LogEntry]], bool]) -> list[log_pb2.LogEntry]:
        """The log's entries as soon as they satisfy a condition."""

        async def look() -> list[log_pb2.LogEntry] | None:
            return found if condition(found := await self.entries()) else None

        return await eventually(look, what=source(condition), beside=self.feed)

    async def subscribers(self) -> int:
        found = await self.redis.run(lambda client: client.pubsub_numsub(f"{self.prefix}:options"))
        return int(found[0][1])

    async def until_subscribed(self, count: int = 1) -> None:
        async def look() -> bool:
            return await self.subscribers() == count

        await eventually(look, what=f"{count} subscribers", beside=self.feed)

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0

    async def until_metric(self, name: str, value: float, **labels: str) -> None:
        await eventually(lambda: self.metric(name, **labels) >= value, what=f"{name} {value}", beside=self.feed)


@asynccontextmanager
async def ticker_feed(
    database: Database, redis: RedisClient, settings: Settings, publisher: RedisClient | None = None
) -> AsyncIterator[TickerSystem]:
    """A ticker feed on channels of its own namespace; it ends as by a signal when the block is left."""
    settings = replace(settings, ticker_channel_prefix=f"{settings.namespace}:ticker")
    log, registry = MarketLog(redis, settings.namespace), CollectorRegistry()
    running = run_feed(
        FeedConfig("ticker"), settings=settings, database=database, log=log, registry=registry,
        ticker=TickerRedis(publisher or redis, redis),
    )  # fmt: skip
    feed = asyncio.create_task(running)
    system = TickerSystem(redis, log, settings.ticker_channel_prefix, registry, feed)
    try:
        await system.until_subscribed()
        yield system
    finally:
        feed.cancel()
        with suppress(asyncio.CancelledError):
            await feed

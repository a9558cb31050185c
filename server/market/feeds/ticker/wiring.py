"""Makes the ticker feed of its parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry

from server.domain.calendar import MarketCalendar
from server.market.dead_letters import DeadLetters
from server.market.feeds.contracts import ContractBook, ContractRules
from server.market.feeds.directory import Directory
from server.market.feeds.metrics import TickerMetrics
from server.market.feeds.ports import Clock
from server.market.feeds.ticker.admission import Admission
from server.market.feeds.ticker.decoder import Decoder
from server.market.feeds.ticker.following import Following
from server.market.feeds.ticker.inbox import Inbox
from server.market.feeds.ticker.listener import Listener
from server.market.feeds.ticker.messages import Channel
from server.market.feeds.ticker.outages import OutageLog
from server.market.feeds.ticker.quotes import QuoteReader
from server.market.feeds.ticker.runner import Ticker, TickerParts, TickerTiming
from server.market.feeds.writer import BatchWriter
from server.settings import FOLLOWS, SettingError, Settings
from server.store.calendar import CalendarStore
from server.store.database import Database
from server.store.dead_letters import DeadLetterStore
from server.store.feed_runs import FeedRunStore, OutageReason
from server.store.feed_subscriptions import FeedSubscriptionStore
from server.store.pubsub import publish, subscribed
from server.store.redis import RedisClient

CALENDARS: Final = ("NSE", "MCX", "CDS")


@dataclass(frozen=True)
class TickerRedis:
    """`publisher` is where the publisher's channels are, `own` where this system keeps its streams."""

    publisher: RedisClient
    own: RedisClient


@dataclass(frozen=True)
class TickerBase:
    """What the ticker feed has in common with the other feeds."""

    database: Database
    clock: Clock
    calendar: MarketCalendar
    rules: ContractRules
    book: ContractBook
    directory: Directory
    writer: BatchWriter
    source: str


async def make_ticker(base: TickerBase, settings: Settings, redis: TickerRedis, registry: CollectorRegistry) -> Ticker:
    """The feed, ready to run. Raises SettingError for a `ticker_follow` that it does not know."""
    if settings.ticker_follow not in FOLLOWS:
        raise SettingError(f"STRIKELINE_TICKER_FOLLOW must be one of {', '.join(FOLLOWS)}")
    metrics, prefix = TickerMetrics(registry), settings.ticker_channel_prefix
    outages = _outages(base, metrics)
    following = _following(base, redis.publisher, prefix, everything=settings.ticker_follow == "all")
    inbox = Inbox(settings.ticker_queue_messages, metrics)
    parts = TickerParts(
        inbox,
        _listener(base, redis.publisher, prefix, inbox, metrics, outages),
        await _decoder(base, settings, redis.own, metrics, following),
        base.directory,
        base.writer,
        outages,
        following,
        base.calendar,
        base.clock,
    )
    return Ticker(parts, TickerTiming(settings.ticker_flush_interval, settings.stale_after))


def _outages(base: TickerBase, metrics: TickerMetrics) -> OutageLog:
    return OutageLog(
        FeedRunStore(base.database),
        base.calendar,
        metrics,
        run=base.writer.run,
        source=base.source,
        market_time=lambda: base.writer.market_time,
    )


def _following(base: TickerBase, redis: RedisClient, prefix: str, *, everything: bool) -> Following:
    return Following(
        FeedSubscriptionStore(base.database),
        lambda event: publish(redis, f"{prefix}:{Channel.EVENTS}", event),
        everything=everything,
    )


def _listener(
    base: TickerBase, redis: RedisClient, prefix: str, inbox: Inbox, metrics: TickerMetrics, outages: OutageLog
) -> Listener:
    channels = [f"{prefix}:{channel}" for channel in Channel]
    return Listener(
        lambda: subscribed(redis, channels),
        prefix,
        inbox,
        base.clock,
        metrics,
        lost=lambda: outages.lost(OutageReason.DISCONNECTED),
    )


async def _decoder(
    base: TickerBase, settings: Settings, redis: RedisClient, metrics: TickerMetrics, following: Following
) -> Decoder:
    calendars = {name: await CalendarStore(base.database).load(name) for name in CALENDARS}
    letters = DeadLetterStore(redis, settings.namespace, settings.dead_letters_max)
    return Decoder(
        QuoteReader(base.rules),
        base.book,
        Admission(calendars, base.clock.wall_ns, following.follows),
        following,
        DeadLetters(letters, lambda source: metrics.dead_letters.labels(source).inc()),
        metrics,
        settings.ticker_channel_prefix,
    )

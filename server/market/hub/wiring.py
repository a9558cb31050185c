"""Makes a hub out of settings, store and Redis."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from google.protobuf.message import Message

from server.domain.calendar import MarketCalendar
from server.domain.errors import FailedPrecondition
from server.market.checkpoints import unpack
from server.market.clock import Clock
from server.market.hub.chain_intake import SlotState
from server.market.hub.channel import QueueLimits
from server.market.hub.hub import Hub, HubSettings
from server.market.hub.intake import BookState, Logs, Stores
from server.market.hub.option_buckets import Pieces
from server.market.hub.position import EntryId
from server.market.hub.redis_streams import ShardedLog, SlotLog
from server.market.hub.strategies import StoredStrategies
from server.market.slot_plan import bars_output, bars_slot, chains_output, chains_slot, m2m_output
from server.settings import Settings
from server.store.bars import BarStore
from server.store.database import Database
from server.store.expiry_listings import ExpiryListingStore
from server.store.instruments import InstrumentStore
from server.store.legs import LegStore
from server.store.m2m import M2mStore
from server.store.market_log import MarketLog, OutputLog
from server.store.option_pieces import OptionPieceStore
from server.store.redis import RedisClient
from server.store.strategies import StrategyStore
from server.store.worker_state import CheckpointStore
from strikeline.internal.v1 import log_pb2

_SHORTEST_SECRET = 32


def make_hub(
    settings: Settings,
    database: Database,
    redis: RedisClient,
    calendars: Mapping[str, MarketCalendar],
    clock: Clock | None = None,
) -> Hub:
    """The hub of an api process, to be entered. Raises FailedPrecondition when the stream secret is too short."""
    if len(settings.stream_secret) < _SHORTEST_SECRET:
        raise FailedPrecondition(
            f"STRIKELINE_STREAM_SECRET needs at least {_SHORTEST_SECRET} characters",
            metadata={"resource": "stream_secret", "state": "TOO_SHORT"},
        )
    return Hub(logs_of(settings, redis), _stores(settings, database, calendars), hub_settings(settings), clock)


def hub_settings(settings: Settings) -> HubSettings:
    """The hub's part of the settings."""
    limits = QueueLimits(
        events=settings.subscriber_queue_events,
        size=settings.subscriber_queue_bytes,
        age=settings.subscriber_queue_age,
    )
    return HubSettings(
        secret=settings.stream_secret,
        limits=limits,
        stale_after=settings.stale_after,
        stall_timeout=settings.subscriber_stall_timeout,
    )


def logs_of(settings: Settings, redis: RedisClient) -> Logs:
    """The streams that the hub reads."""
    namespace, shards = settings.namespace, settings.tick_shards
    log = MarketLog(redis, namespace, shards, settings.log_max_entries)

    def output(name: str, kind: type[Message]) -> SlotLog:
        return SlotLog(OutputLog(redis, namespace, name), kind)

    return Logs(
        log=ShardedLog(log, shards),
        bars=[output(bars_output(shard), log_pb2.BarsEntry) for shard in range(shards)],
        m2m=[output(m2m_output(number), log_pb2.M2mEntry) for number in range(settings.m2m_slots)],
        chains=[output(chains_output(shard), log_pb2.ChainsEntry) for shard in range(shards)],
    )


def _stores(settings: Settings, database: Database, calendars: Mapping[str, MarketCalendar]) -> Stores:
    checkpoints, pieces = CheckpointStore(database), OptionPieceStore(database)

    async def states(name: Callable[[int], str]) -> list[SlotState]:
        found = [await checkpoints.load(name(slot)) for slot in range(settings.tick_shards)]
        return [
            SlotState(slot, EntryId.parse(it.position), [unpack(payload) for payload in (it.base, *it.deltas)])
            for slot, it in enumerate(found)
            if it is not None
        ]

    async def book_states() -> list[BookState]:
        return [BookState(state.place, state.sections) for state in await states(bars_slot)]

    async def chain_states() -> list[SlotState]:
        return await states(chains_slot)

    return Stores(
        instruments=InstrumentStore(database),
        calendars=calendars,
        bars=BarStore(database),
        strategies=StoredStrategies(StrategyStore(database), LegStore(database), M2mStore(database)),
        book_states=book_states,
        chain_states=chain_states,
        listings=ExpiryListingStore(database).listed,
        pieces=Pieces(pieces.of_contracts, pieces.minutes),
    )

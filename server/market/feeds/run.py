"""Entry of the feed role: `python -m server feed synthetic`, `feed replay PATH…` and `feed ticker`."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import date
from typing import Final, Literal

from prometheus_client import CollectorRegistry

from server.domain.calendar import MarketCalendar, to_nanoseconds
from server.domain.instruments import InstrumentKind
from server.domain.timeframes import MINUTE_NS, ONE_MINUTE, Timeframe
from server.market.feeds.contracts import ContractBook, ContractRules
from server.market.feeds.directory import Directory
from server.market.feeds.expiries import ExpiryRules
from server.market.feeds.flow import FlowControl, FlowLimits
from server.market.feeds.kite_instruments import Dump, ImportReport, import_instruments
from server.market.feeds.metrics import FeedMetrics
from server.market.feeds.ports import Clock, LogPort, SystemClock
from server.market.feeds.replay.pace import Pacer
from server.market.feeds.replay.paths import ReplayPath
from server.market.feeds.replay.recording import ReplayContext
from server.market.feeds.replay.report import ReplayReport, ReplaySummary
from server.market.feeds.replay.runner import Replay, ReplayOutputs
from server.market.feeds.resume import last_market_time
from server.market.feeds.synthetic.runner import Synthetic, SyntheticPlan
from server.market.feeds.synthetic.world import FUTURE_MONTHS
from server.market.feeds.ticker.wiring import TickerBase, TickerRedis, make_ticker
from server.market.feeds.writer import BatchWriter, ShardMap
from server.market.slot_plan import all_slots
from server.settings import Settings
from server.store.bars import BarQuery, BarStore
from server.store.calendar import CalendarStore
from server.store.database import Database
from server.store.expiry_listings import ExpiryListingStore
from server.store.instruments import ContractFilter, InstrumentStore
from server.store.records import IN_CONTRACTS, Records
from server.store.worker_state import CheckpointStore

CALENDAR: Final = "NSE"
"""The calendar of all recordings and of the synthetic feed."""

_RESUMED_BY: Final = "NIFTY"
_MOST_FUTURES: Final = 1_000

SYNTHETIC: Final = "synthetic"
REPLAY: Final = "replay"
TICKER: Final = "ticker"


@dataclass(frozen=True)
class FeedConfig:
    """What a feed does.

    `paths` (each `FILE` or `FILE=INSTRUMENT`) and `speed` are a replay's: recorded seconds a second, None for as fast
    as the worker follows. `plan` is the synthetic feed's.
    """

    kind: Literal["synthetic", "replay", "ticker"]
    paths: tuple[str, ...] = ()
    speed: float | None = 1.0
    plan: SyntheticPlan = field(default_factory=SyntheticPlan)


async def run_feed(
    config: FeedConfig,
    *,
    settings: Settings,
    database: Database,
    log: LogPort,
    registry: CollectorRegistry,
    clock: Clock | None = None,
    ticker: TickerRedis | None = None,
) -> ReplaySummary | None:
    """Runs a feed: a replay until its files are over (-> what it did), the others until they are cancelled.

    `database` is open as the worker's role. Raises UnknownFormat or ValueError for paths that cannot be replayed.
    """
    files = [ReplayPath.parse(path) for path in config.paths]
    feed = await _Feed.open(config.kind, settings, database, log, registry, clock or SystemClock())
    if config.kind == REPLAY:
        return await feed.replay(files, config.speed)
    if config.kind == TICKER:
        await feed.ticker(settings, _given(ticker), registry)
        return None
    await feed.synthetic(config.plan)
    return None


@dataclass(frozen=True)
class _Feed:
    """The parts that both feeds are made of."""

    kind: str
    database: Database
    log: LogPort
    clock: Clock
    metrics: FeedMetrics
    calendar: MarketCalendar
    shards: ShardMap
    writer: BatchWriter

    @classmethod
    async def open(
        cls,
        kind: str,
        settings: Settings,
        database: Database,
        log: LogPort,
        registry: CollectorRegistry,
        clock: Clock,
    ) -> _Feed:
        metrics, shards = FeedMetrics(registry), ShardMap(settings.tick_shards)
        limits = FlowLimits(frozenset(all_slots(settings)), settings.feed_max_ahead_ticks, settings.log_max_entries)
        flow = FlowControl(log, CheckpointStore(database).positions, limits, clock, metrics)
        writer = BatchWriter(log, shards, flow, clock, metrics, source=kind, run=uuid.uuid4().hex)
        calendar = await CalendarStore(database).load(CALENDAR)
        return cls(kind, database, log, clock, metrics, calendar, shards, writer)

    @property
    def rules(self) -> ContractRules:
        return ContractRules(ExpiryRules(self.calendar))

    def directory(self, book: ContractBook) -> Directory:
        return Directory(
            InstrumentStore(self.database), ExpiryListingStore(self.database), book, self.shards, self.kind
        )

    async def replay(self, files: list[ReplayPath], speed: float | None) -> ReplaySummary:
        context = ReplayContext(self.rules, ContractBook(), ReplayReport())
        outputs = ReplayOutputs(
            self.writer,
            Pacer(self.writer, self.clock, self.calendar, speed),
            self.directory(context.book),
            self._store_larger,
            self._import,
            self.metrics,
        )
        return await Replay(files, context, outputs).run()

    async def ticker(self, settings: Settings, redis: TickerRedis, registry: CollectorRegistry) -> None:
        book = ContractBook()
        base = TickerBase(
            self.database, self.clock, self.calendar, self.rules, book, self.directory(book), self.writer, TICKER
        )
        await (await make_ticker(base, settings, redis, registry)).run()

    async def synthetic(self, plan: SyntheticPlan) -> None:
        feed = Synthetic(plan, self.calendar, self.rules, self.writer, self.directory, self.clock)
        await feed.run(await last_market_time(self.log, SYNTHETIC) or await self._last_stored_time())

    async def _last_stored_time(self) -> int | None:
        """End of the newest stored minute of a synthetic future, for when the log was emptied; None without one."""
        wanted = ContractFilter(_RESUMED_BY, kind=InstrumentKind.FUTURE)
        futures = await InstrumentStore(self.database).derivative_contracts(wanted, _MOST_FUTURES)
        newest = [0]
        for future in [row for row in futures.items if row.provenance == SYNTHETIC][-FUTURE_MONTHS:]:
            query = BarQuery(instrument_id=future.instrument_id, timeframe=ONE_MINUTE, ascending=False)
            bars = await BarStore(self.database).list_bars(query, self.calendar, 1)
            newest += [to_nanoseconds(bar.open_time) + MINUTE_NS - 1 for bar in bars.items]
        return max(newest) or None

    async def _store_larger(self, timeframe: Timeframe, rows: Records, *, in_contracts: bool) -> None:
        source = REPLAY + IN_CONTRACTS if in_contracts else REPLAY
        async with self.database.transaction() as transaction:
            await BarStore(self.database).store_larger(transaction, timeframe, source, rows)

    async def _import(self, data: bytes, day: date | None) -> ImportReport:
        listings = ExpiryListingStore(self.database)
        return await import_instruments(data, InstrumentStore(self.database), listings, Dump(day))


def _given(ticker: TickerRedis | None) -> TickerRedis:
    if ticker is None:
        raise ValueError("the ticker feed needs the Redis that it listens to")
    return ticker

"""What the hub knows, and how each entry of the logs changes it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from server.domain.calendar import MarketCalendar, calendar_of
from server.domain.timeframes import Timeframe
from server.market.book import Book
from server.market.clock import Clock
from server.market.hub.bar_series import BarClock, BarSeries
from server.market.hub.bars import ToldBars
from server.market.hub.board import Board
from server.market.hub.chain_intake import ChainIntake, ChainSources, MainLog, SlotState
from server.market.hub.channel import LARGEST_BATCH, Channel, QueueLimits
from server.market.hub.depths import DepthTopic
from server.market.hub.directory import Directory, Instruments
from server.market.hub.expiry_labels import Listings
from server.market.hub.feed import FeedWatch
from server.market.hub.folding import Folder
from server.market.hub.history import BarHistory
from server.market.hub.m2m import M2mTopic, StrategyReader
from server.market.hub.notices import Condition
from server.market.hub.option_buckets import Pieces
from server.market.hub.position import ORIGIN, EntryId, Position, replace
from server.market.hub.readers import Reader, Source
from server.market.hub.series_topic import SeriesTopic, ToldSeries
from server.market.hub.signal_topics import SignalTopics
from server.market.hub.signals import SignalKind, ToldSignals
from server.market.hub.streams import Stream
from server.market.hub.ticks import TicksTopic
from server.market.records import BAR
from server.market.sessions import SessionTable
from server.market.slot_plan import bars_slot, m2m_slot
from server.store.bars import BarStore
from strikeline.internal.v1 import log_pb2
from strikeline.v1 import stream_pb2

_MAIN_CALENDAR = "NSE"

_WITHOUT_PRESENT = frozenset({log_pb2.LOG_ENTRY_KIND_UNSPECIFIED, log_pb2.LOG_ENTRY_KIND_HISTORY})
"""Kinds of which nothing comes here: what could not be read, and past minutes."""


@dataclass(frozen=True, slots=True)
class Logs:
    """The Redis streams: the merged log, and the worker's output by slot."""

    log: Stream
    bars: Sequence[Stream]
    m2m: Sequence[Stream]
    chains: Sequence[Stream]


@dataclass(frozen=True, slots=True)
class BookState:
    """A checkpoint of a part of the book: the log up to `place` is in its `sections`, base first."""

    place: EntryId
    sections: Sequence[Mapping[str, bytes]]


@dataclass(frozen=True, slots=True)
class Stores:
    """What the hub reads from the database. `calendars` are by name; `_states` reads the worker's checkpoints."""

    instruments: Instruments
    calendars: Mapping[str, MarketCalendar]
    bars: BarStore
    strategies: StrategyReader
    book_states: Callable[[], Awaitable[Sequence[BookState]]]
    chain_states: Callable[[], Awaitable[Sequence[SlotState]]]
    listings: Listings
    pieces: Pieces


class Intake:
    """Keeps the present state and passes events on to the channels of its topics. `wake` wakes every open stream."""

    def __init__(
        self,
        logs: Logs,
        stores: Stores,
        limits: QueueLimits,
        stale_after: float,
        clock: Clock,
        wake: Callable[[], None],
    ) -> None:
        self._logs, self._stores, self._limits, self._clock, self._wake = logs, stores, limits, clock, wake
        sessions = SessionTable(stores.calendars)
        self.book = Book(sessions)
        self.directory = Directory(stores.instruments, sessions)
        self.watch = FeedWatch(stores.calendars[_MAIN_CALENDAR], clock, stale_after, self._tell)
        self.ticks = TicksTopic(logs.log, self._channel(1), self.book, self.directory)
        self.m2m = M2mTopic(logs.m2m, self._channel(len(logs.m2m)), stores.strategies)
        self.options = ChainIntake(
            ChainSources(logs.chains, stores.chain_states, stores.listings, stores.pieces),
            MainLog(self.directory, self._calendar_of, self.book.runs, self._reached),
            self._channel,
        )
        self._board = Board()
        self._bars: dict[tuple[str, bool], SeriesTopic] = {}
        self._depths: dict[bool, DepthTopic] = {}
        self.signals = SignalTopics(self._signals_topic)
        self._bars_head: tuple[Position, int] = ((ORIGIN,) * len(logs.bars), 0)
        self._bars_clock = BarClock(self.watch.present)

    async def prepared(self) -> dict[str, Reader]:
        """Reads the state and everything that the streams hold now; a Redis that is away is read later."""
        await self.directory.load()
        states = await self._stores.book_states()
        for state in states:
            for sections in state.sections:
                self.book.restore(sections)
        place = min((state.place for state in states), default=ORIGIN)
        readers = self._readers(place, await self.options.restore())
        self.watch.restore(self.book.runs)
        # The log last: it has then every entry that the others' entries came of, and none of them need wait for it.
        newest = {name: await reader.newest() for name, reader in reversed(readers.items())}
        for name, reader in readers.items():
            await reader.catch_up(newest[name])
        for channel in self.channels():
            channel.append(channel.head.position, channel.head.market_time or self.watch.market_time, None)
        self._bars_head = (self._bars_head[0], self._bars_head[1] or self.watch.market_time)
        self._bars_clock.begin = self.watch.market_time
        return readers

    def _readers(self, place: EntryId, chain_places: Sequence[EntryId]) -> dict[str, Reader]:
        sources = [Source("log", self._logs.log, self._log_entry, self._log_skipped, self._lost)]
        for slot, stream in enumerate(self._logs.bars):
            skip = partial(self._bars_moved, slot, market_time=0)
            sources.append(Source(bars_slot(slot), stream, partial(self._bars_entry, slot), skip, self._lost))
        for slot, stream in enumerate(self._logs.m2m):
            skip = partial(self._m2m_skipped, slot)
            sources.append(Source(m2m_slot(slot), stream, partial(self._m2m_entry, slot), skip, self._lost))
        places = [place] + [ORIGIN] * (len(sources) - 1) + list(chain_places)
        sources += self.options.readers(self._lost)
        return {
            source.name: Reader(source, start, self.watch, self._clock)
            for source, start in zip(sources, places, strict=True)
        }

    async def _log_entry(self, place: EntryId, payloads: tuple[bytes, ...]) -> None:
        entries = [log_pb2.LogEntry.FromString(payload) for payload in payloads]
        head = entries[0]
        if head.kind == log_pb2.LOG_ENTRY_KIND_STRATEGY_CHANGED:
            await self.directory.learn(np.array([leg.instrument for leg in head.strategy.legs], dtype=np.int32))
            self.m2m.learn(head.strategy, self.directory.key)
            self._log_skipped(place)
            return
        if head.kind in _WITHOUT_PRESENT:
            self._log_skipped(place)
            return
        self.watch.hear(head)
        if head.kind == log_pb2.LOG_ENTRY_KIND_TICKS:
            depths = await self.ticks.apply(place, entries)
            for topic in self._depths.values():
                topic.apply(place, self.ticks.channel.head.market_time, depths)
        else:
            self._run_marker(head)
            self._log_skipped(place, head.market_time)
        self.watch.look()

    def _run_marker(self, entry: log_pb2.LogEntry) -> None:
        if entry.kind == log_pb2.LOG_ENTRY_KIND_RUN_STARTED:
            self.book.start_run(entry.run, entry.source)
        else:
            self.book.end_run(entry.run)

    def _log_skipped(self, place: EntryId, market_time: int = 0) -> None:
        for channel in (self.ticks.channel, *(topic.channel for topic in self._depths.values())):
            channel.append((place,), market_time, None)

    async def _bars_entry(self, slot: int, place: EntryId, payloads: tuple[bytes, ...]) -> None:
        entry = log_pb2.BarsEntry.FromString(payloads[0])
        self._bars_clock.hear(entry.run, entry.market_time)
        await self._begin(entry)
        self._board.apply(entry.run, np.frombuffer(entry.bars, BAR))
        self._bars_moved(slot, place, market_time=entry.market_time)
        for topic in self._topics_of_bars():
            topic.apply(slot, place, entry)
            if entry.session_ended:
                topic.channel.notices.add(
                    stream_pb2.STREAM_CONDITION_MARKET_CLOSED, "the session is over", topic.channel.head
                )
        if entry.session_ended:
            self._wake()

    async def _begin(self, entry: log_pb2.BarsEntry) -> None:
        """Nothing is taken in of the entry while what it begins with cannot be read."""
        begun: list[SeriesTopic] = []
        while fresh := [it for it in self._topics_of_bars() if it not in begun and not it.knows(entry.run)]:
            for topic in fresh:
                await topic.begin(entry.run, entry.market_time)
                begun.append(topic)

    def _bars_moved(self, slot: int, place: EntryId, *, market_time: int) -> None:
        position, known = self._bars_head
        self._bars_head = (replace(position, slot, place), market_time or known)

    def _m2m_skipped(self, slot: int, place: EntryId) -> None:
        channel = self.m2m.channel
        channel.append(replace(channel.head.position, slot, place), 0, None)

    async def _m2m_entry(self, slot: int, place: EntryId, payloads: tuple[bytes, ...]) -> None:
        # The legs that a sample names were told by the log, which may be read a little later.
        await self._reached(place)
        await self.m2m.apply(slot, place, log_pb2.M2mEntry.FromString(payloads[0]))

    async def _reached(self, place: EntryId) -> None:
        await self.ticks.channel.reached((place,))

    def bars(self, timeframe: Timeframe, *, closed_only: bool) -> SeriesTopic:
        """The topic of one timeframe, made at its first use."""
        topic = self._bars.get((timeframe.name, closed_only))
        if topic is None:
            series = self._bar_series(timeframe, BarHistory(self._stores.bars, self._calendar_of))
            told = ToldBars(series, self.directory.key, closed_only=closed_only)
            topic = self._bars[(timeframe.name, closed_only)] = self._series_topic(told)
        return topic

    def _signals_topic(self, kind: SignalKind) -> SeriesTopic:
        history = BarHistory(self._stores.bars, self._calendar_of)
        bars = self._bar_series(kind.timeframe, history)
        return self._series_topic(ToldSignals(bars, history, self.directory.instrument, kind))

    def _series_topic(self, told: ToldSeries) -> SeriesTopic:
        channel = self._channel(len(self._logs.bars))
        position, market_time = self._bars_head
        channel.append(position, market_time, None)
        return SeriesTopic(self._logs.bars, channel, self._board, told)

    def _bar_series(self, timeframe: Timeframe, history: BarHistory) -> BarSeries:
        return BarSeries(Folder(timeframe, self._calendar_of), history, self._bars_clock)

    def _topics_of_bars(self) -> list[SeriesTopic]:
        return [*self._bars.values(), *self.signals.all()]

    def depths(self, *, analysis: bool) -> DepthTopic:
        """The topic of order books with or without analysis, made at its first use."""
        topic = self._depths.get(analysis)
        if topic is None:
            channel, head = self._channel(1), self.ticks.channel.head
            channel.append(head.position, head.market_time, None)
            topic = DepthTopic(self._logs.log, channel, self.book, self.directory, analysis=analysis)
            self._depths[analysis] = topic
        return topic

    def _channel(self, streams: int, largest_batch: int = LARGEST_BATCH) -> Channel:
        return Channel(self._limits, self._clock, streams, largest_batch)

    def channels(self) -> list[Channel]:
        """The channels of all topics."""
        return [
            self.ticks.channel,
            self.m2m.channel,
            *self.options.channels,
            *(topic.channel for topic in self._topics_of_bars()),
            *(topic.channel for topic in self._depths.values()),
        ]

    def _calendar_of(self, instrument_id: int) -> MarketCalendar:
        instrument = self.directory.instrument(instrument_id)
        return self._stores.calendars[calendar_of(instrument.exchange) if instrument else _MAIN_CALENDAR]

    def _tell(self, condition: Condition, detail: str) -> None:
        by_session = condition == stream_pb2.STREAM_CONDITION_MARKET_CLOSED and not self.watch.run_ended
        # Of a session's end the bars are told by the worker, behind the last one.
        told_by_worker = [topic.channel for topic in self._topics_of_bars()] if by_session else []
        channels = [channel for channel in self.channels() if channel not in told_by_worker]
        for channel in channels:
            channel.notices.add(condition, detail, channel.head)
        self._wake()

    def _lost(self) -> None:
        for channel in self.channels():
            channel.restart()
        self._wake()

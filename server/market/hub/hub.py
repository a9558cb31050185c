"""The hub of one process: reads the logs, keeps the present state, and serves subscriptions."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Self

import numpy as np

from server.domain.calendar import MarketCalendar, calendar_of
from server.domain.errors import Aborted, FieldViolation, InvalidArgument, Unavailable
from server.domain.timeframes import TIMEFRAMES, Timeframe
from server.market.book import Book
from server.market.hub import bars, m2m, ticks
from server.market.hub.bars import BarsTopic
from server.market.hub.board import Board
from server.market.hub.channel import FLUSH_INTERVALS, Channel, QueueLimits
from server.market.hub.clock import Clock, SystemClock
from server.market.hub.delivery import Delivery, Desk
from server.market.hub.directory import Directory, Instruments
from server.market.hub.feed import FeedState, FeedWatch
from server.market.hub.folding import Folder
from server.market.hub.history import BarHistory
from server.market.hub.m2m import M2mTopic, StrategyReader
from server.market.hub.notices import Condition
from server.market.hub.options import DeliveryOptions, Subscriber
from server.market.hub.position import ORIGIN, EntryId
from server.market.hub.quotes import Quote, quote_of
from server.market.hub.readers import Reader, Source
from server.market.hub.registry import StreamCounts, StreamRecord, StreamRegistry
from server.market.hub.streams import Stream
from server.market.hub.supervisor import Supervisor, TaskState
from server.market.hub.ticks import TicksTopic
from server.market.hub.tokens import TokenSealer
from server.market.hub.topic import ItemOutcome, Subscription, Topic
from server.market.records import BAR
from server.market.sessions import SessionTable
from server.store.bars import BarStore
from strikeline.internal.v1 import log_pb2
from strikeline.v1 import stream_pb2

_TICK = 0.25
_MAIN_CALENDAR = "NSE"


@dataclass(frozen=True, slots=True)
class Logs:
    """The Redis streams: the merged log, and the worker's output by slot."""

    log: Stream
    bars: Sequence[Stream]
    m2m: Sequence[Stream]


@dataclass(frozen=True, slots=True)
class BookState:
    """A checkpoint of a part of the book: the log up to `place` is in its `sections`, base first."""

    place: EntryId
    sections: Sequence[Mapping[str, bytes]]


@dataclass(frozen=True, slots=True)
class Stores:
    """What the hub reads from the database. `calendars` are by name; `book_states` reads the worker's checkpoints."""

    instruments: Instruments
    calendars: Mapping[str, MarketCalendar]
    bars: BarStore
    strategies: StrategyReader
    book_states: Callable[[], Awaitable[Sequence[BookState]]]


@dataclass(frozen=True, slots=True)
class HubSettings:
    """`secret` seals resume tokens. Times are seconds; a client that takes nothing for `stall_timeout` is given up."""

    secret: str
    limits: QueueLimits
    stale_after: float = 3.0
    stall_timeout: float = 30.0


class Hub:
    """Serves streams between entering and leaving its context.

    Subscriptions are asynchronous generators of ready envelopes; close them (`aclose`) when the client leaves.
    """

    def __init__(self, logs: Logs, stores: Stores, settings: HubSettings, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._logs, self._stores, self._settings = logs, stores, settings
        self._registry = StreamRegistry()
        self._desk = Desk(TokenSealer(settings.secret), self._registry, self._clock, settings.stall_timeout)
        sessions = SessionTable(stores.calendars)
        self._book = Book(sessions)
        self.directory = Directory(stores.instruments, sessions)
        self._ticks = TicksTopic(logs.log, self._channel(1), self._book, self.directory)
        self._m2m = M2mTopic(logs.m2m, self._channel(len(logs.m2m)), stores.strategies)
        self._board = Board()
        self._bars: dict[tuple[str, bool], BarsTopic] = {}
        self._bars_head = ([ORIGIN] * len(logs.bars), 0)
        self._watch = FeedWatch(stores.calendars[_MAIN_CALENDAR], self._clock, settings.stale_after, self._tell)
        self._supervisor = Supervisor(self._clock)
        self._stack = AsyncExitStack()
        self._draining = False

    async def __aenter__(self) -> Self:
        readers = await self._prepared()
        await self._stack.enter_async_context(self._supervisor)
        for name, reader in readers.items():
            self._supervisor.start(f"hub/{name}", reader.run)
        for interval in FLUSH_INTERVALS:
            if interval:
                self._supervisor.start(f"hub/flush-{round(interval * 1000)}", self._flushing(interval))
        self._supervisor.start("hub/clock", self._ticking)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
        for stream in self._registry.all():
            stream.end(_draining())

    def subscribe_ticks(
        self, instruments: Sequence[str], options: DeliveryOptions, subscriber: Subscriber
    ) -> AsyncGenerator[bytes, None]:
        """Every tick of the instruments, as StreamTicksResponse messages."""
        return self._market_data(self._ticks, ticks.METHOD, instruments, options, subscriber)

    def subscribe_bars(
        self,
        instruments: Sequence[str],
        timeframe: str,
        options: DeliveryOptions,
        subscriber: Subscriber,
        *,
        closed_only: bool = False,
    ) -> AsyncGenerator[bytes, None]:
        """The bars of the instruments as they change, as StreamBarsResponse messages.

        Raises InvalidArgument (TIMEFRAME_UNKNOWN).
        """
        topic = self._bars_topic(_timeframe(timeframe), closed_only=closed_only)
        variant = f"{timeframe} closed" if closed_only else timeframe
        return self._market_data(topic, bars.METHOD, instruments, options, subscriber, variant)

    async def subscribe_m2m(
        self, account: str, strategy: str, options: DeliveryOptions, subscriber: Subscriber
    ) -> AsyncGenerator[bytes, None]:
        """The strategy's samples, as StreamM2mResponse messages. Raises NotFound unless it is the subscriber's."""
        self._refuse_when_draining()
        item = await self._m2m.follow(subscriber.user, account, strategy)
        try:
            outcome = ItemOutcome(strategy, key=f"{account}/{strategy}", number=item)
            subscription = Subscription(m2m.METHOD, (outcome,))
            delivery = Delivery(self._desk, self._m2m, subscription, options, subscriber)
            async with contextlib.aclosing(delivery.run()) as envelopes:
                async for envelope in envelopes:
                    yield envelope
        finally:
            self._m2m.unfollow(item)

    def quote(self, instrument_id: int) -> Quote | None:
        """What is known of an instrument now; None before its first tick."""
        return quote_of(self._book, instrument_id)

    def market_time(self) -> int:
        """Market time of the present run, nanoseconds since 1970 UTC; 0 before the first tick."""
        return self._watch.market_time

    def feed_state(self) -> FeedState:
        """What the feed does."""
        return self._watch.state

    def feed_source(self) -> str:
        """Which feed it is, such as `synthetic`; empty before the first run."""
        return self._watch.source

    @property
    def degraded(self) -> bool:
        """A dependency is away: what is known may be old."""
        return self._watch.degraded

    def streams(self) -> list[StreamRecord]:
        """The open streams, oldest first."""
        return [stream.record for stream in self._registry.all()]

    def counts(self) -> StreamCounts:
        """How many streams there are, and what was sent."""
        return self._registry.counts()

    def tasks(self) -> tuple[TaskState, ...]:
        """How the hub's background tasks are."""
        return self._supervisor.states

    def cancel(self, stream: str) -> bool:
        """Ends a stream with STREAM_CANCELLED. -> it was open here."""
        running = self._registry.get(stream)
        if running is None:
            return False
        running.end(Aborted("the stream was cancelled", reason="STREAM_CANCELLED", metadata={"stream": stream}))
        return True

    def drain(self) -> None:
        """Lets every stream send what it has, say RECONNECT and end; new ones are refused."""
        self._draining = True
        for stream in self._registry.all():
            stream.drain()

    async def reached(self, place: EntryId) -> None:
        """Returns when the log has been read up to a place."""
        await self._ticks.channel.reached((place,))

    async def _market_data(
        self,
        topic: Topic,
        method: str,
        instruments: Sequence[str],
        options: DeliveryOptions,
        subscriber: Subscriber,
        variant: str = "",
    ) -> AsyncGenerator[bytes, None]:
        self._refuse_when_draining()
        subscription = Subscription(method, await self.directory.resolve(instruments), variant)
        delivery = Delivery(self._desk, topic, subscription, options, subscriber)
        async with contextlib.aclosing(delivery.run()) as envelopes:
            async for envelope in envelopes:
                yield envelope

    async def _prepared(self) -> dict[str, Reader]:
        """Reads the state and everything that the streams hold now; a Redis that is away is read later."""
        await self.directory.load()
        states = await self._stores.book_states()
        for state in states:
            for sections in state.sections:
                self._book.restore(sections)
        place = min((state.place for state in states), default=ORIGIN)
        readers = self._readers(place)
        for reader in readers.values():
            await reader.catch_up()
        return readers

    def _readers(self, place: EntryId) -> dict[str, Reader]:
        sources = [Source("log", self._logs.log, self._log_entry, self._lost)]
        sources += [self._slot("bars", slot, stream, self._bars_entry) for slot, stream in enumerate(self._logs.bars)]
        sources += [self._slot("m2m", slot, stream, self._m2m_entry) for slot, stream in enumerate(self._logs.m2m)]
        places = [place] + [ORIGIN] * (len(sources) - 1)
        return {
            source.name: Reader(source, start, self._watch, self._clock)
            for source, start in zip(sources, places, strict=True)
        }

    def _slot(
        self, kind: str, slot: int, stream: Stream, handle: Callable[[int, EntryId, bytes], Awaitable[None]]
    ) -> Source:
        async def handled(place: EntryId, payloads: tuple[bytes, ...]) -> None:
            await handle(slot, place, payloads[0])

        return Source(f"{kind}-{slot}", stream, handled, self._lost)

    async def _log_entry(self, place: EntryId, payloads: tuple[bytes, ...]) -> None:
        entries = [log_pb2.LogEntry.FromString(payload) for payload in payloads]
        head = entries[0]
        if head.kind == log_pb2.LOG_ENTRY_KIND_STRATEGY_CHANGED:
            await self.directory.learn(np.array([leg.instrument for leg in head.strategy.legs], dtype=np.int32))
            self._m2m.learn(head.strategy, self.directory.key)
            self._ticks.channel.append((place,), 0, None)
            return
        self._watch.hear(head)
        if head.kind == log_pb2.LOG_ENTRY_KIND_TICKS:
            await self._ticks.apply(place, entries)
        else:
            self._run_marker(head)
            self._ticks.channel.append((place,), head.market_time, None)
        self._watch.look()

    def _run_marker(self, entry: log_pb2.LogEntry) -> None:
        if entry.kind == log_pb2.LOG_ENTRY_KIND_RUN_STARTED:
            self._book.start_run(entry.run, entry.source)
        else:
            self._book.end_run(entry.run)

    async def _bars_entry(self, slot: int, place: EntryId, payload: bytes) -> None:
        entry = log_pb2.BarsEntry.FromString(payload)
        self._board.apply(entry.run, np.frombuffer(entry.bars, BAR))
        places, _ = self._bars_head
        places[slot] = place
        self._bars_head = (places, entry.market_time)
        for topic in self._bars.values():
            topic.apply(slot, place, entry)
            if entry.session_ended:
                topic.channel.notices.add(
                    stream_pb2.STREAM_CONDITION_MARKET_CLOSED, "the session is over", topic.channel.head
                )
        if entry.session_ended:
            self._wake()

    async def _m2m_entry(self, slot: int, place: EntryId, payload: bytes) -> None:
        # The legs that a sample names were told by the log, which may be read a little later.
        await self.reached(place)
        await self._m2m.apply(slot, place, log_pb2.M2mEntry.FromString(payload))

    def _bars_topic(self, timeframe: Timeframe, *, closed_only: bool) -> BarsTopic:
        topic = self._bars.get((timeframe.name, closed_only))
        if topic is None:
            channel = self._channel(len(self._logs.bars))
            places, market_time = self._bars_head
            channel.append(tuple(places), market_time, None)
            folder = Folder(timeframe, self._calendar_of)
            history = BarHistory(self._stores.bars, self._calendar_of)
            topic = self._bars[(timeframe.name, closed_only)] = BarsTopic(
                self._logs.bars, channel, self._board, folder, history, self.directory.key,
                closed_only=closed_only,
            )  # fmt: skip
        return topic

    def _channel(self, streams: int) -> Channel:
        return Channel(self._settings.limits, self._clock, streams)

    def _channels(self) -> list[Channel]:
        return [self._ticks.channel, self._m2m.channel, *(topic.channel for topic in self._bars.values())]

    def _calendar_of(self, instrument_id: int) -> MarketCalendar:
        instrument = self.directory.instrument(instrument_id)
        return self._stores.calendars[calendar_of(instrument.exchange) if instrument else _MAIN_CALENDAR]

    def _tell(self, condition: Condition, detail: str) -> None:
        closed = condition == stream_pb2.STREAM_CONDITION_MARKET_CLOSED
        # Bars are told so by the worker, behind the session's last bar.
        channels = [self._ticks.channel, self._m2m.channel] if closed else self._channels()
        for channel in channels:
            channel.notices.add(condition, detail, channel.head)
        self._wake()

    def _lost(self) -> None:
        for channel in self._channels():
            channel.restart()
        self._wake()

    def _wake(self) -> None:
        for stream in self._registry.all():
            stream.wake()

    def _flushing(self, interval: float) -> Callable[[], Awaitable[None]]:
        async def flush() -> None:
            due = self._clock.monotonic()
            while True:
                due = max(due + interval, self._clock.monotonic())
                await self._clock.sleep(due - self._clock.monotonic())
                for channel in self._channels():
                    channel.pulses[interval].fire(channel.head)

        return flush

    async def _ticking(self) -> None:
        while True:
            await self._clock.sleep(_TICK)
            self._watch.look()
            for channel in self._channels():
                channel.trim()
            for stream in self._registry.all():
                stream.tick()

    def _refuse_when_draining(self) -> None:
        if self._draining:
            raise _draining()


def _draining() -> Unavailable:
    return Unavailable("this server goes down", reason="SERVER_DRAINING", retry_after=0.0)


def _timeframe(text: str) -> Timeframe:
    try:
        return Timeframe.parse(text)
    except ValueError as error:
        allowed = " ".join(timeframe.name for timeframe in TIMEFRAMES)
        raise InvalidArgument(
            str(error),
            reason="TIMEFRAME_UNKNOWN",
            metadata={"timeframe": text, "allowed": allowed},
            violations=(FieldViolation("timeframe", str(error)),),
        ) from error

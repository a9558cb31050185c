"""The hub of one process: reads the logs, keeps the present state, and serves subscriptions."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Self

from server.domain.errors import FieldViolation, InvalidArgument, StrikelineError, Unavailable
from server.domain.futures import SIGNAL_THRESHOLD
from server.domain.options.strike_range import ExplicitStrikes, StrikeRange
from server.domain.timeframes import TIMEFRAMES, Timeframe
from server.market.clock import Clock, SystemClock
from server.market.hub import bars, chain_requests, depths, m2m, option_buckets, option_chains, signals, ticks
from server.market.hub.chain_requests import ChainRequest
from server.market.hub.chains import ChainBoard
from server.market.hub.channel import QueueDepth, QueueLimits
from server.market.hub.delivery import Delivery, Desk
from server.market.hub.feed import FeedState
from server.market.hub.intake import Intake, Logs, Stores
from server.market.hub.options import DeliveryOptions, Subscriber
from server.market.hub.position import EntryId
from server.market.hub.quotes import Quote, quote_of, state_of
from server.market.hub.registry import StreamCounts, StreamRecord, StreamRegistry
from server.market.hub.rhythm import Rhythm
from server.market.hub.signals import SignalKind
from server.market.hub.tokens import TokenSealer
from server.market.hub.topic import INSTRUMENTS, FollowingTopic, ItemOutcome, Refusal, Subscription, Topic
from server.market.supervisor import Supervisor, TaskState

MONITORED = Refusal("INSTRUMENT_NOT_FOUND", "instrument", "monitor_session")
"""How a monitor session's stream fails when none of its instruments is on record any more."""

_ALL_TIMEFRAMES = tuple(timeframe.name for timeframe in TIMEFRAMES)


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
        self._registry = StreamRegistry()
        self._desk = Desk(TokenSealer(settings.secret), self._registry, self._clock, settings.stall_timeout)
        self.intake = Intake(logs, stores, settings.limits, settings.stale_after, self._clock, self._wake)
        self.directory = self.intake.directory
        self._supervisor = Supervisor(self._clock)
        self._stack = AsyncExitStack()
        self._draining = False

    async def __aenter__(self) -> Self:
        readers = await self.intake.prepared()
        await self._stack.enter_async_context(self._supervisor)
        for name, reader in readers.items():
            self._supervisor.start(f"hub/{name}", reader.run)
        for name, work in Rhythm(self.intake, self._registry, self._clock).tasks().items():
            self._supervisor.start(f"hub/{name}", work)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
        for stream in self._registry.all():
            stream.end(_draining())

    def subscribe_ticks(
        self, instruments: Sequence[str], options: DeliveryOptions, subscriber: Subscriber
    ) -> AsyncGenerator[bytes, None]:
        """Every tick of the instruments, as StreamTicksResponse messages."""
        return self._market_data(self.intake.ticks, ticks.METHOD, instruments, options, subscriber)

    def subscribe_monitor(
        self, session: str, instruments: Sequence[str], options: DeliveryOptions, subscriber: Subscriber
    ) -> AsyncGenerator[bytes, None]:
        """Every tick of a session's instruments, as StreamTicksResponse messages.

        A token from when the session had other instruments is good for a new snapshot.
        """
        return self._market_data(
            self.intake.ticks, ticks.MONITOR_METHOD, instruments, options, subscriber, family=session, nothing=MONITORED
        )

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
        topic = self.intake.bars(_timeframe(timeframe), closed_only=closed_only)
        variant = f"{timeframe} closed" if closed_only else timeframe
        return self._market_data(topic, bars.METHOD, instruments, options, subscriber, variant)

    async def subscribe_position_signals(
        self,
        futures: Sequence[str],
        timeframe: Timeframe,
        options: DeliveryOptions,
        subscriber: Subscriber,
        *,
        closed_only: bool = False,
        threshold: float = SIGNAL_THRESHOLD,
    ) -> AsyncGenerator[bytes, None]:
        """The signals of the futures' bars as they change, as StreamPositionSignalsResponse messages.

        Moves must exceed the threshold, per cent. Raises ResourceExhausted when too many thresholds are followed.
        """
        kind = SignalKind(timeframe, closed_only, threshold + 0.0)  # of two zeros the positive one
        with self.intake.signals.used(kind) as topic:
            stream = self._market_data(topic, signals.METHOD, futures, options, subscriber, kind.variant)
            async with contextlib.aclosing(stream) as envelopes:
                async for envelope in envelopes:
                    yield envelope

    def subscribe_depth(
        self, instruments: Sequence[str], options: DeliveryOptions, subscriber: Subscriber, *, analysis: bool = False
    ) -> AsyncGenerator[bytes, None]:
        """The order books of the instruments as they change, as StreamDepthResponse messages."""
        topic = self.intake.depths(analysis=analysis)
        variant = "analysis" if analysis else ""
        return self._market_data(topic, depths.METHOD, instruments, options, subscriber, variant)

    def subscribe_m2m(
        self, account: str, strategy: str, options: DeliveryOptions, subscriber: Subscriber
    ) -> AsyncGenerator[bytes, None]:
        """The strategy's samples, as StreamM2mResponse messages. Raises NotFound unless it is the subscriber's."""

        async def follow() -> Subscription:
            item = await self.intake.m2m.follow(subscriber.user, account, strategy)
            return Subscription(m2m.METHOD, (ItemOutcome(strategy, key=f"{account}/{strategy}", number=item),))

        return self._following(self.intake.m2m, follow, options, subscriber)

    def subscribe_option_chain(
        self,
        underlying: str,
        expiries: Sequence[str],
        strikes: StrikeRange,
        options: DeliveryOptions,
        subscriber: Subscriber,
    ) -> AsyncGenerator[bytes, None]:
        """Every valuation of some strikes of expiries (ISO dates or labels), as StreamOptionChainResponse messages.

        Raises NotFound (UNDERLYING_NOT_FOUND).
        """
        wanted = ChainRequest(option_chains.CHAIN_METHOD, underlying, tuple(expiries), strikes)
        return self._chains(wanted, options, subscriber)

    def subscribe_strike(
        self, underlying: str, expiry: str, strike: float, options: DeliveryOptions, subscriber: Subscriber
    ) -> AsyncGenerator[bytes, None]:
        """Every valuation of one strike of an expiry (ISO date or label), as StreamStrikeResponse messages.

        Raises NotFound (UNDERLYING_NOT_FOUND).
        """
        wanted = ChainRequest(option_chains.STRIKE_METHOD, underlying, (expiry,), ExplicitStrikes((strike,)), "expiry")
        return self._chains(wanted, options, subscriber)

    def subscribe_option_buckets(
        self, underlyings: Sequence[str], timeframe: str, options: DeliveryOptions, subscriber: Subscriber
    ) -> AsyncGenerator[bytes, None]:
        """The closed buckets of all expiries of underlyings, as StreamOptionBucketsResponse messages.

        Raises InvalidArgument (TIMEFRAME_UNKNOWN).
        """
        topic = self.intake.options.buckets(_timeframe(timeframe, option_buckets.TIMEFRAMES))
        follow = partial(chain_requests.follow_buckets, underlyings, topic, self.intake.options.labels)
        return self._following(topic, follow, options, subscriber)

    def _chains(
        self, wanted: ChainRequest, options: DeliveryOptions, subscriber: Subscriber
    ) -> AsyncGenerator[bytes, None]:
        topic, resumed = self.intake.options.chains, bool(options.resume_token)
        follow = partial(chain_requests.follow, wanted, topic, self.market_time(), resumed=resumed)
        return self._following(topic, follow, options, subscriber)

    async def _following(
        self,
        topic: FollowingTopic,
        follow: Callable[[], Awaitable[Subscription]],
        options: DeliveryOptions,
        subscriber: Subscriber,
    ) -> AsyncGenerator[bytes, None]:
        self._refuse_when_draining()
        subscription = await follow()
        try:
            delivery = Delivery(self._desk, topic, subscription, options, subscriber)
            async with contextlib.aclosing(delivery.run()) as envelopes:
                async for envelope in envelopes:
                    yield envelope
        finally:
            for item in subscription.numbers:
                topic.unfollow(item)

    @property
    def chains(self) -> ChainBoard:
        """The newest valuation of every chain."""
        return self.intake.options.board

    def quote(self, instrument_id: int) -> Quote | None:
        """What is known of an instrument now; None before its first tick."""
        self.intake.ticks.settle()
        return quote_of(self.intake.book, instrument_id)

    def quote_state(self, instrument_id: int) -> bytes:
        """Changes whenever the instrument's quote does."""
        self.intake.ticks.settle()
        return state_of(self.intake.book, instrument_id)

    def market_time(self) -> int:
        """Market time of the present run, nanoseconds since 1970 UTC; 0 before the first tick."""
        return self.intake.watch.market_time

    def feed_state(self) -> FeedState:
        """What the feed does."""
        return self.intake.watch.state

    def feed_source(self) -> str:
        """Which feed it is, such as `synthetic`; empty before the first run."""
        return self.intake.watch.source

    @property
    def degraded(self) -> bool:
        """A dependency is away: what is known may be old."""
        return self.intake.watch.degraded

    def streams(self) -> list[StreamRecord]:
        """The open streams, oldest first."""
        return [stream.record for stream in self._registry.all()]

    def counts(self) -> StreamCounts:
        """How many streams there are, and what was sent."""
        return self._registry.counts()

    def depth(self) -> QueueDepth:
        """What waits for subscribers of all kinds."""
        depths = [channel.depth for channel in self.intake.channels()]
        return QueueDepth(
            sum(depth.events for depth in depths),
            sum(depth.size for depth in depths),
            max(depth.behind for depth in depths),
        )

    def tasks(self) -> tuple[TaskState, ...]:
        """How the hub's background tasks are."""
        return self._supervisor.states

    def end(self, stream: str, error: StrikelineError, *, reconnect: bool = False) -> bool:
        """Ends a stream with an error; with `reconnect` it says RECONNECT before. -> it was open here."""
        running = self._registry.get(stream)
        if running is None:
            return False
        if reconnect:
            running.drain(error)
        else:
            running.end(error)
        return True

    def drain(self) -> None:
        """Lets every stream send what it has, say RECONNECT and end; new ones are refused."""
        self._draining = True
        for stream in self._registry.all():
            stream.drain(_draining())

    async def reached(self, place: EntryId) -> None:
        """Returns when the log has been read up to a place."""
        await self.intake.ticks.channel.reached((place,))

    async def _market_data(
        self,
        topic: Topic,
        method: str,
        instruments: Sequence[str],
        options: DeliveryOptions,
        subscriber: Subscriber,
        variant: str = "",
        family: str = "",
        nothing: Refusal = INSTRUMENTS,
    ) -> AsyncGenerator[bytes, None]:
        self._refuse_when_draining()
        outcomes = await self.directory.resolve(instruments)
        subscription = Subscription(method, outcomes, variant, nothing, family)
        delivery = Delivery(self._desk, topic, subscription, options, subscriber)
        del outcomes, subscription
        async with contextlib.aclosing(delivery.run()) as envelopes:
            async for envelope in envelopes:
                yield envelope

    def _wake(self) -> None:
        for stream in self._registry.all():
            stream.wake()

    def _refuse_when_draining(self) -> None:
        if self._draining:
            raise _draining()


def _draining() -> Unavailable:
    return Unavailable("this server goes down", reason="SERVER_DRAINING", retry_after=0.0)


def _timeframe(text: str, served: Sequence[str] = _ALL_TIMEFRAMES) -> Timeframe:
    if text in served:
        return Timeframe.parse(text)
    message = f"unknown timeframe {text!r}; one of {', '.join(served)}"
    raise InvalidArgument(
        message,
        reason="TIMEFRAME_UNKNOWN",
        metadata={"timeframe": text, "allowed": " ".join(served)},
        violations=(FieldViolation("timeframe", message),),
    )

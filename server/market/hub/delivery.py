"""One open stream: from subscription to the last envelope."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass

from server.domain.errors import FieldViolation, NotFound, ResourceExhausted, StrikelineError
from server.market.clock import Clock
from server.market.hub.channel import Cursor, Frame
from server.market.hub.items import ItemSet
from server.market.hub.journal import Moment
from server.market.hub.options import DeliveryOptions, SlowPolicy, Subscriber
from server.market.hub.position import Position
from server.market.hub.registry import StreamRecord, StreamRegistry
from server.market.hub.tokens import Bookmark, TokenSealer, fingerprint
from server.market.hub.topic import Subscription, Topic
from strikeline.v1 import stream_pb2


@dataclass(frozen=True, slots=True)
class Desk:
    """What every stream of a hub needs. A client that takes nothing for `stall_timeout` seconds is given up."""

    sealer: TokenSealer
    registry: StreamRegistry
    clock: Clock
    stall_timeout: float


class Delivery:
    """Runs one stream. `run` is its iterator of ready envelopes; leaving it in any way releases everything."""

    def __init__(
        self, desk: Desk, topic: Topic, subscription: Subscription, options: DeliveryOptions, subscriber: Subscriber
    ) -> None:
        self._desk = desk
        self._topic = topic
        self._channel = topic.channel
        self._layout = topic.layout
        # Held until the stream has begun, and not for as long as a client with thousands of items stays.
        self._subscription: Subscription | None = subscription
        self._options = options
        self._subscriber = subscriber
        self._pulse = self._channel.pulses[options.flush]
        self._conflate = options.slow is SlowPolicy.CONFLATE
        self._fingerprint = fingerprint(
            subscription.method, subscriber.user, subscription.keys, subscription.variant, subscription.family
        )
        self._cursor: Cursor | None = None
        self._moment = self._channel.head
        self._sequence = self._notice = 0
        self._epoch = self._channel.epoch
        self._failure: StrikelineError | None = None
        self._farewell: StrikelineError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._task: asyncio.Task[object] | None = None
        self._last_sent = desk.clock.monotonic()
        self._blocked_since: float | None = None
        stream = subscriber.stream or f"s-{secrets.token_hex(8)}"
        self.record = StreamRecord(stream, subscription.method, subscriber.user, subscription.keys, desk.clock.wall())

    async def run(self) -> AsyncGenerator[bytes, None]:
        """The stream's envelopes, until the client leaves or the stream ends with a StrikelineError."""
        bookmark = await self._bookmark()
        self._task = asyncio.current_task()
        with self._admitted() as items:
            await self._topic.prepare(items)
            start, cursor = self._channel.head, self._channel.attach(items)
            self._cursor = cursor
            async for envelope in self._opening(cursor, start, bookmark):
                self._offering()
                yield envelope
                self._blocked_since = None
            while True:
                for envelope in self._due(cursor):
                    self._offering()
                    yield envelope
                    self._blocked_since = None
                if self._failure is not None:
                    raise self._failure
                await self._until_due(cursor)

    def offer(self, cut: Moment) -> bool:
        """A new cut is there. -> it has something for this stream, which has woken up."""
        return self._cursor is not None and self._channel.pending(self._cursor, cut) and self.wake()

    def wake(self) -> bool:
        """Lets the stream look whether something is due. -> it had been waiting."""
        if self._waiter is None or self._waiter.done():
            return False
        self._waiter.set_result(None)
        return True

    def tick(self) -> None:
        """Tells the stream that time has passed."""
        now = self._desk.clock.monotonic()
        if self._blocked_since is None and now - self._last_sent >= self._options.heartbeat:
            self.wake()
        elif self._blocked_since is not None and now - self._blocked_since >= self._desk.stall_timeout:
            self._give_up()

    def drain(self, farewell: StrikelineError) -> None:
        """Lets the stream send what it has, say RECONNECT and end with that error."""
        self._farewell = self._farewell or farewell
        self.wake()

    def end(self, error: StrikelineError) -> None:
        """Ends the stream with that error, behind what it is sending."""
        self._failure = self._failure or error
        self.wake()

    def _give_up(self) -> None:
        # Nothing can be told to somebody who reads nothing: the call is cancelled under it.
        unread = {"waiting_events": "0"}
        self.end(ResourceExhausted("the client reads nothing", reason="SLOW_CONSUMER", metadata=unread))
        if self._task is not None:
            self._task.cancel()

    @contextlib.contextmanager
    def _admitted(self) -> Iterator[ItemSet]:
        items = self._channel.wanted.add(_of(self._subscription).numbers)
        self._topic.retain(items)
        self._desk.registry.add(self)
        try:
            yield items
        finally:
            self._desk.registry.remove(self)
            if self._cursor is not None:
                self._channel.detach(self._cursor)
            self._topic.release(items)
            self._channel.wanted.remove(items)

    async def _bookmark(self) -> Bookmark | None:
        if not self._options.resume_token:
            return None
        streams = len(self._channel.head.position)
        relatives = bool(_of(self._subscription).family)
        bookmark = self._desk.sealer.open(self._options.resume_token, self._fingerprint, streams, relatives=relatives)
        if bookmark.position:
            await self._topic.check_held(bookmark.position)
            await self._channel.reached(bookmark.position)
        return bookmark

    async def _opening(self, cursor: Cursor, start: Moment, bookmark: Bookmark | None) -> AsyncIterator[bytes]:
        lasting = self._channel.notices.lasting
        self._epoch, self._notice = self._channel.epoch, self._channel.notices.count
        self._sequence = bookmark.sequence if bookmark else 0
        position = bookmark.position if bookmark else ()
        # The first message's token says that a snapshot is still owed: it has no position.
        self._moment = Moment.of(start.index, position, start.market_time)
        subscription, self._subscription = _of(self._subscription), None
        yield self._seal(self._layout.subscribed, self._subscribed(subscription), self._moment)
        if not cursor.items.items:
            raise _nothing_accepted(subscription)
        del subscription
        if position:
            async for envelope in self._replayed(cursor, position, start):
                yield envelope
        else:
            yield self._snapshot(cursor)
        if lasting is not None:
            yield self._seal(self._layout.status, lasting.status(), self._moment)

    async def _replayed(self, cursor: Cursor, position: Position, until: Moment) -> AsyncIterator[bytes]:
        """Everything behind the position. If the journal leaves the stream behind meanwhile, it reads on from Redis."""
        while True:
            async for frame in self._topic.replay(position, until.position, cursor.items):
                yield self._batch(frame)
            self._moment = until
            if cursor.lost is None:
                return
            self._channel.rewind(cursor)
            position, until = until.position, self._channel.head

    def _due(self, cursor: Cursor) -> Iterator[bytes]:
        layout, channel = self._layout, self._channel
        if self._epoch != channel.epoch:
            yield self._snapshot(cursor)
        if self._notice != channel.notices.count:
            yield from self._noticed(cursor)
        cut = channel.head if self._farewell else self._pulse.cut
        while True:
            # Only ready bytes are held while the client takes its time, never what they were made of.
            envelopes = self._next(cursor, cut)
            if not envelopes:
                break
            yield from envelopes
        if self._farewell is not None and self._failure is None:
            yield self._seal(layout.status, _status(stream_pb2.STREAM_CONDITION_RECONNECT), self._moment)
            self._failure = self._farewell
        elif self._desk.clock.monotonic() - self._last_sent >= self._options.heartbeat:
            yield self._seal(layout.heartbeat, b"", self._moment)

    def _noticed(self, cursor: Cursor) -> Iterator[bytes]:
        """Each notice behind the events that came before it."""
        for notice in self._channel.notices.since(self._notice):
            self._notice = notice.number
            while envelopes := self._next(cursor, notice.moment):
                yield from envelopes
            yield self._seal(self._layout.status, notice.status(), self._moment)

    def _next(self, cursor: Cursor, cut: Moment) -> list[bytes]:
        """The next batch up to a cut, behind a status when it is conflated; nothing when the cut is reached."""
        frame = self._channel.take(cursor, self._pulse, cut, conflate=self._conflate)
        if frame is None:
            if (cut.index, cut.position) > (self._moment.index, self._moment.position):
                self._moment = cut
            return []
        if not frame.replaced:
            return [self._batch(frame)]
        status = _status(stream_pb2.STREAM_CONDITION_CONFLATED, frame.replaced)
        return [self._seal(self._layout.status, status, self._moment), self._batch(frame)]

    async def _until_due(self, cursor: Cursor) -> None:
        if self._epoch != self._channel.epoch or self._notice != self._channel.notices.count or self._farewell:
            return
        if self._channel.pending(cursor, self._pulse.cut):
            return
        self._waiter = asyncio.get_running_loop().create_future()
        self._pulse.wait(self)
        try:
            await self._waiter
        finally:
            self._waiter = None
            self._pulse.leave(self)

    def _offering(self) -> None:
        self._blocked_since = self._last_sent = self._desk.clock.monotonic()
        self.record.sent += 1

    def _snapshot(self, cursor: Cursor) -> bytes:
        self._channel.rewind(cursor)
        self._epoch, self._moment = self._channel.epoch, self._channel.head
        return self._seal(self._layout.snapshot, b"".join(self._topic.snapshot(cursor.items)), self._moment)

    def _batch(self, frame: Frame) -> bytes:
        self._moment = frame.moment
        self.record.events += frame.events
        self.record.replaced += frame.replaced
        return self._seal(self._layout.batch, frame.body(), frame.moment)

    def _seal(self, event: bytes, payload: bytes, moment: Moment) -> bytes:
        self._sequence += 1
        token = self._desk.sealer.seal(self._fingerprint, self._sequence, moment.packed)
        return self._layout.envelope(self._sequence, moment.stamp, token, event, payload)

    def _subscribed(self, subscription: Subscription) -> bytes:
        message = stream_pb2.Subscribed(stream=self.record.stream)
        for outcome in subscription.outcomes:
            refusal = stream_pb2.ItemRefusal.ValueType(outcome.refusal)
            message.results.add(item=outcome.item, key=outcome.key, refusal=refusal)
        return message.SerializeToString()


def _of(subscription: Subscription | None) -> Subscription:
    if subscription is None:
        raise RuntimeError("a delivery runs once")
    return subscription


def _status(condition: stream_pb2.StreamCondition.ValueType, replaced: int = 0) -> bytes:
    return stream_pb2.StreamStatus(condition=condition, conflated_events=replaced).SerializeToString()


def _nothing_accepted(subscription: Subscription) -> NotFound:
    first = subscription.outcomes[0].item if subscription.outcomes else ""
    metadata = {**dict(subscription.nothing.metadata), subscription.nothing.key: first}
    return NotFound(
        "none of the requested items exists",
        reason=subscription.nothing.reason,
        metadata=metadata,
        violations=(FieldViolation(subscription.nothing.field, "names nothing that exists, nor does any other"),),
    )

"""The stream of strategies' mark-to-market: samples as the worker publishes them, in the contract's words."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from server.domain.calendar import NANOSECONDS
from server.domain.errors import StrikelineError
from server.domain.prices import format_money, unscale
from server.market.hub.channel import Channel, Frame
from server.market.hub.items import ItemSet
from server.market.hub.journal import Events, Moment
from server.market.hub.position import EntryId, Position, replace
from server.market.hub.streams import Stream, check_held, pages
from server.market.hub.wire import EnvelopeLayout, delimited, key_of
from server.market.records import ABSENT, M2M, M2M_COMPLETE, M2M_LEG
from strikeline.internal.v1 import log_pb2
from strikeline.v1 import m2m_pb2, m2m_requests_pb2

Rows = NDArray[np.void]

METHOD = "strikeline.v1.StrategyService/StreamM2m"

_FRESH = 1
_SAMPLE_KEY = key_of(m2m_requests_pb2.M2mBatch.DESCRIPTOR, "samples")


@dataclass(frozen=True, slots=True)
class LegFact:
    """What a leg's number stands for: its public id and its instrument's key."""

    leg: str
    instrument: str
    open: bool = True


@dataclass(frozen=True, slots=True)
class Sample:
    """A row of `M2M` with its rows of `M2M_LEG`."""

    row: np.void
    legs: Rows


@dataclass(frozen=True, slots=True)
class StrategyFacts:
    """What the database knows of one strategy. `realized` is the profit of closed legs in rupees.

    `sample` is its latest stored one; None before the first.
    """

    number: int
    strategy: str
    realized: Decimal
    legs: Mapping[int, LegFact]
    sample: Sample | None


class StrategyReader(Protocol):
    """Reads strategies as their owner."""

    async def facts(self, user: str, account: str, strategy: str) -> StrategyFacts:
        """What is known of the user's strategy. Raises NotFound."""
        ...


def m2m_message(
    strategy: str, legs: Mapping[int, LegFact], realized: Decimal, sample: Sample | None, market_time: int
) -> m2m_pb2.StrategyM2m:
    """A sample in the contract's words; without one, what is known before the first."""
    message = m2m_pb2.StrategyM2m(strategy=strategy, realized_pnl=format_money(realized))
    _set_time(message.market_time, market_time)
    if sample is None:
        for known in (leg for leg in legs.values() if leg.open):
            message.legs.add(leg=known.leg, instrument=known.instrument)
            message.missing_legs.append(known.leg)
        message.complete = not message.missing_legs
        if message.complete:
            _set_amounts(message, 0, 0, realized)
        return message
    _set_time(message.as_of, int(sample.row["market_time"]))
    message.complete = bool(sample.row["flags"] & M2M_COMPLETE)
    if sample.row["m2m"] != ABSENT:
        _set_amounts(message, int(sample.row["m2m"]), int(sample.row["premium_flow"]), realized)
    for row in sample.legs:
        fact = legs.get(int(row["leg"]))
        if fact is not None:
            _add_leg(message, row, fact)
    return message


def _set_amounts(message: m2m_pb2.StrategyM2m, m2m: int, premium_flow: int, realized: Decimal) -> None:
    unrealized = unscale(m2m)
    message.m2m = message.unrealized_pnl = format_money(unrealized)
    message.total_pnl = format_money(realized + unrealized)
    if premium_flow != ABSENT:
        message.premium_flow = format_money(unscale(premium_flow))


def _add_leg(message: m2m_pb2.StrategyM2m, row: np.void, fact: LegFact) -> None:
    leg = message.legs.add(leg=fact.leg, instrument=fact.instrument, fresh=bool(row["flags"] & _FRESH))
    if row["last_price"] != ABSENT:
        leg.last_price = format_money(unscale(int(row["last_price"])))
        _set_time(leg.price_time, int(row["last_time"]))
    if row["m2m"] != ABSENT:
        leg.m2m = format_money(unscale(int(row["m2m"])))
    if not leg.fresh:
        message.missing_legs.append(fact.leg)


class _Time(Protocol):
    seconds: int
    nanos: int


def _set_time(target: _Time, nanoseconds: int) -> None:
    if nanoseconds not in {0, ABSENT}:
        target.seconds, target.nanos = divmod(nanoseconds, NANOSECONDS)


@dataclass
class _Followed:
    """A strategy that somebody subscribes to."""

    user: str
    account: str
    facts: StrategyFacts
    users: int = 0
    outdated: bool = False
    """Its realized profit must be read again."""
    legs: dict[int, LegFact] = field(default_factory=dict)

    def update(self, facts: StrategyFacts) -> None:
        """What was read last."""
        self.facts = facts
        self.legs |= facts.legs


class SampleBoard:
    """The latest sample of every strategy, whether anybody subscribes to it or not."""

    def __init__(self) -> None:
        self._numbers = np.empty(0, dtype=np.int64)
        self._entries = np.empty(0, dtype=np.object_)
        self._rows = np.empty(0, dtype=np.int64)

    def apply(self, entry: SampleEntry) -> None:
        """Takes in the samples of one entry."""
        numbers = entry.samples["strategy"]
        fresh = np.setdiff1d(numbers, self._numbers)
        if len(fresh):
            self._insert(fresh)
        places = np.searchsorted(self._numbers, numbers)
        self._entries[places] = entry
        self._rows[places] = np.arange(len(numbers))

    def latest(self, number: int) -> Sample | None:
        """The latest sample of a strategy; None when none has come."""
        place = int(np.searchsorted(self._numbers, number))
        if place == len(self._numbers) or self._numbers[place] != number:
            return None
        entry: SampleEntry = self._entries[place]
        return entry.sample(int(self._rows[place]))

    def _insert(self, numbers: NDArray[np.int64]) -> None:
        places = np.searchsorted(self._numbers, numbers)
        self._numbers = np.insert(self._numbers, places, numbers)
        self._entries = np.insert(self._entries, places, np.empty(len(numbers), dtype=np.object_))
        self._rows = np.insert(self._rows, places, 0)


class SampleEntry:
    """The samples that one log entry caused."""

    def __init__(self, entry: log_pb2.M2mEntry) -> None:
        self.market_time = entry.market_time
        self.samples: Rows = np.frombuffer(entry.samples, M2M)
        self._legs: Rows = np.frombuffer(entry.legs, M2M_LEG)
        self._ends = np.cumsum(self.samples["legs"])

    def sample(self, row: int) -> Sample:
        """One sample with its legs."""
        end = int(self._ends[row])
        return Sample(self.samples[row], self._legs[end - int(self.samples["legs"][row]) : end])


class M2mTopic:
    """Passes samples on. Items are the strategies' numbers in this process, given by `follow`."""

    layout = EnvelopeLayout.of(m2m_requests_pb2.StreamM2mResponse.DESCRIPTOR)

    def __init__(self, slots: Sequence[Stream], channel: Channel, reader: StrategyReader) -> None:
        self.channel = channel
        self.board = SampleBoard()
        self._slots = slots
        self._reader = reader
        self._places: dict[int, int] = {}
        self._followed: dict[int, _Followed] = {}

    async def follow(self, user: str, account: str, strategy: str) -> int:
        """The item of a user's strategy, which is followed until `unfollow`. Raises NotFound."""
        facts = await self._reader.facts(user, account, strategy)
        item = self._places.setdefault(facts.number, len(self._places))
        followed = self._followed.setdefault(item, _Followed(user, account, facts))
        followed.update(facts)
        followed.users += 1
        return item

    def unfollow(self, item: int) -> None:
        """Takes back one `follow`."""
        self._followed[item].users -= 1
        if not self._followed[item].users:
            del self._followed[item]

    def learn(self, state: log_pb2.StrategyState, key: Callable[[int], str]) -> None:
        """A strategy has changed. `key` names the instruments of its legs."""
        followed = self._followed.get(self._places.get(state.number, -1))
        if followed is not None:
            followed.outdated = True
            followed.legs |= {leg.number: LegFact(leg.leg, key(leg.instrument)) for leg in state.legs}

    async def apply(self, slot: int, place: EntryId, entry: log_pb2.M2mEntry) -> None:
        """Takes in an entry of one slot. The log must have been read up to it."""
        samples = SampleEntry(entry)
        chosen = self._wanted(samples)
        for item, _ in chosen:
            await self._refresh(item)
        chosen = [(item, row) for item, row in chosen if item in self._followed]
        self.board.apply(samples)
        position = replace(self.channel.head.position, slot, place)
        self.channel.append(position, entry.market_time, self._events(samples, chosen))

    def retain(self, items: ItemSet) -> None:
        """They are followed already."""

    def release(self, items: ItemSet) -> None:
        """They are followed until `unfollow`."""

    async def prepare(self, items: ItemSet) -> None:
        """Reads changes that came since the strategy was read."""
        for item in items.numbers.tolist():
            await self._refresh(item)

    def snapshot(self, items: ItemSet) -> list[bytes]:
        """The latest sample of each strategy."""
        return [self._latest(item) for item in items.numbers.tolist()]

    async def check_held(self, position: Position) -> None:
        """Raises OutOfRange when samples behind the position are gone."""
        for stream, place in zip(self._slots, position, strict=True):
            await check_held(stream, place)

    async def replay(self, after: Position, until: Position, items: ItemSet) -> AsyncIterator[Frame]:
        """The samples between two positions, slot by slot: a strategy belongs to one slot."""
        position = after
        for slot, stream in enumerate(self._slots):
            async for page in pages(stream, after[slot], until[slot]):
                chunks: list[bytes] = []
                market_time = 0
                for _, payloads in page:
                    samples = SampleEntry(log_pb2.M2mEntry.FromString(payloads[0]))
                    market_time = samples.market_time
                    chosen = [(item, row) for item, row in self._wanted(samples) if item in items.items]
                    chunks += [self._encoded(item, samples.sample(row), market_time) for item, row in chosen]
                position = replace(position, slot, page[-1][0])
                if chunks:
                    yield Frame(None, b"".join(chunks), len(chunks), Moment.of(-1, position, market_time))

    def _wanted(self, samples: SampleEntry) -> list[tuple[int, int]]:
        """Item and row of the samples that somebody wants."""
        if not self._followed:
            return []
        numbers = np.array([followed.facts.number for followed in self._followed.values()], dtype=np.int64)
        rows = np.flatnonzero(np.isin(samples.samples["strategy"], numbers)).tolist()
        return [(self._places[int(samples.samples["strategy"][row])], row) for row in rows]

    async def _refresh(self, item: int) -> None:
        followed = self._followed.get(item)
        if followed is not None and followed.outdated:
            # First, so that a change which is told while this is read makes it outdated again.
            followed.outdated = False
            try:
                facts = await self._reader.facts(followed.user, followed.account, followed.facts.strategy)
            except StrikelineError:
                followed.outdated = True
                raise
            followed.update(facts)

    def _events(self, samples: SampleEntry, chosen: list[tuple[int, int]]) -> Events | None:
        pairs = [(item, row) for item, row in chosen if self.channel.wanted.wants(item)]
        if not pairs:
            return None
        items = np.array([item for item, _ in pairs], dtype=np.int64)
        chunks = [self._encoded(item, samples.sample(row), samples.market_time) for item, row in pairs]
        return Events.of(items, items, np.ones(len(items), dtype=np.bool_), chunks)

    def _latest(self, item: int) -> bytes:
        facts = self._followed[item].facts
        sample = self.board.latest(facts.number) or facts.sample
        return self._encoded(item, sample, self.channel.head.market_time)

    def _encoded(self, item: int, sample: Sample | None, market_time: int) -> bytes:
        followed = self._followed[item]
        facts = followed.facts
        message = m2m_message(facts.strategy, followed.legs, facts.realized, sample, market_time)
        return delimited(_SAMPLE_KEY, message.SerializeToString())

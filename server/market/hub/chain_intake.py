"""The hub's part that reads the chains logs: keeps the board, and passes entries on to the streams of options."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from server.domain.calendar import MarketCalendar
from server.domain.timeframes import Timeframe
from server.market.chains import unpack_entries
from server.market.hub.chains import ChainBoard, instruments_of
from server.market.hub.channel import Channel
from server.market.hub.directory import Directory
from server.market.hub.expiry_labels import ExpiryLabels, Listings
from server.market.hub.option_buckets import TIMEFRAMES, BucketSources, OptionBucketsTopic, Pieces
from server.market.hub.option_chains import LARGEST_BATCH, OptionChainsTopic
from server.market.hub.position import ORIGIN, EntryId
from server.market.hub.readers import Source
from server.market.hub.streams import Stream
from server.market.runs import Runs
from server.market.slot_plan import chains_slot
from strikeline.internal.v1 import log_pb2

SECTION = "published"
"""Section of the chains slots' checkpoints that holds what they have published last."""


@dataclass(frozen=True, slots=True)
class SlotState:
    """A checkpoint of one slot: its log up to `place` is in the `sections`, base first."""

    slot: int
    place: EntryId
    sections: Sequence[Mapping[str, bytes]]


@dataclass(frozen=True, slots=True)
class ChainSources:
    """Where chains come from: the worker's logs by slot, its checkpoints, and the record of listed expiries."""

    logs: Sequence[Stream]
    states: Callable[[], Awaitable[Sequence[SlotState]]]
    listings: Listings
    pieces: Pieces


@dataclass(frozen=True, slots=True)
class MainLog:
    """What the log that the worker acts on tells: instruments, their markets, runs; and how far it has been read."""

    directory: Directory
    calendar_of: Callable[[int], MarketCalendar]
    runs: Runs
    reached: Callable[[EntryId], Awaitable[None]]


class ChainIntake:
    """Feeds the board of chains and the topics about options."""

    def __init__(self, sources: ChainSources, main: MainLog, channel: Callable[[int, int], Channel]) -> None:
        self._sources = sources
        self._main = main
        self.board = ChainBoard(main.directory.key, main.runs)
        self.labels = ExpiryLabels(sources.listings)
        self.chains = OptionChainsTopic(
            sources.logs, channel(len(sources.logs), LARGEST_BATCH), self.board, self.labels
        )
        parts = BucketSources(sources.logs, self.board, self.labels, sources.pieces, main.calendar_of)
        self._buckets = {
            name: OptionBucketsTopic(Timeframe.parse(name), channel(len(sources.logs), LARGEST_BATCH), parts)
            for name in TIMEFRAMES
        }

    def buckets(self, timeframe: Timeframe) -> OptionBucketsTopic:
        """The topic of closed buckets of one timeframe."""
        return self._buckets[timeframe.name]

    @property
    def channels(self) -> list[Channel]:
        """The channels of all topics."""
        return [self.chains.channel, *(topic.channel for topic in self._buckets.values())]

    async def restore(self) -> list[EntryId]:
        """Takes over the worker's checkpoints. -> the place in each slot's log that they have come to."""
        places = [ORIGIN] * len(self._sources.logs)
        for state in await self._sources.states():
            places[state.slot] = state.place
            for sections in state.sections:
                for entry in unpack_entries(sections.get(SECTION, b"")):
                    await self._main.directory.learn(instruments_of(entry, self.board))
                    self.board.take(state.place, entry)
        return places

    def readers(self, lost: Callable[[], None]) -> list[Source]:
        """What is to be read, slot by slot."""

        def lose() -> None:
            for topic in self._buckets.values():
                topic.forget()
            lost()

        return [
            Source(chains_slot(slot), stream, partial(self._entry, slot), partial(self._skipped, slot), lose)
            for slot, stream in enumerate(self._sources.logs)
        ]

    def _skipped(self, slot: int, place: EntryId) -> None:
        self.chains.skip(slot, place)
        for topic in self._buckets.values():
            topic.skip(slot, place)

    async def _entry(self, slot: int, place: EntryId, payloads: tuple[bytes, ...]) -> None:
        # Which run has displaced which was told by the log, which may be read a little later.
        await self._main.reached(place)
        entry = log_pb2.ChainsEntry.FromString(payloads[0])
        await self._main.directory.learn(instruments_of(entry, self.board))
        await self.chains.learn(entry)
        for topic in self._buckets.values():
            await topic.recover(entry)
        self.chains.apply(slot, place, entry.market_time, self.board.apply(place, entry))
        for topic in self._buckets.values():
            await topic.apply(slot, place, entry)

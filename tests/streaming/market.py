"""A market that tests move by hand: ticks into the log, and a record of what happened."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

from server.domain.instruments import Instrument
from server.market.hub.position import EntryId
from server.market.records import ABSENT, BAR, DEPTH, M2M, M2M_LEG, TICK
from server.store.market_log import MarketLog, OutputLog
from strikeline.internal.v1 import log_pb2
from strikeline.v1 import tick_pb2
from tests.streaming.histories import Event, Source, event_of
from tests.support.market import nanoseconds

OPEN = nanoseconds("2025-11-24T09:15:00")
"""Open of an ordinary session."""
SECOND = 1_000_000_000
NO_DEPTHS = np.empty(0, DEPTH)
NAMESPACE_SLOTS = ("bars:0", "m2m:0")


class Market:
    """Appends entries to the log as a feed does. Prices never repeat, so no two ticks are equal."""

    def __init__(self, log: MarketLog, instruments: Sequence[Instrument], run: str = "run-1", shards: int = 1) -> None:
        self.instruments = tuple(instruments)
        self.time = OPEN
        self.last_id = EntryId(0, 0)
        self._log = log
        self._run = run
        self._shards = shards
        self._row = 0
        self._entries: list[tuple[Event, ...]] = []
        self._random = random.Random(7)

    async def start(self) -> None:
        """A run begins."""
        await self._append(log_pb2.LOG_ENTRY_KIND_RUN_STARTED, np.empty(0, TICK))

    async def end(self) -> None:
        """The run is over."""
        await self._append(log_pb2.LOG_ENTRY_KIND_RUN_ENDED, np.empty(0, TICK))

    async def beat(self, seconds: float = 1.0) -> None:
        """Market time passes and nothing happens."""
        self.time += int(seconds * SECOND)
        await self._append(log_pb2.LOG_ENTRY_KIND_TICKS, np.empty(0, TICK))

    async def trade(self, *numbers: int, seconds: float = 0.01) -> None:
        """One entry with a tick of each instrument, by its place in `instruments`; of all of them unless given."""
        self.time += int(seconds * SECOND)
        chosen = numbers or range(len(self.instruments))
        ticks = np.array([self._tick(self.instruments[number].instrument_id) for number in chosen], TICK)
        await self._append(log_pb2.LOG_ENTRY_KIND_TICKS, ticks)

    async def trade_randomly(self, entries: int) -> None:
        """Entries with ticks of some instruments each."""
        for _ in range(entries):
            count = self._random.randint(1, len(self.instruments))
            await self.trade(*self._random.sample(range(len(self.instruments)), count))

    async def late(self, number: int, seconds: float) -> None:
        """A tick whose event time is `seconds` before market time."""
        tick = self._tick(self.instruments[number].instrument_id)
        row = np.array([tick], TICK)
        row["event_time"] -= int(seconds * SECOND)
        await self._append(log_pb2.LOG_ENTRY_KIND_TICKS, row)

    async def books(self, depths: np.ndarray) -> None:
        """One entry with order books, rows of `DEPTH`."""
        await self._append(log_pb2.LOG_ENTRY_KIND_TICKS, np.empty(0, TICK), depths)

    def source(self, keys: Sequence[str] | None = None) -> Source:
        """What happened, to some instruments or to all."""
        whole = Source(tuple(self._entries))
        return whole if keys is None else whole.wanted(keys)

    @property
    def keys(self) -> list[str]:
        return [instrument.key for instrument in self.instruments]

    def _tick(self, instrument: int) -> tuple[int, ...]:
        self._row += 1
        price = 1_000_000 + 500 * self._row
        return (
            instrument,
            0,
            self.time,
            self._row,
            price,
            50,
            100 * self._row,
            ABSENT,
            price - 500,
            75,
            price + 500,
            150,
        )

    async def _append(
        self, kind: log_pb2.LogEntryKind.ValueType, ticks: np.ndarray, depths: np.ndarray = NO_DEPTHS
    ) -> None:
        payloads = []
        for shard in range(self._shards):
            part = ticks[ticks["instrument"] % self._shards == shard]
            books = depths[depths["instrument"] % self._shards == shard]
            entry = log_pb2.LogEntry(
                run=self._run,
                source="test",
                market_time=self.time,
                kind=kind,
                ticks=part.tobytes(),
                depths=books.tobytes(),
            )
            payloads.append(entry.SerializeToString())
        self.last_id = EntryId.parse(await self._log.append(payloads))
        self._entries.append(tuple(self._event(row) for row in ticks))

    def _event(self, row: np.void) -> Event:
        keys = {instrument.instrument_id: instrument.key for instrument in self.instruments}
        tick = tick_pb2.Tick(
            instrument=keys[int(row["instrument"])],
            last_price=int(row["last_price"]) / 10_000,
            last_quantity=int(row["last_quantity"]),
            volume=int(row["volume"]),
            bid_price=int(row["bid_price"]) / 10_000,
            bid_quantity=int(row["bid_quantity"]),
            ask_price=int(row["ask_price"]) / 10_000,
            ask_quantity=int(row["ask_quantity"]),
        )
        tick.event_time.FromNanoseconds(int(row["event_time"]))
        return event_of(tick)


async def publish_bars(
    output: OutputLog, place: EntryId, market_time: int, rows: Sequence[tuple[int, ...]], **more
) -> None:
    """Publishes bars as the worker does. Rows are of `BAR`."""
    entry = log_pb2.BarsEntry(run="run-1", market_time=market_time, bars=np.array(list(rows), BAR).tobytes(), **more)
    await output.publish([(str(place), entry.SerializeToString())])


async def publish_samples(
    output: OutputLog,
    place: EntryId,
    market_time: int,
    samples: Sequence[tuple[int, ...]],
    legs: Sequence[tuple[int, ...]],
) -> None:
    """Publishes samples as the worker does. Rows are of `M2M` and `M2M_LEG`."""
    entry = log_pb2.M2mEntry(
        run="run-1",
        market_time=market_time,
        samples=np.array(samples, M2M).tobytes(),
        legs=np.array(legs, M2M_LEG).tobytes(),
    )
    await output.publish([(str(place), entry.SerializeToString())])


def happened(market: Market) -> int:
    """Events so far, of all instruments."""
    return sum(map(len, market.source().entries))

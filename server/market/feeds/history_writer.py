"""Past minutes into the log: as a replay makes ticks of bars, for minutes alone that lack them."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from server.domain.errors import Unavailable
from server.domain.instruments import Instrument, InstrumentKind, shard_of
from server.domain.timeframes import MINUTE_NS
from server.market.feeds.ports import Clock, LogPort, Positions
from server.market.feeds.replay.bar_table import BAR_ROW, BarTicks
from server.market.feeds.writer import ShardMap, Ticks
from server.market.records import ABSENT
from server.store.market_log import FIRST_ID, LogFull, id_key
from strikeline.internal.v1 import log_pb2

SOURCE: Final = "backfill"
_POLL_SECONDS: Final = 0.02
_PATIENCE_SECONDS: Final = 30.0

Bars = NDArray[np.void]


class HistoryWriter:
    """Appends HISTORY entries. `slots` are the worker's that make bars: their commits are waited for."""

    def __init__(self, log: LogPort, positions: Positions, slots: frozenset[str], shards: int, clock: Clock) -> None:
        self._log = log
        self._positions = positions
        self._slots = slots
        self._shards = ShardMap(shards)
        self._clock = clock

    async def fill(self, instrument: Instrument, day: Bars, minutes: NDArray[np.int64]) -> int:
        """Appends those bars of an instrument's day that begin the minutes. -> how many; then they are stored.

        `day` are rows of `server.brokers.market_data.HISTORY_BAR` from the day's first minute on: the volume of a tick
        is that of the day so far. Raises Unavailable when log or worker do not take them in time.
        """
        ticks = history_ticks(instrument, day, minutes)
        if not len(ticks):
            return 0
        self._shards.set(instrument.instrument_id, shard_of(instrument, self._shards.shards))
        entry = log_pb2.LogEntry(source=SOURCE, kind=log_pb2.LOG_ENTRY_KIND_HISTORY, appended_at=self._clock.wall_ns())
        payloads = []
        for own in self._shards.split(ticks):
            entry.history = own.tobytes()
            payloads.append(entry.SerializeToString())
        deadline = self._clock.monotonic() + _PATIENCE_SECONDS
        await self._committed(await self._appended(payloads, deadline), deadline)
        return len(ticks) // 4

    async def _appended(self, payloads: list[bytes], deadline: float) -> str:
        while True:
            try:
                return await self._log.append(payloads)
            except LogFull:
                await self._wait(deadline, "the log is full")

    async def _committed(self, entry_id: str, deadline: float) -> None:
        while True:
            positions = await self._positions()
            if all(id_key(positions.get(slot, FIRST_ID)) >= id_key(entry_id) for slot in self._slots):
                return
            await self._wait(deadline, "the worker has not stored the minutes yet")

    async def _wait(self, deadline: float, why: str) -> None:
        if self._clock.monotonic() > deadline:
            raise Unavailable(why, metadata={"dependency": "worker"})
        await self._clock.sleep(_POLL_SECONDS)


def history_ticks(instrument: Instrument, day: Bars, minutes: NDArray[np.int64]) -> Ticks:
    """Four ticks for each bar of the day that begins one of the minutes, numbered by the minute of the day."""
    bars = np.zeros(len(day), dtype=BAR_ROW)
    for name in day.dtype.names or ():
        bars[name] = day[name]
    bars["instrument"] = instrument.instrument_id
    if instrument.kind is InstrumentKind.INDEX:
        bars["volume"] = ABSENT
    if len(bars):
        bars["line"] = (bars["open_time"] - bars["open_time"][0]) // MINUTE_NS
    ticks = BarTicks()(bars)
    chosen: Ticks = ticks[np.repeat(np.isin(bars["open_time"], minutes), 4)]
    return chosen

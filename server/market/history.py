"""The committed rows that the bars stage builds on, out of the database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from server.domain.bars import BAR_STATE, CLOSED, NEVER, baseline, partial
from server.domain.instruments import Instrument
from server.domain.prices import ABSENT
from server.market.ledgers import pair_keys
from server.market.sessions import SessionTable, day_numbers, day_start
from server.store.bars import BarStore
from server.store.database import Transaction
from server.store.instruments import InstrumentStore
from server.store.records import CLOSED as STORED_CLOSED
from server.store.records import PARTIAL as STORED_PARTIAL
from server.store.records import STORED_BAR

Rows = NDArray[np.void]
Pair = tuple[int, int]

_INSTRUMENTS = 50
"""Instruments of one query, so that reading many whole days does not stop the event loop for long."""

_SAME_COLUMNS = (
    "instrument", "open_time", "open", "high", "low", "close", "open_interest",
    "first_time", "first_row", "last_time", "last_row",
)  # fmt: skip


class StoredHistory:
    """`BarHistory` over the store."""

    def __init__(self, instruments: InstrumentStore, bars: BarStore, sessions: SessionTable) -> None:
        self._instruments = instruments
        self._bars = bars
        self._sessions = sessions

    async def instruments(self, numbers: Sequence[int]) -> Sequence[Instrument]:
        """Those that exist of the numbers."""
        return await self._instruments.by_numbers(numbers)

    async def days_with_bars(self, pairs: Sequence[Pair]) -> set[Pair]:
        """Which of the (instrument, exchange day) pairs have a stored 1-minute bar."""
        triples = {(number, day_start(day), day_start(day + 1)): (number, day) for number, day in pairs}
        found = await self._bars.days_with_bars(list(triples))
        return {triples[triple] for triple in found}

    async def day_bars(self, pairs: Sequence[Pair]) -> Rows:
        """All stored bars of the (instrument, exchange day) pairs, rows of `BAR_STATE`."""
        numbers = defaultdict(list)
        for number, day in pairs:
            numbers[day].append(number)
        parts = [np.empty(0, STORED_BAR)]
        for day, items in numbers.items():
            for first in range(0, len(items), _INSTRUMENTS):
                some = items[first : first + _INSTRUMENTS]
                parts.append(await self._bars.day_bars(some, day_start(day), day_start(day + 1)))
        return from_stored(np.concatenate(parts), self._sessions)

    async def write(self, transaction: Transaction, bars: Rows) -> None:
        """Merges rows of `BAR_STATE` into the stored ones; their roll-ups are marked as outdated with them."""
        await self._bars.merge_bars(transaction, to_stored(bars))


def to_stored(bars: Rows) -> Rows:
    """Rows of `STORED_BAR`."""
    rows = np.empty(len(bars), STORED_BAR)
    for column in _SAME_COLUMNS:
        rows[column] = bars[column]
    rows["cumulative_before"] = baseline(bars)
    running = np.where(bars["maximum"] != ABSENT, np.maximum(bars["before"], bars["maximum"]), ABSENT)
    rows["cumulative_max"] = running
    closed = (bars["flags"] & CLOSED) != 0
    rows["flags"] = np.where(partial(bars), STORED_PARTIAL, 0) | np.where(closed, STORED_CLOSED, 0)
    return rows


def from_stored(rows: Rows, sessions: SessionTable) -> Rows:
    """Rows of `BAR_STATE`, from rows that are ascending by time for each instrument.

    What the day's first volume was is known from its baseline; which tick it was, only by the bar's first tick: sources
    tell the volume with every tick or with none. Later bars count from the bars before them.
    """
    bars = np.empty(len(rows), BAR_STATE)
    for column in _SAME_COLUMNS:
        bars[column] = rows[column]
    bars["flags"] = np.where((rows["flags"] & STORED_CLOSED) != 0, CLOSED, 0)
    bars["day"] = day_numbers(rows["open_time"])
    bars["day_open"] = sessions.locate(rows["instrument"], rows["open_time"]).day_open
    bars["maximum"], bars["before"] = rows["cumulative_max"], ABSENT
    known = rows["cumulative_max"] != ABSENT
    bars["volume_time"] = np.where(known, ABSENT, NEVER)
    bars["volume_row"], bars["volume_first"] = bars["volume_time"], np.where(known, rows["cumulative_before"], ABSENT)
    places = np.flatnonzero(known)
    first = places[np.unique(pair_keys(bars[places]), return_index=True)[1]]
    bars["volume_time"][first], bars["volume_row"][first] = rows["first_time"][first], rows["first_row"][first]
    return bars

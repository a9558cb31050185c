"""The state of every chain as columns, and when a chain is due to be valued."""

from __future__ import annotations

import zlib
from datetime import date
from typing import Final

import numpy as np
import orjson
from numpy.typing import NDArray

from server.domain.options.time_to_expiry import expiry_instant
from server.domain.prices import ABSENT
from server.market.chain_stage.contracts import Contracts
from server.market.runs import NO_RUN
from server.market.sessions import SessionMinutes

Numbers = NDArray[np.int64]
Mask = NDArray[np.bool_]

CELL_NS: Final = 50_000_000
"""Market time that is taken in at once. Windows of all chains begin at its multiples."""

INDEX_WINDOW_NS: Final = 250_000_000
"""A chain of an index is valued at most once within this market time."""

STOCK_WINDOW_NS: Final = 500_000_000
"""So is a chain of a stock."""

STATE = np.dtype(
    [
        ("exists", "?"),
        ("dirty", "?"),
        ("run", "<i4"),
        ("day", "<i8"),
        ("revision", "<i8"),
        ("window", "<i8"),
        ("minute", "<i8"),
        ("over", "<i8"),
        ("samples", "<i8"),
        ("expiry", "<i8"),
        ("length", "<i8"),
        ("phase", "<i8"),
        ("underlying", "<i4"),
    ]
)
"""One chain. `run` is the index of the run that it is of, `day` the exchange day of its baselines, `window` the number
of the last window in which it was valued, `minute` the open time of the minute that `samples` valuations fell into
(`ABSENT`: none) and `over` the market time from which on that one is over, `expiry` the last instant of its contracts,
`length` and `phase` the windows' length and offset."""

SAVED: Final = ("dirty", "run", "day", "revision", "window", "minute", "over", "samples", "length", "phase")
"""Columns that a checkpoint keeps."""


class ChainTable:
    """All chains by number, as `Contracts` numbers them.

    The windows of a chain begin at an offset of its own, so that chains are not all valued at the same moment. Which
    windows have a valuation follows from market time alone.
    """

    def __init__(self, contracts: Contracts) -> None:
        self._contracts = contracts
        self.rows = _empty(64)
        self._reserved = 0

    def reserve(self) -> None:
        """Makes room for all chains that have a number."""
        count = len(self._contracts.keys)
        if count > len(self.rows):
            self.rows = np.concatenate((self.rows, _empty(max(count, 2 * len(self.rows)) - len(self.rows))))
        for chain in range(self._reserved, count):
            self.rows["expiry"][chain] = expiry_instant(self._contracts.keys[chain][1])
            self.rows["underlying"][chain] = self._contracts.underlying_of[chain]
            self.schedule(chain)
        self._reserved = count

    def create(self, chain: int, run: int) -> None:
        """The chain begins to exist in a run, with its first valuation due. Its day stays."""
        row = self.rows[chain]
        row["exists"], row["dirty"], row["run"], row["revision"] = True, True, run, 0
        row["window"], row["minute"], row["samples"] = ABSENT, ABSENT, 0

    def remove(self, chains: Numbers) -> None:
        """The chains are over."""
        self.rows["exists"][chains] = False
        self.rows["day"][chains] = ABSENT

    def touch(self, chains: Numbers) -> None:
        """Something that these chains are valued with has changed."""
        self.rows["dirty"][chains] = True

    def touch_underlyings(self, numbers: NDArray[np.int32]) -> None:
        """The price of these underlyings has changed."""
        self.rows["dirty"] |= self.rows["exists"] & np.isin(self.rows["underlying"], numbers)

    def due(self, run: int, at: int) -> Numbers:
        """Chains of a run that are to be valued at a market time: changed, and not valued in this window."""
        rows = self.rows
        return np.flatnonzero(
            rows["exists"]
            & rows["dirty"]
            & (rows["run"] == run)
            & ((at - rows["phase"]) // rows["length"] > rows["window"])
        )

    def dirty(self, run: int) -> Numbers:
        """Chains of a run that have changed since they were valued."""
        rows = self.rows
        return np.flatnonzero(rows["exists"] & rows["dirty"] & (rows["run"] == run))

    def valued(self, chains: Numbers, at: int, minutes: SessionMinutes) -> None:
        """They were valued at a market time; inside a session the valuation counts for its minute there."""
        rows = self.rows
        rows["dirty"][chains] = False
        rows["revision"][chains] += 1
        rows["window"][chains] = (at - rows["phase"][chains]) // rows["length"][chains]
        inside = minutes.inside
        counted = chains[inside]
        rows["minute"][counted], rows["over"][counted] = minutes.opened[inside], minutes.over[inside]
        rows["samples"][counted] += 1

    def closing(self, run: int, at: int | None) -> Numbers:
        """Chains of a run whose minute is over at a market time (None: all that have one)."""
        rows = self.rows
        mask = rows["exists"] & (rows["minute"] != ABSENT) & (rows["run"] == run)
        return np.flatnonzero(mask if at is None else mask & (rows["over"] <= at))

    def closed(self, chains: Numbers) -> None:
        """Their minutes are done."""
        self.rows["minute"][chains], self.rows["samples"][chains] = ABSENT, 0

    def expired(self, at: int) -> Numbers:
        """Chains that are in force no more at a market time."""
        return np.flatnonzero(self.rows["exists"] & (self.rows["expiry"] < at))

    def existing(self) -> Numbers:
        """All chains that exist."""
        return np.flatnonzero(self.rows["exists"])

    def dump(self) -> bytes:
        """All existing chains, for a checkpoint."""
        chains = self.existing().tolist()
        keys = [self._contracts.keys[chain] for chain in chains]
        columns = [self.rows[name][chains].tolist() for name in SAVED]
        return orjson.dumps(
            [[name, expiry, *row] for (name, expiry), row in zip(keys, zip(*columns, strict=True), strict=True)]
        )

    def load(self, payload: bytes) -> None:
        """Replaces all chains by those of a checkpoint."""
        self.rows["exists"] = False
        for name, expiry, *values in orjson.loads(payload):
            chain = self._contracts.chain((name, date.fromisoformat(expiry)))
            self.reserve()
            self.create(chain, NO_RUN)
            for column, value in zip(SAVED, values, strict=True):
                self.rows[column][chain] = value

    def schedule(self, chain: int) -> None:
        """Finds the windows of a chain. Whether its underlying is an index may have become known."""
        underlying, expiry = self._contracts.keys[chain]
        is_index = self._contracts.indices[self._contracts.underlying_of[chain]]
        length = INDEX_WINDOW_NS if is_index else STOCK_WINDOW_NS
        row = self.rows[chain]
        if row["length"] != length:
            row["window"] = ABSENT
        row["length"] = length
        row["phase"] = zlib.crc32(f"{underlying}:{expiry}".encode()) % (length // CELL_NS) * CELL_NS


def _empty(size: int) -> NDArray[np.void]:
    rows = np.zeros(size, STATE)
    rows["run"], rows["day"], rows["minute"], rows["window"] = NO_RUN, ABSENT, ABSENT, ABSENT
    rows["length"] = STOCK_WINDOW_NS
    return rows

"""Minute candles of strategies, out of their complete samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from server.domain.prices import ABSENT
from server.domain.timeframes import MINUTE_NS
from server.store.records import CANDLE

Rows = NDArray[np.void]
Numbers = NDArray[np.int64]

OPEN_CANDLE = np.dtype([("run", "<i8"), ("candle", CANDLE)])
"""A strategy's newest candle and the index of the run that it is of."""


class Candles:
    """The newest candle of each strategy, by place, and those before it that are not stored yet.

    A run begins its own candle, also in a minute that another run has been in.
    """

    def __init__(self) -> None:
        self._rows: Rows = _empty(256)
        self._unstored = np.zeros(256, dtype=np.bool_)
        self._done: list[Rows] = []

    def add(self, run: int, places: Numbers, samples: Rows) -> None:
        """Takes in complete samples as candles of one sample each, those of a strategy together, ascending by time."""
        if not len(samples):
            return
        self._reserve(int(places.max()) + 1)
        first = np.flatnonzero(_changes(places) | _changes(samples["open_time"]))
        folded = _folded(samples, first)
        owners = places[first]
        start = _changes(owners)
        turn = np.arange(len(owners)) - np.maximum.accumulate(np.where(start, np.arange(len(owners)), 0))
        for number in range(int(turn.max()) + 1):
            self._add_round(run, owners[turn == number], folded[turn == number])

    def unstored(self) -> list[Rows]:
        """Rows of `CANDLE` that changed since `stored`, to be merged one group after the other.

        A group has each minute of a strategy at most once; a second group exists when two runs were in one minute.
        """
        rows = np.concatenate([*self._done, self._rows["candle"][self._unstored]])
        groups = []
        while len(rows):
            _, first = np.unique(rows[["strategy", "open_time"]], return_index=True)
            groups.append(rows[np.sort(first)])
            rows = np.delete(rows, first)
        return groups

    def stored(self) -> None:
        """The database has all."""
        self._done = []
        self._unstored[:] = False

    def drop(self, place: int) -> None:
        """The place is given to another strategy."""
        if place < len(self._rows):
            if self._unstored[place]:
                self._done.append(self._rows["candle"][place : place + 1].copy())
            self._rows[place : place + 1] = _empty(1)
            self._unstored[place] = False

    def snapshot(self, places: Numbers) -> bytes:
        """Rows of `OPEN_CANDLE` at these places."""
        rows = self._rows[places[places < len(self._rows)]]
        return bytes(rows[rows["run"] != ABSENT].tobytes())

    def restore(self, places: Numbers, rows: Rows) -> None:
        """Takes over rows of `OPEN_CANDLE`; there are no others."""
        self._rows = _empty(len(self._rows))
        if len(rows):
            self._reserve(int(places.max()) + 1)
            self._rows[places] = rows

    def _add_round(self, run: int, places: Numbers, candles: Rows) -> None:
        known = self._rows[places]
        same = (known["run"] == run) & (known["candle"]["open_time"] == candles["open_time"])
        left = ~same & self._unstored[places]
        if left.any():
            self._done.append(known["candle"][left])
        merged = candles.copy()
        before = known["candle"]
        for column in ("open", "first_time"):
            merged[column] = np.where(same, before[column], candles[column])
        merged["high"] = np.where(same, np.maximum(before["high"], candles["high"]), candles["high"])
        merged["low"] = np.where(same, np.minimum(before["low"], candles["low"]), candles["low"])
        rows = np.empty(len(places), OPEN_CANDLE)
        rows["run"], rows["candle"] = run, merged
        self._rows[places] = rows
        self._unstored[places] = True

    def _reserve(self, size: int) -> None:
        if size > len(self._rows):
            extra = max(size, 2 * len(self._rows)) - len(self._rows)
            self._rows = np.concatenate((self._rows, _empty(extra)))
            self._unstored = np.pad(self._unstored, (0, extra))


def single(strategy: Numbers, market_time: Numbers, m2m: Numbers, leg_count: Numbers) -> Rows:
    """Each sample as a candle of its own."""
    rows = np.empty(len(strategy), CANDLE)
    rows["strategy"], rows["leg_count"] = strategy, leg_count
    rows["open_time"] = market_time // MINUTE_NS * MINUTE_NS
    rows["first_time"] = rows["last_time"] = market_time
    for column in ("open", "high", "low", "close"):
        rows[column] = m2m
    return rows


def _folded(samples: Rows, first: Numbers) -> Rows:
    rows: Rows = samples[np.append(first[1:], len(samples)) - 1]
    rows["open"], rows["first_time"] = samples["open"][first], samples["first_time"][first]
    rows["high"] = np.maximum.reduceat(samples["high"], first)
    rows["low"] = np.minimum.reduceat(samples["low"], first)
    return rows


def _changes(values: Numbers) -> NDArray[np.bool_]:
    changes = np.ones(len(values), dtype=np.bool_)
    np.not_equal(values[1:], values[:-1], out=changes[1:])
    return changes


def _empty(size: int) -> Rows:
    rows = np.zeros(size, OPEN_CANDLE)
    rows["run"] = ABSENT
    return rows

"""Bars of futures as they change, each with the bar before it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from server.domain.futures import SIGNAL_THRESHOLD, PositionMove, position_move
from server.market.hub.bar_series import BarSeries
from server.market.hub.folding import BarRow, Folder
from server.market.records import ABSENT, PRICE_SCALE
from strikeline.internal.v1 import log_pb2

_REMEMBERED: Final = 4
"""Bars of each contract whose ends are remembered: the present one, the one that late ticks still change, and the ones
before them."""

End = tuple[float, int | None]
"""Close in rupees or points, and open interest."""


class Tape:
    """The ends of the newest bars of each contract, by the bars' beginnings."""

    def __init__(self) -> None:
        self._ends: dict[int, dict[int, End]] = {}

    def note(self, row: BarRow) -> None:
        """A bar has come, or has changed."""
        ends = self._ends.setdefault(row.instrument, {})
        ends[row.open_time] = _end(row)
        while len(ends) > _REMEMBERED:
            del ends[min(ends)]

    def complete(self, row: BarRow) -> None:
        """A stored bar; what has come since is newer, but may have begun too late to know the open interest."""
        known = self._ends.get(row.instrument, {}).get(row.open_time)
        if known is None or known[1] is None:
            self.note(row)

    def adopt(self, other: Tape, instrument: int, before: int) -> None:
        """Takes over what another tape knows of bars that begin before an instant."""
        ends = self._ends.setdefault(instrument, {})
        ends |= {start: end for start, end in other._ends.get(instrument, {}).items() if start < before}

    def forget(self, instrument: int) -> None:
        """Nobody wants the contract any more, or its bars begin anew."""
        self._ends.pop(instrument, None)

    def move(self, row: BarRow, threshold: float = SIGNAL_THRESHOLD) -> PositionMove:
        """The bar against the one before it. Moves must exceed the threshold, per cent, to be a signal."""
        ends = self._ends.get(row.instrument, {})
        earlier = [start for start in ends if start < row.open_time]
        return position_move(_end(row), ends[max(earlier)] if earlier else None, threshold)


class SignalSeries:
    """Compares each bar of retained contracts with its predecessor, as the bars change."""

    def __init__(self, bars: BarSeries, *, closed_only: bool) -> None:
        self.bars = bars
        self.folder = bars.folder
        self.tape = Tape()
        self._closed_only = closed_only
        self._runs: dict[int, str] = {}

    def apply(self, entry: log_pb2.BarsEntry, minutes: Sequence[BarRow]) -> list[BarRow]:
        """Takes in an entry with its minutes of retained contracts. -> the bars whose signal it changed, in order."""
        for row in minutes:
            self._follow(entry.run, row)
        changed = self.bars.apply(entry, minutes)
        for row in changed:
            self.tape.note(row)
        return [row for row in _with_followers(changed, self.folder) if row.closed or not self._closed_only]

    def begin(self, run: str) -> None:
        """Bars are as they were when a run began, and what is known of their ends must be read again."""
        for instrument in self.folder.instruments:
            self.tape.forget(instrument)
            self._runs[instrument] = run

    def note_known(self, instrument: int) -> None:
        """The folder has learnt of a retained contract's bars by itself."""
        for row in self.folder.bars(instrument):
            self.tape.note(row)

    def forget(self, instrument: int) -> None:
        """Nobody wants the contract any more."""
        self.tape.forget(instrument)
        self._runs.pop(instrument, None)

    def _follow(self, run: str, row: BarRow) -> None:
        """A run about earlier days leaves nothing of the later ones."""
        known = self.folder.newest(row.instrument, closed_only=False)
        if self._runs.get(row.instrument) not in {None, run} and known is not None and row.open_time < known.open_time:
            self.tape.forget(row.instrument)
        self._runs[row.instrument] = run


def _with_followers(changed: list[BarRow], folder: Folder) -> Iterator[BarRow]:
    """The changed bars, and the bars after them: these have changed against their predecessors."""
    told = {(row.instrument, row.open_time) for row in changed}
    for row in changed:
        yield row
        newest = folder.newest(row.instrument, closed_only=False)
        if newest is None or newest.open_time <= row.open_time:
            continue
        if (row.instrument, newest.open_time) not in told:
            told.add((row.instrument, newest.open_time))
            yield newest


def _end(row: BarRow) -> End:
    return row.close / PRICE_SCALE, None if row.open_interest == ABSENT else row.open_interest

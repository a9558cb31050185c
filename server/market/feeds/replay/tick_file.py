"""CSV files of ticks of one instrument."""

from __future__ import annotations

from collections.abc import Iterator

from server.market.feeds.replay.source import Table
from server.market.feeds.replay.ticks import TickRows
from server.market.feeds.writer import Ticks


class TickFile:
    """A tick recording, streamed."""

    def __init__(self, table: Table, rows: TickRows) -> None:
        self._table = table
        self._rows = rows

    def chunks(self) -> Iterator[Ticks]:
        """One tick a row, in the order of the file."""
        return self._table.records(self._rows)

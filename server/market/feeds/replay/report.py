"""What a replay found out: malformed rows with their places, and what could not be kept."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

_LOGGED_ROWS: Final = 20
_LOG: Final = logging.getLogger("strikeline.feed")


@dataclass(frozen=True)
class MalformedRow:
    """One row that was skipped: the file's name, its line (from 1; of a JSON document the record), and why."""

    file: str
    line: int
    reason: str


@dataclass
class ReplayReport:
    """Grows while files are read. `malformed` counts all malformed rows, `rows` holds the first ones of each file.

    A quiet one does not log them.
    """

    quiet: bool = False
    malformed: int = 0
    rows: list[MalformedRow] = field(default_factory=list)
    without_price: Counter[str] = field(default_factory=Counter)
    kept_in_contracts: Counter[str] = field(default_factory=Counter)
    larger_bars: int = 0
    imported: int = 0
    _by_file: Counter[str] = field(default_factory=Counter)

    def skip(self, file: str, line: int, reason: str) -> None:
        """Counts and reports a malformed row."""
        self.malformed += 1
        self._by_file[file] += 1
        if self._by_file[file] <= _LOGGED_ROWS:
            self.rows.append(MalformedRow(file, line, reason))
            if not self.quiet:
                _LOG.warning("%s line %d skipped: %s", file, line, reason)


@dataclass(frozen=True)
class ReplaySummary:
    """What a finished replay did."""

    ticks: int
    files: int
    instruments_added: int
    report: ReplayReport

    def describe(self) -> str:
        """One line for people, then one for each thing that a reader should know."""
        sent = f"replay finished: {self.ticks:,} ticks from {self.files} files"
        lines = [f"{sent}, {self.report.malformed:,} malformed rows, {self.instruments_added:,} instruments added"]
        lines += [f"  {row.file} line {row.line}: {row.reason}" for row in self.report.rows]
        if self.report.larger_bars:
            lines.append(f"  {self.report.larger_bars:,} bars of larger timeframes stored")
        if self.report.imported:
            lines.append(f"  {self.report.imported:,} instruments imported")
        lines += [
            f"  {name}: {count:,} quotes without a price" for name, count in self.report.without_price.items() if count
        ]
        lines += [
            f"  {name}: {count:,} quotes keep open interest or volume in contracts: the lot size then is not known"
            for name, count in self.report.kept_in_contracts.items()
            if count
        ]
        return "\n".join(lines)

"""What the formats share: the run's context, and what a recognised file can be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from server.domain.timeframes import Timeframe
from server.market.feeds.contracts import ContractBook, ContractRules
from server.market.feeds.replay.bar_table import Bars
from server.market.feeds.replay.report import ReplayReport
from server.market.feeds.replay.reported import ReportedChanges
from server.market.feeds.writer import Ticks


@dataclass(frozen=True)
class ReplayContext:
    """One run of a replay: how contracts are made, which it knows, and what it reports."""

    rules: ContractRules
    book: ContractBook
    report: ReplayReport
    changes: ReportedChanges = field(default_factory=ReportedChanges)


class TickRecording(Protocol):
    """A file that yields ticks. Their `instrument` is the number of a contract of the run's book."""

    def chunks(self) -> Iterator[Ticks]:
        """The ticks in the order of the file, in bounded pieces."""


@dataclass(frozen=True)
class LargerBars:
    """A file of bars longer than a minute: they are stored as they are and make no ticks.

    `in_contracts`: volume and open interest are in contracts, because the lot size is not known.
    """

    timeframe: Timeframe
    bars: Bars
    in_contracts: bool = False


@dataclass(frozen=True)
class LargerFile:
    """A file of longer bars that are not all of one kind, and of ticks by time, of which there may be none."""

    parts: tuple[LargerBars, ...]
    ticks: Ticks

    def chunks(self) -> Iterator[Ticks]:
        """All ticks."""
        yield self.ticks


@dataclass(frozen=True)
class InstrumentFile:
    """A dump of the broker's instruments: it is imported."""

    path: Path


Recording = TickRecording | LargerBars | LargerFile | InstrumentFile

"""Entries of the log as the worker's stages see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from server.market.record_fields import cut_off_fields
from server.market.records import DEPTH, OPEN_INTEREST_REPORT, TICK
from strikeline.internal.v1.log_pb2 import LogEntry, LogEntryKind, StrategyState

Rows = NDArray[np.void]

RUN_STARTED = LogEntryKind.LOG_ENTRY_KIND_RUN_STARTED
TICKS = LogEntryKind.LOG_ENTRY_KIND_TICKS
RUN_ENDED = LogEntryKind.LOG_ENTRY_KIND_RUN_ENDED
STRATEGY_CHANGED = LogEntryKind.LOG_ENTRY_KIND_STRATEGY_CHANGED
HISTORY = LogEntryKind.LOG_ENTRY_KIND_HISTORY


class EntryUnreadable(Exception):
    """The payload is none of ours."""


@dataclass(frozen=True)
class Entry:
    """One log entry under its id, with the ticks of the shards that the reader follows, in shard order."""

    id: str
    parts: tuple[LogEntry, ...]

    @classmethod
    def parse(cls, id_: str, payloads: Sequence[bytes]) -> Entry:
        """Reads the payloads of one id, one for each shard. Raises EntryUnreadable when one is no LogEntry."""
        try:
            parts = tuple(LogEntry.FromString(payload) for payload in payloads)
        except DecodeError as error:
            raise EntryUnreadable(f"{id_} is no log entry: {error}") from error
        if cut_off := [name for part in parts for name in cut_off_fields(part)]:
            raise EntryUnreadable(f"{id_} has records that are cut off: {', '.join(cut_off)}")
        return cls(id_, parts)

    @classmethod
    def nothing(cls, id_: str) -> Entry:
        """An entry that no stage does anything with, in the place of an unreadable one."""
        return cls(id_, (LogEntry(),))

    @property
    def kind(self) -> LogEntryKind.ValueType:
        """What the entry is."""
        return self.parts[0].kind

    @property
    def run(self) -> str:
        """The feed run."""
        return self.parts[0].run

    @property
    def source(self) -> str:
        """The feed."""
        return self.parts[0].source

    @property
    def market_time(self) -> int:
        """The run's market time, nanoseconds since 1970 UTC; 0 before its first tick."""
        return max(part.market_time for part in self.parts)

    @property
    def appended_at(self) -> int:
        """Wall time of its appending, nanoseconds; for measuring only."""
        return self.parts[0].appended_at

    @property
    def strategy(self) -> StrategyState:
        """The strategy's whole state, for STRATEGY_CHANGED."""
        return self.parts[0].strategy

    @cached_property
    def ticks(self) -> Rows:
        """Rows of `TICK`."""
        return np.concatenate([np.frombuffer(part.ticks, TICK) for part in self.parts])

    @cached_property
    def history(self) -> Rows:
        """Rows of `TICK` of past minutes, for HISTORY."""
        return np.concatenate([np.frombuffer(part.history, TICK) for part in self.parts])

    @cached_property
    def depths(self) -> Rows:
        """Rows of `DEPTH`."""
        return np.concatenate([np.frombuffer(part.depths, DEPTH) for part in self.parts])

    @cached_property
    def open_interest_reports(self) -> Rows:
        """Rows of `OPEN_INTEREST_REPORT`."""
        return np.concatenate([np.frombuffer(part.open_interest_reports, OPEN_INTEREST_REPORT) for part in self.parts])

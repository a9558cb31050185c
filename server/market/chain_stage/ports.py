"""What the stage asks for, and what it is told by the settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from server.domain.instruments import Instrument
from server.market.chains import MinuteChain
from server.store.database import Transaction


class ChainReference(Protocol):
    """Committed rows that the stage builds on."""

    async def instruments(self, numbers: Sequence[int]) -> Sequence[Instrument]:
        """Those that exist of the instrument numbers."""
        ...

    async def contracts(self, expiries: Sequence[tuple[str, date]]) -> Sequence[Instrument]:
        """All options and futures of these (canonical underlying, expiry) pairs."""
        ...

    async def spots(self, underlyings: Sequence[str]) -> Sequence[Instrument]:
        """The index or stock that each canonical underlying is, where the master has it; at most one of each."""
        ...

    async def last_open_interest(self, numbers: Sequence[int], start: int, end: int) -> Mapping[int, int]:
        """Newest open interest of the stored bars within [start, end), nanoseconds, by instrument number; units."""
        ...


class ChainOutput(Protocol):
    """Where minutes go."""

    async def save_minutes(self, transaction: Transaction, minutes: Sequence[MinuteChain]) -> int:
        """Merges minutes of chains and their metrics; of two versions the one with more samples stays. -> rows."""
        ...


@dataclass(frozen=True)
class ChainRules:
    """What chains are valued by.

    `rate` and `dividend_yield` are fractions a year. `freshness` is the age, in nanoseconds of market time, beyond
    which a price values nothing.
    """

    rate: float
    dividend_yield: float
    freshness: int

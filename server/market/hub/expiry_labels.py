"""What expiries are called at a market time, for the underlyings that somebody follows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date

from server.domain.calendar import exchange_date
from server.domain.expiries import LabelledExpiry, ListedExpiry, earliest_expiry, labels_as_of

Listings = Callable[[str], Awaitable[Sequence[ListedExpiry]]]
"""Reads the expiries of an underlying's options on record, past ones too; none for an unknown underlying."""


@dataclass
class _Listed:
    expiries: tuple[ListedExpiry, ...]
    missed: set[tuple[date, date]] = field(default_factory=set)
    """Days and expiries for which the record was read again."""
    period: tuple[date, date] | None = None
    labels: tuple[LabelledExpiry, ...] = ()


class ExpiryLabels:
    """Labels out of the record of listed expiries, which is read again when a chain has one that it lacks."""

    def __init__(self, listings: Listings) -> None:
        self._listings = listings
        self._known: dict[str, _Listed] = {}

    async def learn(self, underlying: str) -> bool:
        """Reads the record of an underlying. -> it has options."""
        found = tuple(await self._listings(underlying))
        if found:
            missed = self._known[underlying].missed if underlying in self._known else set()
            self._known[underlying] = _Listed(found, missed)
        return bool(found)

    async def refresh(self, underlying: str, expiries: Iterable[date], at: int) -> None:
        """Reads it again when an expiry that trades at market time `at` is not in it; once a day for each."""
        known = self._known.get(underlying)
        if known is None:
            return
        day = exchange_date(at)
        listed = {entry.expiry for entry in known.expiries if entry.is_listed(day)}
        missing = {(day, expiry) for expiry in expiries if expiry not in listed} - known.missed
        if missing:
            known.missed |= missing
            await self.learn(underlying)

    def lists(self, underlying: str, expiry: date) -> bool:
        """The expiry is on record, whenever it was listed."""
        known = self._known.get(underlying)
        return known is not None and any(entry.expiry == expiry for entry in known.expiries)

    def at(self, underlying: str, instant: int) -> tuple[LabelledExpiry, ...]:
        """The expiries in force at a market time, ascending, with labels; none where the underlying was not learnt."""
        known = self._known.get(underlying)
        if known is None or not instant:
            return ()
        period = (exchange_date(instant), earliest_expiry(instant))
        if known.period != period:
            known.period, known.labels = period, labels_as_of(known.expiries, instant)
        return known.labels

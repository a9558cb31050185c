"""Which expiries an underlying's options have, and what they are called: the listings on record, kept for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from typing import Final, Protocol

from server.domain.calendar import exchange_date
from server.domain.errors import FailedPrecondition, FieldViolation, NotFound
from server.domain.expiries import LabelledExpiry, earliest_expiry, labels_as_of
from server.domain.symbols import canonical_underlying
from server.observability.durations import CacheUse
from server.services.requests import MarketClock
from server.store.expiry_listings import Listing

KEPT_SECONDS: Final = 30.0
"""How long listings are kept for calls that need nothing but labels."""

KEPT: Final = 2_000
"""Most underlyings that are kept. A full memory is emptied: what is asked for comes back by itself."""

NEAREST: Final = "NWeek+0"


class Listings(Protocol):
    """The listings on record (`server.store.expiry_listings.ExpiryListingStore`)."""

    async def listed(self, underlying: str) -> tuple[Listing, ...]:
        """All expiries of an underlying's options on record, ascending; empty: none."""
        ...


@dataclass(frozen=True)
class Labels:
    """What the expiries in force are called on one day. `first`: the earliest expiry in force then."""

    day: date
    first: date
    expiries: tuple[LabelledExpiry, ...]

    def of(self, expiry: date) -> tuple[str, ...]:
        """The labels of an expiry; none when it is not in force."""
        return next((item.labels for item in self.expiries if item.expiry == expiry), ())


@dataclass
class _Kept:
    listings: tuple[Listing, ...]
    until: float
    labels: Labels | None = None


class ListedExpiries:
    """Listings and labels. `monotonic` is a clock in seconds."""

    def __init__(self, source: Listings, monotonic: Callable[[], float]) -> None:
        self._source = source
        self._monotonic = monotonic
        self.use = CacheUse()
        self._kept: dict[str, _Kept] = {}

    async def listings(self, symbol: str, name: str = "") -> tuple[Listing, ...]:
        """The listings of an underlying as they are now. Raises NotFound (UNDERLYING_NOT_FOUND)."""
        found = await self._source.listed(symbol)
        if not found:
            raise unknown_underlying(name or symbol)
        if len(self._kept) >= KEPT:
            self._kept.clear()
        self._kept[symbol] = _Kept(found, self._monotonic() + KEPT_SECONDS)
        return found

    async def labels(self, symbol: str, instant: int, name: str = "") -> Labels:
        """The labels at an instant, by listings that may be some seconds old. Raises NotFound."""
        kept = self._kept.get(symbol)
        if kept is not None and self._monotonic() < kept.until:
            self.use.hits += 1
        else:
            self.use.misses += 1
            await self.listings(symbol, name)
            kept = self._kept[symbol]
        day, first = exchange_date(instant), earliest_expiry(instant)
        labels = kept.labels
        if labels is None or (labels.day, labels.first) != (day, first):
            labels = kept.labels = Labels(day, first, labels_as_of(kept.listings, instant))
        return labels


def symbol_of(name: str) -> str:
    """The canonical underlying of a symbol or alias. Raises NotFound (UNDERLYING_NOT_FOUND)."""
    try:
        return canonical_underlying(name)
    except ValueError as error:
        raise unknown_underlying(name) from error


def now_of(clock: MarketClock) -> int:
    """Market time. Raises FailedPrecondition (MARKET_TIME_UNKNOWN) before the first tick."""
    instant = clock.market_time()
    if instant is None:
        raise FailedPrecondition("no tick has come yet", reason="MARKET_TIME_UNKNOWN")
    return instant


def unknown_underlying(name: str) -> NotFound:
    """The error for an underlying without contracts."""
    return NotFound(
        f"no contracts on {name}",
        reason="UNDERLYING_NOT_FOUND",
        metadata={"underlying": name},
        violations=(FieldViolation("underlying", "has no contracts on record"),),
    )


def unknown_expiry(symbol: str, expiry: str, field: str = "expiry") -> NotFound:
    """The error for an expiry that is not in force."""
    return NotFound(
        f"no expiry {expiry} of {symbol} is in force",
        reason="EXPIRY_NOT_FOUND",
        metadata={"underlying": symbol, "expiry": expiry},
        violations=(FieldViolation(field, "is not the date or label of an expiry in force"),),
    )


def chosen_expiry(text: str, expiries: Iterable[LabelledExpiry]) -> date | None:
    """The expiry of a date or label in their contract form, the nearest for an empty one; None when it is not there."""
    wanted = text or NEAREST
    if wanted.startswith("N"):
        return next((item.expiry for item in expiries if wanted in item.labels), None)
    return next((item.expiry for item in expiries if item.expiry.isoformat() == wanted), None)

"""What several servicers read from requests in the same way."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from datetime import date
from typing import Protocol

from server.domain.errors import FieldViolation, InvalidArgument, NotFound
from server.domain.expiries import earliest_expiry
from server.domain.instruments import Instrument
from server.domain.symbols import canonical_instrument

PAGE_SIZE = 50
SERIES_SIZE = 1_000

_UNSEEN = frozenset({"Zs", "Zl", "Zp", "Cc", "Cf"})
"""Unicode's categories of spaces, line ends, controls and marks without width."""


class MarketClock(Protocol):
    """Where the market is."""

    def market_time(self) -> int | None:
        """Highest event time of the feed's run, nanoseconds since 1970 UTC; None before the first tick."""
        ...


class Liveness(MarketClock, Protocol):
    """Where the market is, and whether it moves."""

    def is_live(self) -> bool:
        """Ticks are coming, or the feed says that it lives."""
        ...


class InstrumentLookup(Protocol):
    """Finds instruments by canonical key."""

    async def by_keys(self, keys: Sequence[str]) -> list[Instrument]:
        """Those that exist, in the order of `keys`."""
        ...


def page_size(stated: int, default: int = PAGE_SIZE) -> int:
    """The size asked for, or the default. The contract's rules have bounded it."""
    return stated or default


def canonical_or_empty(name: str) -> str:
    """The canonical key that a name stands for; empty when it is not the name of an instrument."""
    try:
        return canonical_instrument(name)
    except ValueError:
        return ""


def visible(field: str, text: str) -> str:
    """A name that people can see, as it was given. Raises InvalidArgument for one that has nothing but blanks."""
    if all(unicodedata.category(letter) in _UNSEEN for letter in text):
        raise InvalidArgument.of(field, "must not be blank")
    return text


async def find_instruments(lookup: InstrumentLookup, names: Sequence[str], field: str) -> list[Instrument]:
    """The instruments of keys or aliases, in their order. Raises NotFound that names the first one that is unknown."""
    keys = [canonical_or_empty(name) for name in names]
    found = {item.key: item for item in await lookup.by_keys([key for key in keys if key])}
    for number, (name, key) in enumerate(zip(names, keys, strict=True)):
        if key not in found:
            raise unknown_instrument(name, f"{field}[{number}]")
    return [found[key] for key in keys]


async def find_instrument(lookup: InstrumentLookup, name: str, field: str) -> Instrument:
    """The instrument of a key or alias. Raises NotFound that names the field."""
    key = canonical_or_empty(name)
    found = await lookup.by_keys([key]) if key else []
    if not found:
        raise unknown_instrument(name, field)
    return found[0]


def unknown_instrument(name: str, field: str) -> NotFound:
    """The error for an instrument that does not exist, with the field that names it."""
    return NotFound(
        f"no instrument {name}",
        reason="INSTRUMENT_NOT_FOUND",
        metadata={"instrument": name},
        violations=(FieldViolation(field, "names no instrument"),),
    )


def in_force_on(clock: MarketClock) -> date | None:
    """The earliest expiry date of contracts that are in force at market time; None (all) before the first tick."""
    instant = clock.market_time()
    return None if instant is None else earliest_expiry(instant)

"""Which expiries were listed when: what the instrument master has, and on which days sources named it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Final, Protocol

from server.domain.expiries import ListedExpiry
from server.domain.instruments import InstrumentKind
from server.domain.symbols import parse_derivative
from server.store.database import Database, Row
from server.store.statements import Statements

FUTURE: Final = "FUTURE"
OPTION: Final = "OPTION"

_SQL = Statements.of("expiry_listings")
_KINDS: Final = {InstrumentKind.FUTURE: FUTURE, InstrumentKind.CALL: OPTION, InstrumentKind.PUT: OPTION}


class Dated(Protocol):
    """What a source tells about an instrument; other than derivatives have no expiry."""

    @property
    def exchange(self) -> str:
        """Where it is listed."""
        ...

    @property
    def kind(self) -> InstrumentKind:
        """What it is."""
        ...

    @property
    def underlying(self) -> str | None:
        """Canonical symbol of the underlying."""
        ...

    @property
    def expiry(self) -> date | None:
        """Last trading day."""
        ...


@dataclass(frozen=True)
class Listing(ListedExpiry):
    """A listed expiry on one exchange."""

    exchange: str = ""


class ExpiryListingStore:
    """Reads and writes on which days expiries were listed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def listed(self, underlying: str, kind: str = OPTION) -> tuple[Listing, ...]:
        """All expiries of an underlying's options or futures on record, past ones too, ascending; empty: none.

        What was there on the first day of an exchange's record has no beginning: it was listed before.
        """
        rows = await self._database.fetch(_SQL["of_underlying"], underlying, kind)
        return tuple(_listing(row) for row in rows)

    async def seen(self, day: date, contracts: Iterable[Dated], *, complete: bool = False) -> None:
        """Remembers that a source named these contracts on that day.

        `complete`: it named all contracts of each underlying, exchange and kind (future or option) that occurs among
        them; the expiries that it lacks were not listed on that day.
        """
        expiries = {key for contract in contracts if (key := _key(contract)) and key[3] >= day}
        if not expiries:
            return
        columns = [list(column) for column in zip(*expiries, strict=True)]
        series = [list(column) for column in zip(*{key[:3] for key in expiries}, strict=True)]
        async with self._database.transaction() as transaction:
            await transaction.execute(_SQL["see"], day, *columns)
            if complete:
                await transaction.execute(_SQL["complete"], day, *series)


def _listing(row: Row) -> Listing:
    return Listing(
        row["expiry"],
        row["listed_since"],
        row["listed_until"],
        weekly=_names_a_day(row["tradingsymbol"]),
        exchange=row["exchange"],
    )


def _names_a_day(tradingsymbol: str) -> bool:
    """The name of a contract has the day of its expiry in it."""
    try:
        return parse_derivative(tradingsymbol).day is not None
    except ValueError:
        return False


def _key(contract: Dated) -> tuple[str, str, str, date] | None:
    """Underlying, kind, exchange and expiry of a derivative."""
    kind = _KINDS.get(contract.kind)
    if kind is None or contract.underlying is None or contract.expiry is None:
        return None
    return (contract.underlying, kind, contract.exchange, contract.expiry)

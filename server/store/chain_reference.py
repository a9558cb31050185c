"""What the worker's chains are built on: contracts of expiries, spots of underlyings, open interest at a day's end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from server.domain.instruments import Instrument, InstrumentKind
from server.domain.symbols import canonical_underlying, index_key
from server.store.database import Database
from server.store.instruments import InstrumentStore, instrument_of
from server.store.records import to_datetime
from server.store.statements import Statements

_SQL = Statements.of("chain_reference")


class ChainReferenceStore:
    """Reads for the chains stage. Nothing here belongs to anybody."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def instruments(self, numbers: Sequence[int]) -> Sequence[Instrument]:
        """Those that exist of the instrument numbers."""
        return await InstrumentStore(self._database).by_numbers(numbers)

    async def contracts(self, expiries: Sequence[tuple[str, date]]) -> Sequence[Instrument]:
        """All options and futures of these (canonical underlying, expiry) pairs, by number."""
        names, dates = [name for name, _ in expiries], [expiry for _, expiry in expiries]
        return [instrument_of(row) for row in await self._database.fetch(_SQL["contracts"], names, dates)]

    async def spots(self, underlyings: Sequence[str]) -> Sequence[Instrument]:
        """The index or stock that each canonical underlying is, where the master has it; a stock is NSE's before BSE's.

        Two exchanges may list the same stock; derivatives are settled against the price of their own, which for nearly
        all is NSE.
        """
        keys = [key for name in underlyings for key in _keys(name)]
        rows = await self._database.fetch(_SQL["spots"], list(underlyings), keys)
        found: dict[str, Instrument] = {}
        for spot in sorted((instrument_of(row) for row in rows), key=_preference):
            found.setdefault(canonical_underlying(spot.underlying or spot.tradingsymbol), spot)
        return [found[name] for name in underlyings if name in found]

    async def last_open_interest(self, numbers: Sequence[int], start: int, end: int) -> dict[int, int]:
        """Newest open interest of the stored bars within [start, end), nanoseconds, by instrument number; units.

        Minutes say it before recorded daily bars do. An instrument without either is left out.
        """
        window = (list(numbers), to_datetime(start), to_datetime(end))
        found: dict[int, int] = {}
        for statement in ("last_daily_open_interest", "last_open_interest"):
            rows = await self._database.fetch(_SQL[statement], *window)
            found.update({row["instrument_id"]: row["open_interest"] for row in rows})
        return found


def _keys(underlying: str) -> Iterable[str]:
    index = index_key(underlying)
    return (f"NSE:{underlying}", f"BSE:{underlying}") if index is None else (index,)


def _preference(spot: Instrument) -> tuple[bool, bool, int]:
    return spot.kind is not InstrumentKind.INDEX, spot.exchange != "NSE", spot.instrument_id

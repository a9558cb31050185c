"""The instrument master."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from datetime import date
from decimal import Decimal
from typing import Final, cast

from server.domain.errors import NotFound
from server.domain.instruments import Instrument, InstrumentKind, NewInstrument
from server.store.database import Database, Row
from server.store.paging import Page, cut, decode_token, encode_token
from server.store.statements import Statements

_SQL = Statements.of("instruments")
_BATCH: Final = 20_000
_TRIGRAM: Final = 3
_SEARCH_DEPTH: Final = 10_000
_BEFORE_ALL: Final = date(1900, 1, 1)


_COLUMNS: Final = tuple(field.name for field in fields(NewInstrument))
_FIELDS: Final = ("instrument_id", *_COLUMNS)


@dataclass(frozen=True)
class InstrumentFilter:
    """Which instruments to list; None is any. `on` leaves out contracts that expired before that date."""

    kind: InstrumentKind | None = None
    exchange: str | None = None
    segment: str | None = None
    underlying: str | None = None
    on: date | None = None

    def arguments(self) -> tuple[object, ...]:
        """In the order of the statements' parameters."""
        return astuple(self)


@dataclass(frozen=True)
class ContractFilter:
    """Which derivatives of `underlying` (canonical symbol) to find. Strikes are rupees, both ends included."""

    underlying: str
    kind: InstrumentKind | None = None
    expiry: date | None = None
    min_strike: Decimal | None = None
    max_strike: Decimal | None = None
    on: date | None = None

    def arguments(self) -> tuple[object, ...]:
        """In the order of the statements' parameters."""
        return astuple(self)


@dataclass(frozen=True)
class UnderlyingSummary:
    """Something that derivatives are written on. `instrument` is its own key, absent when the master lacks it."""

    underlying: str
    instrument: str | None
    expiries: tuple[date, ...]
    contracts: int


@dataclass(frozen=True)
class NamedUnderlying:
    """Something with derivatives in force. `instrument` is its own one, absent when the master lacks it."""

    underlying: str
    instrument: Instrument | None


@dataclass(frozen=True)
class InstrumentCounts:
    """How many instruments share a kind, exchange and segment; `active` leaves out expired contracts."""

    kind: InstrumentKind
    exchange: str
    segment: str
    total: int
    active: int


class InstrumentStore:
    """Reads and writes instruments. They belong to nobody."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> list[Instrument]:
        """Every instrument, by number."""
        return [instrument_of(row) for row in await self._database.fetch(_SQL["all"])]

    async def by_keys(self, keys: Iterable[str]) -> list[Instrument]:
        """Those that exist of the canonical keys, in the order of `keys`."""
        wanted = list(dict.fromkeys(keys))
        found = {row["key"]: instrument_of(row) for row in await self._database.fetch(_SQL["by_keys"], wanted)}
        return [found[key] for key in wanted if key in found]

    async def by_numbers(self, numbers: Iterable[int]) -> list[Instrument]:
        """Those that exist of the instrument numbers, by number."""
        return [instrument_of(row) for row in await self._database.fetch(_SQL["by_numbers"], list(numbers))]

    async def get(self, key: str) -> Instrument:
        """The instrument of a canonical key. Raises NotFound (INSTRUMENT_NOT_FOUND)."""
        found = await self.by_keys([key])
        if not found:
            raise NotFound(f"no instrument {key}", reason="INSTRUMENT_NOT_FOUND", metadata={"instrument": key})
        return found[0]

    async def upsert(self, rows: Sequence[NewInstrument]) -> list[Instrument]:
        """Adds new instruments and updates known ones. -> all of them with their numbers, in the order given.

        A less authoritative source (replay < synthetic < ticker < seed < kite) changes nothing of a known instrument.
        """
        await self._write(rows)
        return await self.by_keys(row.key for row in rows)

    async def import_bulk(self, rows: Sequence[NewInstrument]) -> int:
        """As `upsert`, for tens of thousands. -> how many were given."""
        for start in range(0, len(rows), _BATCH):
            await self._write(rows[start : start + _BATCH])
        return len(rows)

    async def list(self, wanted: InstrumentFilter, page_size: int, page_token: str = "") -> Page[Instrument]:
        """Instruments by key, counted."""
        arguments = wanted.arguments()
        after = decode_token(arguments, page_token, str)
        rows = await self._database.fetch(_SQL["list"], *arguments, after[0] if after else "", page_size + 1)
        items, last = cut([instrument_of(row) for row in rows], page_size)
        token = encode_token(arguments, [last.key]) if last else ""
        return Page(items, token, await self._count("count", arguments))

    async def search(
        self,
        query: str,
        page_size: int,
        page_token: str = "",
        *,
        kind: InstrumentKind | None = None,
        on: date | None = None,
    ) -> Page[Instrument]:
        """Instruments whose symbol or name has every word of `query`, best first; at most 10,000 over all pages.

        Words shorter than three letters are looked for at the beginning of the symbol.
        """
        words = query.upper().split()
        asked = (tuple(words), kind, on)
        after = decode_token(asked, page_token, int)
        offset = cast(int, after[0]) if after else 0
        if not words or not 0 <= offset < _SEARCH_DEPTH:
            return Page(())
        rows = await self._matching(words, kind, on, page_size + 1, offset)
        items, last = cut([instrument_of(row) for row in rows], page_size)
        return Page(items, encode_token(asked, [offset + page_size]) if last else "")

    async def derivative_contracts(
        self, wanted: ContractFilter, page_size: int, page_token: str = ""
    ) -> Page[Instrument]:
        """Derivatives by expiry, strike (futures first) and key, counted."""
        arguments = wanted.arguments()
        after = decode_token(arguments, page_token, str, str, str)
        expiry, strike, key = (str(part) for part in after) if after else (_BEFORE_ALL.isoformat(), "-1", "")
        behind = (date.fromisoformat(expiry), Decimal(strike), key)
        rows = await self._database.fetch(_SQL["contracts"], *arguments, *behind, page_size + 1)
        items, last = cut([instrument_of(row) for row in rows], page_size)
        token = encode_token(arguments, [str(last.expiry), str(_strike(last)), last.key]) if last else ""
        return Page(items, token, await self._count("count_contracts", arguments))

    async def underlyings(self, on: date | None = None) -> Sequence[UnderlyingSummary]:
        """What has derivatives that are not over on that date, by symbol."""
        rows = await self._database.fetch(_SQL["underlyings"], on)
        return [
            UnderlyingSummary(row["underlying"], row["instrument"], tuple(row["expiries"]), row["contracts"])
            for row in rows
        ]

    async def search_underlyings(
        self, query: str, canonical: str, on: date, page_size: int, page_token: str = ""
    ) -> Page[NamedUnderlying]:
        """What has derivatives that are not over on that date and has the query in a symbol or name, best first.

        Spaces and case do not matter. `canonical` is the underlying that the query is a name of, else empty.
        """
        compact = query.upper().replace(" ", "")
        asked = (compact, canonical, on)
        after = decode_token(asked, page_token, int)
        offset = cast(int, after[0]) if after else 0
        if not compact or not 0 <= offset < _SEARCH_DEPTH:
            return Page(())
        arguments = (_literal(compact), compact, canonical, on, page_size + 1, offset)
        rows = await self._database.fetch(_SQL["search_underlyings"], *arguments)
        items, last = cut([_named(row) for row in rows], page_size)
        return Page(items, encode_token(asked, [offset + page_size]) if last else "")

    async def stats(self, on: date | None = None) -> Sequence[InstrumentCounts]:
        """Counts by kind, exchange and segment."""
        rows = await self._database.fetch(_SQL["stats"], on)
        return [
            InstrumentCounts(InstrumentKind(row["kind"]), row["exchange"], row["segment"], row["total"], row["active"])
            for row in rows
        ]

    async def _write(self, rows: Sequence[NewInstrument]) -> None:
        if not rows:
            return
        columns = [[getattr(row, name) for row in rows] for name in _COLUMNS]
        keys = [row.key for row in rows]
        await self._database.run(lambda transaction: transaction.execute(_SQL["upsert"], keys, *columns))

    async def _count(self, statement: str, arguments: tuple[object, ...]) -> int:
        row = await self._database.fetchrow(_SQL[statement], *arguments)
        return row[0] if row else 0

    async def _matching(
        self, words: Sequence[str], kind: InstrumentKind | None, on: date | None, limit: int, offset: int
    ) -> Sequence[Row]:
        patterns = [f"%{_literal(word)}%" for word in words]
        longest = max(words, key=len)
        if len(longest) < _TRIGRAM:
            beginning = _literal(" ".join(words)) + "%"
            return await self._database.fetch(_SQL["search_prefix"], beginning, kind, on, limit, offset)
        best = f"%{_literal(longest)}%"
        whole = " ".join(words)
        return await self._database.fetch(_SQL["search"], best, patterns, whole, kind, on, limit, offset)


def _literal(text: str) -> str:
    """Text for LIKE without its wildcards."""
    return text.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")


def _strike(instrument: Instrument) -> Decimal:
    return Decimal(-1) if instrument.strike is None else instrument.strike


def _named(row: Row) -> NamedUnderlying:
    own = None if row["instrument_id"] is None else instrument_of(row)
    return NamedUnderlying(row["canonical"], own)


def instrument_of(row: Row) -> Instrument:
    """An instrument of a row that has all columns of the master."""
    values = {name: row[name] for name in _FIELDS}
    return Instrument(**{**values, "kind": InstrumentKind(row["kind"])})

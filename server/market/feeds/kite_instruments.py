"""The broker's instrument dump (CSV) into the instrument master."""

from __future__ import annotations

import asyncio
import csv
import gzip
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Final, Protocol

from server.domain.instruments import InstrumentKind, NewInstrument
from server.domain.prices import PRICE_LIMIT
from server.domain.symbols import canonical_instrument, canonical_underlying, parse_derivative, split_key

REQUIRED_COLUMNS: Final = (
    "instrument_token",
    "tradingsymbol",
    "expiry",
    "strike",
    "tick_size",
    "lot_size",
    "instrument_type",
    "segment",
    "exchange",
)
MAX_BYTES: Final = 64 * 1_048_576
"""Largest dump, unpacked."""

_DATE_LAYOUTS: Final = ("%Y-%m-%d", "%d/%m/%y", "%d/%m/%Y", "%d-%m-%Y", "%d-%b-%Y", "%Y-%m-%d %H:%M:%S")
_KINDS: Final[Mapping[str, InstrumentKind]] = MappingProxyType(
    {
        "EQ": InstrumentKind.EQUITY,
        "FUT": InstrumentKind.FUTURE,
        "CE": InstrumentKind.CALL,
        "PE": InstrumentKind.PUT,
    }
)
_OPTIONS: Final = frozenset({InstrumentKind.CALL, InstrumentKind.PUT})
_CASH: Final = frozenset({InstrumentKind.EQUITY, InstrumentKind.INDEX})
_LARGEST_LOT: Final = 2**31
_LARGEST_TOKEN: Final = 2**63
_DEFAULT_TICK: Final = Decimal("0.05")


class NotAnInstrumentFile(ValueError):
    """The text is no instrument dump. `missing`: the columns that it lacks, when that is why."""

    def __init__(self, message: str, missing: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.missing = tuple(missing)


@dataclass(frozen=True)
class MalformedInstrument:
    """One row that was skipped: its line in the file, from 1, and why."""

    line: int
    reason: str


@dataclass(frozen=True)
class ParsedInstruments:
    """The instruments of a dump, of which it had `rows` rows."""

    rows: int
    instruments: Sequence[NewInstrument]
    malformed: Sequence[MalformedInstrument]


@dataclass(frozen=True)
class ImportReport:
    """What an import did: rows read, instruments written, rows skipped with line and reason."""

    rows: int
    imported: int
    malformed: Sequence[MalformedInstrument]


class BulkImport(Protocol):
    """The instrument master (`server.store.instruments.InstrumentStore`)."""

    async def import_bulk(self, rows: Sequence[NewInstrument]) -> int:
        """Adds or updates many instruments; gives how many."""


class ListingRecord(Protocol):
    """Which expiries were listed when (`server.store.expiry_listings.ExpiryListingStore`)."""

    async def seen(self, day: date, contracts: Sequence[NewInstrument], *, complete: bool) -> None:
        """Remembers that the contracts were listed on that day."""


@dataclass(frozen=True)
class Dump:
    """The day of a dump, None when it is not known.

    `complete`: it names all contracts of each underlying that occurs in it, so that expiries it lacks were not listed.
    """

    day: date | None = None
    complete: bool = False


async def import_instruments(
    data: bytes, master: BulkImport, listings: ListingRecord, dump: Dump | None = None
) -> ImportReport:
    """Writes the instruments of a dump (CSV, plain or gzip) into the master, and that they were listed on its day.

    A malformed row is reported and skipped. Raises NotAnInstrumentFile when the whole is no such dump.
    """
    parsed = await asyncio.to_thread(parse_instruments, data)
    imported = await master.import_bulk(parsed.instruments)
    if dump is not None and dump.day is not None:
        await listings.seen(dump.day, parsed.instruments, complete=dump.complete)
    return ImportReport(parsed.rows, imported, parsed.malformed)


def parse_instruments(data: bytes) -> ParsedInstruments:
    """The instruments of a dump (CSV, plain or gzip). Raises NotAnInstrumentFile when it is none."""
    lines = _lines(_text(data))
    _, header = next(lines, (1, []))
    missing = [name for name in REQUIRED_COLUMNS if name not in header]
    if missing:
        names = ", ".join(missing)
        raise NotAnInstrumentFile(f"not the broker's instrument CSV, columns missing: {names}", missing)
    found: dict[str, NewInstrument] = {}
    malformed: list[MalformedInstrument] = []
    rows = 0
    for line, cells in lines:
        rows += 1
        try:
            if len(cells) != len(header):
                raise ValueError(f"{len(cells)} columns instead of {len(header)}")
            instrument = _instrument(dict(zip(header, cells, strict=True)))
            if instrument.key in found:
                raise ValueError(f"repeats {instrument.key}")
            found[instrument.key] = instrument
        except ValueError as error:
            malformed.append(MalformedInstrument(line, str(error)))
    return ParsedInstruments(rows, list(found.values()), malformed)


def _text(data: bytes) -> str:
    if data[:2] == b"\x1f\x8b":
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
            try:
                data = stream.read(MAX_BYTES + 1)
            except (OSError, EOFError) as error:
                raise NotAnInstrumentFile(f"the compressed file is damaged: {error}") from error
    if len(data) > MAX_BYTES:
        raise NotAnInstrumentFile(f"an instrument file has at most {MAX_BYTES:,} bytes")
    return data.decode("utf-8-sig", "replace")


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """Each row with the number of its line; blank lines are left out."""
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        for cells in reader:
            if cells:
                yield reader.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise NotAnInstrumentFile(f"line {reader.line_num}: no CSV: {error}") from error


def _instrument(row: Mapping[str, str]) -> NewInstrument:
    kind = _kind(row)
    exchange, tradingsymbol = split_key(canonical_instrument(f"{row['exchange']}:{row['tradingsymbol']}"))
    derivative = kind not in _CASH
    tick = _number(row["tick_size"], "tick_size")
    lot = _whole(row["lot_size"], "lot_size", _LARGEST_LOT)
    if derivative and not lot:
        raise ValueError("lot_size of a derivative is above 0")
    return NewInstrument(
        exchange=exchange,
        tradingsymbol=tradingsymbol,
        token=_whole(row["instrument_token"], "instrument_token", _LARGEST_TOKEN),
        name=row.get("name", ""),
        kind=kind,
        underlying=_underlying(row, kind, tradingsymbol),
        expiry=_date(row["expiry"]) if derivative else None,
        strike=_positive(row["strike"], "strike") if kind in _OPTIONS else None,
        tick_size=tick or _DEFAULT_TICK,
        lot_size=max(1, lot),
        segment=row["segment"],
        provenance="kite",
    )


def _kind(row: Mapping[str, str]) -> InstrumentKind:
    if row["segment"] == "INDICES":
        return InstrumentKind.INDEX
    try:
        return _KINDS[row["instrument_type"]]
    except KeyError:
        raise ValueError(f"unknown instrument_type {row['instrument_type']!r}") from None


def _underlying(row: Mapping[str, str], kind: InstrumentKind, tradingsymbol: str) -> str | None:
    if kind is InstrumentKind.EQUITY:
        return None
    if kind is InstrumentKind.INDEX:
        return canonical_underlying(tradingsymbol)
    return canonical_underlying(row.get("name") or parse_derivative(tradingsymbol).underlying)


def _date(text: str) -> date:
    for layout in _DATE_LAYOUTS:
        try:
            return datetime.strptime(text.strip(), layout).date()  # noqa: DTZ007 - a date of the exchange, no instant
        except ValueError:
            continue
    raise ValueError(f"expiry is no date: {text!r}")


def _number(text: str, name: str, limit: int = PRICE_LIMIT) -> Decimal:
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        raise ValueError(f"{name} is no number: {text!r}") from None
    if not number.is_finite() or not 0 <= number < limit:
        raise ValueError(f"{name} is a number of 0 or more and below {limit}: {text!r}")
    return number


def _positive(text: str, name: str) -> Decimal:
    number = _number(text, name)
    if number == 0:
        raise ValueError(f"{name} is above 0: {text!r}")
    return number


def _whole(text: str, name: str, limit: int) -> int:
    number = _number(text, name, limit)
    if number != int(number):
        raise ValueError(f"{name} is a whole number: {text!r}")
    return int(number)

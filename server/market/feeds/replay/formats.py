"""Recognises what a file holds by its content."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Final

from server.domain.instruments import InstrumentKind
from server.market.feeds.contracts import Contract
from server.market.feeds.replay import atm_options
from server.market.feeds.replay.atm_options import AtmOptionFile
from server.market.feeds.replay.bars import BarColumns, open_bars
from server.market.feeds.replay.chain_days import DAY_COLUMNS, ChainDays
from server.market.feeds.replay.chain_tables import (
    PAGE_COLUMNS,
    SNAPSHOT_COLUMNS,
    ChainPages,
    ChainSnapshots,
)
from server.market.feeds.replay.day_file import open_day_file
from server.market.feeds.replay.day_formats import format_of
from server.market.feeds.replay.json_files import recognise_json
from server.market.feeds.replay.paths import ReplayPath
from server.market.feeds.replay.recording import InstrumentFile, Recording, ReplayContext
from server.market.feeds.replay.source import Table, UnknownFormat, header_of, open_source
from server.market.feeds.replay.tick_file import TickFile
from server.market.feeds.replay.ticks import TickRows

_PEEK_BYTES: Final = 65_536
_TIMES: Final = ("timestamp", "ts", "datetime", "date", "time")
_INSTRUMENTS: Final = frozenset({"instrument_token", "tradingsymbol", "exchange"})

Header = tuple[str, ...]


def recognise(file: ReplayPath, context: ReplayContext) -> Recording:
    """What the file is, ready to be read. Raises UnknownFormat that names the file and what was found in it."""
    with open_source(file.path) as stream:
        try:
            beginning = stream.read(_PEEK_BYTES).lstrip()
        except (OSError, EOFError) as error:
            raise UnknownFormat(f"{file.path}: cannot be read: {error}") from error
    if not beginning:
        raise UnknownFormat(f"{file.path}: the file is empty")
    if beginning[:1] in {b"{", b"["}:
        return recognise_json(file.path, lambda day: _only(file, context, day), context)
    header = header_of(beginning.partition(b"\n")[0].removesuffix(b"\r"))
    for recogniser in _CSV_FORMATS:
        recording = recogniser(header, file, context)
        if recording is not None:
            return recording
    found = ", ".join(header)[:200]
    raise UnknownFormat(f"{file.path}: no known recording; its first line is: {found}")


def _named(header: Header, *names: str) -> str | None:
    """The header's own spelling of the first of the names that it has."""
    spelled = {name.lower(): name for name in header}
    return next((spelled[name] for name in names if name in spelled), None)


def _instruments(header: Header, file: ReplayPath, _: ReplayContext) -> Recording | None:
    return InstrumentFile(file.path) if set(header) >= _INSTRUMENTS else None


def _atm_options(header: Header, file: ReplayPath, context: ReplayContext) -> Recording | None:
    return AtmOptionFile(file.path, context) if set(header) >= atm_options.COLUMNS else None


def _chain_pages(header: Header, file: ReplayPath, context: ReplayContext) -> Recording | None:
    if not set(header) >= PAGE_COLUMNS:
        return None
    return ChainPages(file.path, _only(file, context).key, "expiry" in header, context)


def _chain_days(header: Header, file: ReplayPath, context: ReplayContext) -> Recording | None:
    return ChainDays(file.path, _only(file, context).key, context) if set(header) >= DAY_COLUMNS else None


def _chain_snapshots(header: Header, file: ReplayPath, context: ReplayContext) -> Recording | None:
    return ChainSnapshots(file.path, context) if set(header) >= SNAPSHOT_COLUMNS else None


def _day_file(header: Header, file: ReplayPath, context: ReplayContext) -> Recording | None:
    layout = format_of(header)
    return None if layout is None else open_day_file(file, layout, context)


def _bars(header: Header, file: ReplayPath, context: ReplayContext) -> Recording | None:
    required = [_named(header, *_TIMES), *(_named(header, name) for name in ("open", "high", "low", "close"))]
    if None in required:
        return None
    time, opening, high, low, close = (name or "" for name in required)
    symbol = _named(header, "tradingsymbol", "symbol")
    columns = BarColumns(
        time, opening, high, low, close, _named(header, "volume"), _named(header, "oi", "open_interest"), symbol
    )
    return open_bars(file.path, columns, context, None if symbol else _only(file, context))


def _ticks(header: Header, file: ReplayPath, context: ReplayContext) -> Recording | None:
    time, price = _named(header, *_TIMES), _named(header, "ltp", "last_price", "price")
    if time is None or price is None:
        return None
    contract = _only(file, context)
    rows = TickRows(
        context.book.number(contract),
        time,
        price,
        _named(header, "volume"),
        is_index=contract.kind is InstrumentKind.INDEX,
    )
    return TickFile(Table(file.path, context.report), rows)


def _only(file: ReplayPath, context: ReplayContext, day: date | None = None) -> Contract:
    """The instrument of a file that does not name it, as of a day."""
    try:
        return context.rules.of_key(file.key, day)
    except ValueError as error:
        raise UnknownFormat(f"{file.path}: name its instrument as {file.path.name}=EXCHANGE:SYMBOL: {error}") from error


_CSV_FORMATS: Final[tuple[Callable[[Header, ReplayPath, ReplayContext], Recording | None], ...]] = (
    _instruments,
    _atm_options,
    _chain_pages,
    _chain_snapshots,
    _chain_days,
    _day_file,
    _bars,
    _ticks,
)

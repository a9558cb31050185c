"""CSV files of bars: of one instrument that the file does not name, or of many by their tradingsymbol."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from server.domain.calendar import DAY_NS, exchange_date
from server.domain.instruments import InstrumentKind
from server.domain.timeframes import MINUTE_NS, TIMEFRAMES, Timeframe
from server.market.feeds.contracts import Contract
from server.market.feeds.replay.bar_table import BAR_ROW, Bars, BarTicks, by_time, check_bars
from server.market.feeds.replay.day_rows import day_of, midnight
from server.market.feeds.replay.recording import LargerBars, Recording, ReplayContext
from server.market.feeds.replay.report import ReplayReport
from server.market.feeds.replay.source import Rows, Table, UnknownFormat
from server.market.feeds.replay.texts import Column, TimeColumn, optional_quantity_of, price_of
from server.market.feeds.writer import Ticks
from server.market.records import ABSENT

_MOST_BARS: Final = 2_000_000
_SLICE: Final = 8_192
_DAY: Final = Timeframe.parse("1day")
_LONGEST_DAY: Final = 5
"""Calendar days from a trading day to the next one over the longest run of holidays."""

_DATE_LENGTH: Final = len("19-May-2026")
_ALONE: Final = np.dtype([("alone", "?")])
_FIRST_YEAR, _LAST_YEAR = 1990, 2099


@dataclass(frozen=True)
class BarColumns:
    """Names of a file's columns. `symbol` None: all bars are of one instrument."""

    time: str
    open: str
    high: str
    low: str
    close: str
    volume: str | None
    open_interest: str | None
    symbol: str | None


class BarRows:
    """Turns rows of text into bars. `only` is the instrument of a file that names none.

    `dated`: the times are dates alone, the exchange's days.
    """

    def __init__(self, columns: BarColumns, context: ReplayContext, only: Contract | None, *, dated: bool) -> None:
        self._columns = columns
        self._context = context
        self._only = only
        self._time = Column(_midnight_of) if dated else TimeColumn()
        self._price = Column(price_of)
        self._quantity = Column(optional_quantity_of)
        self._symbols: dict[bytes, int] = {}

    def __call__(self, rows: Rows) -> Bars:
        """One bar a row. Raises ValueError for a malformed one."""
        names, texts = self._columns, rows.columns
        bars = np.zeros(len(rows), dtype=BAR_ROW)
        bars["line"] = rows.lines
        bars["open_time"] = self._time(texts[names.time])
        for field in ("open", "high", "low", "close"):
            bars[field] = self._price(texts[getattr(names, field)])
        bars["volume"] = ABSENT if names.volume is None or self._is_index() else self._quantity(texts[names.volume])
        bars["open_interest"] = ABSENT if names.open_interest is None else self._quantity(texts[names.open_interest])
        bars["instrument"] = self._instruments(rows, bars)
        return check_bars(bars)

    def _is_index(self) -> bool:
        return self._only is not None and self._only.kind is InstrumentKind.INDEX

    def _instruments(self, rows: Rows, bars: Bars) -> list[int] | int:
        if self._only is not None:
            return self._context.book.number(self._only)
        numbers = []
        symbols = rows.columns[self._columns.symbol or ""]
        for text, time in zip(symbols, bars["open_time"].tolist(), strict=True):
            number = self._symbols.get(text)
            if number is None:
                contract = self._context.rules.of_symbol(text.decode().strip(), exchange_date(time))
                number = self._symbols[text] = self._context.book.number(contract)
            numbers.append(number)
        return numbers


class OneInstrumentBars:
    """1-minute bars of one instrument, streamed."""

    def __init__(self, table: Table, rows: BarRows) -> None:
        self._table = table
        self._rows = rows

    def chunks(self) -> Iterator[Ticks]:
        """Four ticks a bar, in the order of the file."""
        to_ticks = BarTicks()
        for bars in self._table.records(self._rows):
            yield to_ticks(bars)


class ManyInstrumentBars:
    """1-minute bars of many instruments, which files keep one instrument after the other: read whole, then by time."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars

    def chunks(self) -> Iterator[Ticks]:
        """Four ticks a bar, by time."""
        to_ticks = BarTicks()
        minutes = np.maximum.accumulate(self._bars["open_time"])
        starts = np.flatnonzero(np.diff(minutes, prepend=ABSENT))
        first = 0
        while first < len(self._bars):
            at = int(np.searchsorted(starts, first + _SLICE))
            last = int(starts[at]) if at < len(starts) else len(self._bars)
            ticks = to_ticks(self._bars[first:last])
            yield ticks[np.argsort(ticks["event_time"], kind="stable")]
            first = last


def open_bars(path: Path, columns: BarColumns, context: ReplayContext, only: Contract | None) -> Recording:
    """The recording of a bar file. Its timeframe is the smallest distance of two bars of an instrument.

    A file with dates instead of times has bars of a day.
    """
    dated = _is_dated(path, columns.time)
    table, rows = Table(path, context.report), BarRows(columns, context, only, dated=dated)
    if dated:
        bars = read_all(table, rows, path.name)
        _check_days(bars, path.name)
        return LargerBars(_DAY, bars)
    if columns.symbol is None:
        beginning = Table(path, ReplayReport(quiet=True)).records(rows)
        timeframe = timeframe_of(next(beginning, np.empty(0, dtype=BAR_ROW)), path.name)
        if timeframe.length_ns == MINUTE_NS:
            return OneInstrumentBars(table, rows)
        return LargerBars(timeframe, read_all(table, rows, path.name))
    bars = read_all(table, rows, path.name)
    timeframe = timeframe_of(bars, path.name)
    return ManyInstrumentBars(by_time(bars)) if timeframe.length_ns == MINUTE_NS else LargerBars(timeframe, bars)


def read_all(table: Table, rows: BarRows, name: str) -> Bars:
    """All bars of a file. Raises UnknownFormat when there are too many to hold."""
    parts, total = [np.empty(0, dtype=BAR_ROW)], 0
    for bars in table.records(rows):
        parts.append(bars)
        total += len(bars)
        if total > _MOST_BARS:
            raise UnknownFormat(f"{name}: more than {_MOST_BARS:,} bars of many instruments: split it by time")
    return np.concatenate(parts)


def timeframe_of(bars: Bars, name: str) -> Timeframe:
    """The timeframe whose length is the smallest distance of an instrument's bars; a minute when it has one bar only.

    Raises UnknownFormat when there is no such timeframe.
    """
    smallest = _smallest_gap(bars) or MINUTE_NS
    for timeframe in TIMEFRAMES:
        if timeframe.length_ns == smallest:
            return timeframe
    raise UnknownFormat(f"{name}: bars are {smallest / 1e9:g} seconds apart, which is no known timeframe")


def _smallest_gap(bars: Bars) -> int:
    """The smallest distance of two bars of one instrument, nanoseconds; 0 when none has two."""
    order = np.lexsort((bars["open_time"], bars["instrument"]))
    times, instruments = bars["open_time"][order], bars["instrument"][order]
    gaps = np.diff(times)[(np.diff(instruments) == 0) & (np.diff(times) > 0)]
    return int(gaps.min()) if len(gaps) else 0


def _check_days(bars: Bars, name: str) -> None:
    days = _smallest_gap(bars) / DAY_NS
    if days > _LONGEST_DAY:
        raise UnknownFormat(f"{name}: dates are {days:g} days apart: bars of a date are bars of a day")


def _is_dated(path: Path, time: str) -> bool:
    """Most of the first rows have a date alone where others have a time."""

    def lengths(rows: Rows) -> NDArray[np.void]:
        return np.array([(len(text.strip()) <= _DATE_LENGTH,) for text in rows.columns[time]], dtype=_ALONE)

    first = next(Table(path, ReplayReport(quiet=True)).records(lengths), np.empty(0, dtype=_ALONE))
    return 2 * int(first["alone"].sum()) > len(first)


def _midnight_of(text: str) -> int:
    """The beginning of a date's day. Raises ValueError unless it is one within 1990 to 2100."""
    day = day_of(text)
    if not _FIRST_YEAR <= day.year <= _LAST_YEAR:
        raise ValueError(f"not a date within {_FIRST_YEAR} to {_LAST_YEAR}: {text!r}")
    return midnight(day)

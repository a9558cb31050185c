"""The exchange's daily files (bhavcopies) as bars of a day.

They are stored as such and make no ticks. A contract that was not traded has its settlement price as open, high, low
and close, since its open interest counts all the same. The close is the exchange's, an average over the last half hour:
where it lies outside of the traded range, the range is widened to hold it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final

import numpy as np
from numpy.typing import NDArray

from server.domain.calendar import exchange_date
from server.domain.instruments import InstrumentKind
from server.domain.symbols import canonical_underlying
from server.domain.timeframes import Timeframe
from server.market.feeds.contracts import Contract
from server.market.feeds.lots import lot_size
from server.market.feeds.replay.bar_table import BAR_ROW
from server.market.feeds.replay.day_formats import DayFormat
from server.market.feeds.replay.day_lots import lot_of
from server.market.feeds.replay.day_rows import DAY_ROW, DayRowReader, DayRows, Described, day_of
from server.market.feeds.replay.paths import ReplayPath
from server.market.feeds.replay.recording import LargerBars, LargerFile, ReplayContext
from server.market.feeds.replay.source import Table, UnknownFormat
from server.market.records import ABSENT

_DAY: Final = Timeframe.parse("1day")
_MOST_ROWS: Final = 2_000_000
_DATE: Final = re.compile(r"(?<!\d)(\d{4}-\d\d-\d\d)(?!\d)")
_EQUITY_SERIES: Final = "EQ"

Int64s = NDArray[np.int64]


def open_day_file(file: ReplayPath, layout: DayFormat, context: ReplayContext) -> LargerFile:
    """All rows of a daily file. Raises UnknownFormat when it is too large, or its day is not told."""
    reader = DayRowReader(layout, None if layout.day else _day_in_name(file))
    parts, total = [np.empty(0, dtype=DAY_ROW)], 0
    for records in Table(file.path, context.report).records(reader):
        parts.append(records)
        total += len(records)
        if total > _MOST_ROWS:
            raise UnknownFormat(f"{file.path}: more than {_MOST_ROWS:,} rows: split it by day")
    rows = np.concatenate(parts)
    days = _Days(rows, reader.described, context)
    days.report(file.path.name)
    return days.bars()


class _Days:
    """Rows of a file with what they are about, on their way to bars."""

    def __init__(self, rows: DayRows, described: Sequence[Described], context: ReplayContext) -> None:
        priced = _priced(rows, described)
        self._without_price = int((~priced).sum())
        self._rows = rows[priced]
        self._described = described
        self._context = context
        self._lots = self._known_lots()
        self._in_contracts = self._lots_of_rows() == 0
        self._in_contracts &= (self._rows["open_interest_contracts"] > 0) & (self._rows["open_interest"] == ABSENT)

    def report(self, name: str) -> None:
        """Says what could not be kept, or not in units."""
        unknown = (self._lots_of_rows() == 0) & (self._rows["volume_contracts"] > 0) & (self._rows["volume"] == ABSENT)
        self._context.report.without_price[name] += self._without_price
        self._context.report.kept_in_contracts[name] += int((unknown | self._in_contracts).sum())

    def bars(self) -> LargerFile:
        """Bars whose figures are in units, and beside them those that had to stay in contracts."""
        rows, lots = self._rows, np.maximum(self._lots_of_rows(), 1)
        bars = np.zeros(len(rows), dtype=BAR_ROW)
        for name in ("line", "open_time", "open", "high", "low", "close"):
            bars[name] = rows[name]
        bars["volume"] = _units(rows["volume"], rows["volume_contracts"], lots)
        bars["open_interest"] = _units(rows["open_interest"], rows["open_interest_contracts"], lots)
        bars["instrument"] = self._instruments()
        marked = self._in_contracts
        parts = (LargerBars(_DAY, bars[~marked]), LargerBars(_DAY, bars[marked], in_contracts=True))
        return LargerFile(tuple(part for part in parts if len(part.bars)))

    def _instruments(self) -> Int64s:
        numbers: dict[int, int] = {}
        for place, time in zip(self._rows["described"].tolist(), self._rows["open_time"].tolist(), strict=True):
            if place not in numbers:
                numbers[place] = self._context.book.number(self._contract(place, exchange_date(time)))
        return np.array([numbers[place] for place in self._rows["described"].tolist()], dtype=np.int64)

    def _contract(self, place: int, day: date) -> Contract:
        row, rules = self._described[place], self._context.rules
        if row.expiry is not None:
            lot = self._lots.get((row.symbol, day)) or 1
            return rules.derivative(row.symbol, row.expiry, row.strike, row.side, day, default_lot=lot)
        symbol = row.symbol if row.series in {"", _EQUITY_SERIES} else f"{row.symbol}-{row.series}"
        return Contract(exchange="NSE", tradingsymbol=symbol.upper(), kind=InstrumentKind.EQUITY)

    def _known_lots(self) -> Mapping[tuple[str, date], int]:
        """Units of a contract by symbol and day, where lot table or file tell them."""
        found: dict[tuple[str, date], int] = {}
        for key, rows in self._by_symbol_and_day().items():
            futures = rows[[not self._described[place].is_option for place in rows["described"].tolist()]]
            size = lot_size(canonical_underlying(key[0]), key[1]) or lot_of(futures if len(futures) else rows)
            if size is not None:
                found[key] = size
        return found

    def _by_symbol_and_day(self) -> Mapping[tuple[str, date], DayRows]:
        groups: dict[tuple[str, date], list[int]] = {}
        for number, key in enumerate(self._keys()):
            if key is not None:
                groups.setdefault(key, []).append(number)
        return {key: self._rows[numbers] for key, numbers in groups.items()}

    def _lots_of_rows(self) -> Int64s:
        """Units of a contract for each row; 1 for shares, 0 where it is not known."""
        sizes = [1 if key is None else self._lots.get(key, 0) for key in self._keys()]
        return np.array(sizes, dtype=np.int64)

    def _keys(self) -> list[tuple[str, date] | None]:
        """Symbol and day of each derivative's row; None for shares."""
        keys: list[tuple[str, date] | None] = []
        for place, time in zip(self._rows["described"].tolist(), self._rows["open_time"].tolist(), strict=True):
            row = self._described[place]
            keys.append(None if row.expiry is None else (row.symbol, exchange_date(time)))
        return keys


def _priced(rows: DayRows, described: Sequence[Described]) -> NDArray[np.bool_]:
    """Completes the prices of each row, in place. -> the rows that have any."""
    prices = [rows[name] for name in ("open", "high", "low", "close")]
    traded = np.logical_and.reduce([price != ABSENT for price in prices])
    mark = np.where(_settles_itself(rows, described), rows["settlement"], ABSENT)
    mark = np.where(mark == ABSENT, rows["close"], mark)
    for name in ("open", "high", "low", "close"):
        rows[name] = np.where(traded, rows[name], mark)
    rows["low"] = np.minimum(rows["low"], rows["close"])
    rows["high"] = np.maximum(rows["high"], rows["close"])
    known: NDArray[np.bool_] = rows["close"] != ABSENT
    return known


def _settles_itself(rows: DayRows, described: Sequence[Described]) -> NDArray[np.bool_]:
    """The settlement price is the contract's own: on the day that an option expires, it is the underlying's."""
    pairs = zip(rows["described"].tolist(), rows["open_time"].tolist(), strict=True)
    return np.array(
        [not described[place].is_option or described[place].expiry != exchange_date(time) for place, time in pairs],
        dtype=np.bool_,
    )


def _units(units: Int64s, contracts: Int64s, lots: Int64s) -> Int64s:
    """Units where the file has them, else contracts times lot; absent without either."""
    converted = np.where(contracts == ABSENT, ABSENT, np.where(contracts == ABSENT, 0, contracts) * lots)
    return np.where(units == ABSENT, converted, units)


def _day_in_name(file: ReplayPath) -> date:
    found = _DATE.search(file.path.name)
    if found is None:
        raise UnknownFormat(f"{file.path}: its rows name no day: put the date into its name, such as fo_2024-07-19.csv")
    return day_of(found[1])

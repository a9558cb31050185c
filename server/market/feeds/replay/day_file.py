"""The exchange's daily files (bhavcopies): shares and futures as bars of a day, options as quotes at its close.

Bars of a day are stored as such and make no ticks. A future that was not traded has its settlement price as open, high,
low and close, since its open interest counts all the same. The close is the exchange's, an average over the last half
hour: where it lies outside of the traded range, the range is widened to hold it.

An option, and an index whose closing price a file names, becomes one tick of the session's last second, so that chains
are valued. An option that was not traded has no price, but its open interest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final

import numpy as np
from numpy.typing import NDArray

from server.domain.calendar import NANOSECONDS, exchange_date
from server.domain.instruments import InstrumentKind
from server.domain.symbols import canonical_underlying, index_key
from server.domain.timeframes import Timeframe
from server.market.feeds.contracts import Contract
from server.market.feeds.lots import lot_size
from server.market.feeds.replay.bar_table import BAR_ROW, Bars
from server.market.feeds.replay.day_formats import DayFormat
from server.market.feeds.replay.day_lots import lot_of
from server.market.feeds.replay.day_rows import DAY_ROW, DayRowReader, DayRows, Described, day_of
from server.market.feeds.replay.paths import ReplayPath
from server.market.feeds.replay.recording import LargerBars, LargerFile, ReplayContext
from server.market.feeds.replay.source import Table, UnknownFormat
from server.market.feeds.replay.ticks import blank_ticks
from server.market.feeds.writer import Ticks
from server.market.records import ABSENT

_DAY: Final = Timeframe.parse("1day")
_MOST_ROWS: Final = 2_000_000
_DATE: Final = re.compile(r"(?<!\d)(\d{4}-\d\d-\d\d)(?!\d)")
_EQUITY_SERIES: Final = "EQ"

_CLOSE_NS: Final = (15 * 3_600 + 30 * 60 - 1) * NANOSECONDS
"""From the beginning of a day to its session's last second."""

Int64s = NDArray[np.int64]
Key = tuple[str, date]
"""Symbol of an underlying, and a day."""


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
    return _Days(rows, reader.described, context).recording(file.path.name)


class _Days:
    """Rows of a file with what they are about, on their way to bars and ticks."""

    def __init__(self, rows: DayRows, described: Sequence[Described], context: ReplayContext) -> None:
        self._described = described
        self._context = context
        self._traded = _traded(rows)
        self._priced = complete_prices(rows, self._traded)
        self._keys = _keys(rows, described)
        self._lots = _known_lots(rows, described, self._keys)
        self._rows = rows
        self._lots_of_rows = np.array(
            [1 if key is None else self._lots.get(key, 0) for key in self._keys], dtype=np.int64
        )
        self._numbers = self._instruments()

    def recording(self, name: str) -> LargerFile:
        """Bars and ticks. Reports what could not be kept, or not in units, under the file's name."""
        rows, lots = self._rows, self._lots_of_rows
        options = np.array([self._described[place].is_option for place in rows["described"].tolist()], dtype=np.bool_)
        traded, priced = self._traded, self._priced & ~options
        in_contracts = (lots == 0) & (rows["open_interest_contracts"] > 0) & (rows["open_interest"] == ABSENT)
        unknown = (lots == 0) & (rows["volume_contracts"] > 0) & (rows["volume"] == ABSENT)
        self._context.report.without_price[name] += int((~(options | priced) | (options & ~traded)).sum())
        self._context.report.kept_in_contracts[name] += int(((unknown | in_contracts) & (options | priced)).sum())
        parts = (
            LargerBars(_DAY, self._bars(priced & ~in_contracts)),
            LargerBars(_DAY, self._bars(priced & in_contracts), in_contracts=True),
        )
        return LargerFile(tuple(part for part in parts if len(part.bars)), self._ticks(options, traded))

    def _bars(self, chosen: NDArray[np.bool_]) -> Bars:
        rows = self._rows[chosen]
        bars = np.zeros(len(rows), dtype=BAR_ROW)
        for name in ("line", "open_time", "open", "high", "low", "close"):
            bars[name] = rows[name]
        bars["volume"], bars["open_interest"] = self._units("volume")[chosen], self._units("open_interest")[chosen]
        bars["instrument"] = self._numbers[chosen]
        return bars

    def _ticks(self, options: NDArray[np.bool_], traded: NDArray[np.bool_]) -> Ticks:
        """Options and indices at the close, by time; tells the options' changes of open interest as well."""
        rows = self._rows[options]
        ticks = blank_ticks(len(rows))
        ticks["row"], ticks["instrument"] = rows["line"], self._numbers[options]
        ticks["event_time"] = rows["open_time"] + _CLOSE_NS
        ticks["last_price"] = np.where(traded[options], rows["close"], ABSENT)
        ticks["volume"], ticks["open_interest"] = self._units("volume")[options], self._units("open_interest")[options]
        self._context.changes.add(ticks["event_time"], ticks["instrument"].tolist(), rows["interest_change"])
        told = (ticks["last_price"] != ABSENT) | (ticks["open_interest"] != ABSENT)
        together: Ticks = np.concatenate((self._index_ticks(), ticks[told]))
        return together[np.argsort(together["event_time"], kind="stable")]

    def _index_ticks(self) -> Ticks:
        """One for each index and day that a row names the price of. Shares have their own daily file."""
        seen: dict[tuple[str, date], tuple[int, int, int]] = {}
        for key, row in zip(self._keys, self._rows, strict=True):
            if key is not None and row["underlying"] != ABSENT and index_key(key[0]) is not None:
                seen.setdefault(key, (int(row["line"]), int(row["open_time"]) + _CLOSE_NS, int(row["underlying"])))
        ticks = blank_ticks(len(seen))
        contracts = [self._context.rules.underlying(symbol) for symbol, _ in seen]
        ticks["instrument"] = [self._context.book.number(contract) for contract in contracts]
        for place, (line, time, price) in enumerate(seen.values()):
            ticks["row"][place], ticks["event_time"][place], ticks["last_price"][place] = line, time, price
        return ticks

    def _units(self, name: str) -> Int64s:
        """Units where the file has them, else contracts times lot, as far as that is known; absent without either."""
        units, contracts = self._rows[name], self._rows[f"{name}_contracts"]
        known = np.where(contracts == ABSENT, 0, contracts) * np.maximum(self._lots_of_rows, 1)
        return np.where(units == ABSENT, np.where(contracts == ABSENT, ABSENT, known), units)

    def _instruments(self) -> Int64s:
        numbers: dict[int, int] = {}
        places = self._rows["described"].tolist()
        for place, time in zip(places, self._rows["open_time"].tolist(), strict=True):
            if place not in numbers:
                numbers[place] = self._context.book.number(self._contract(place, exchange_date(time)))
        return np.array([numbers[place] for place in places], dtype=np.int64)

    def _contract(self, place: int, day: date) -> Contract:
        row, rules = self._described[place], self._context.rules
        if row.expiry is not None:
            lot = self._lots.get((row.symbol, day), 1)
            return rules.derivative(row.symbol, row.expiry, row.strike, row.side, day, default_lot=lot)
        symbol = row.symbol if row.series in {"", _EQUITY_SERIES} else f"{row.symbol}-{row.series}"
        return Contract(exchange="NSE", tradingsymbol=symbol.upper(), kind=InstrumentKind.EQUITY)


def complete_prices(rows: DayRows, traded: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Gives rows that were not traded their settlement price, else their close. -> the rows that have a price."""
    mark = np.where(rows["settlement"] == ABSENT, rows["close"], rows["settlement"])
    for name in ("open", "high", "low", "close"):
        rows[name] = np.where(traded, rows[name], mark)
    rows["low"] = np.minimum(rows["low"], rows["close"])
    rows["high"] = np.maximum(rows["high"], rows["close"])
    known: NDArray[np.bool_] = rows["close"] != ABSENT
    return known


def _traded(rows: DayRows) -> NDArray[np.bool_]:
    traded: NDArray[np.bool_] = rows["close"] != ABSENT
    for name in ("open", "high", "low"):
        traded = traded & (rows[name] != ABSENT)
    return traded


def _keys(rows: DayRows, described: Sequence[Described]) -> list[Key | None]:
    """Symbol and day of each derivative's row; None for shares."""
    keys: list[Key | None] = []
    for place, time in zip(rows["described"].tolist(), rows["open_time"].tolist(), strict=True):
        row = described[place]
        keys.append(None if row.expiry is None else (row.symbol, exchange_date(time)))
    return keys


def _known_lots(rows: DayRows, described: Sequence[Described], keys: Sequence[Key | None]) -> Mapping[Key, int]:
    """Units of a contract by symbol and day, where lot table or file tell them."""
    groups: dict[Key, list[int]] = {}
    for number, key in enumerate(keys):
        if key is not None:
            groups.setdefault(key, []).append(number)
    found: dict[Key, int] = {}
    for (symbol, day), numbers in groups.items():
        futures = [number for number in numbers if not described[rows["described"][number]].is_option]
        size = lot_size(canonical_underlying(symbol), day) or lot_of(rows[futures or numbers])
        if size is not None:
            found[symbol, day] = size
    return found


def _day_in_name(file: ReplayPath) -> date:
    found = _DATE.search(file.path.name)
    if found is None:
        raise UnknownFormat(f"{file.path}: its rows name no day: put the date into its name, such as fo_2024-07-19.csv")
    return day_of(found[1])

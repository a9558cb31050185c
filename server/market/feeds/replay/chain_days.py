"""CSV recordings of a chain at the close of each day: `Date, Strike, CALL_OI, CALL_COI, …, PUT_OI, PUT_COI, …`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from server.domain.calendar import EXCHANGE_ZONE, exchange_date, to_nanoseconds
from server.domain.expiries import EXPIRY_TIME
from server.domain.symbols import canonical_underlying, split_key
from server.domain.timeframes import Timeframe
from server.market.feeds.lots import lot_size
from server.market.feeds.replay.bar_table import BAR_ROW, Bars
from server.market.feeds.replay.chain import ChainTicks, QuoteTexts
from server.market.feeds.replay.day_rows import midnight
from server.market.feeds.replay.recording import LargerBars, ReplayContext
from server.market.feeds.replay.report import ReplayReport
from server.market.feeds.replay.reported import ReportedChanges
from server.market.feeds.replay.source import Rows, Table, UnknownFormat
from server.market.feeds.replay.texts import Column, optional_quantity_of
from server.market.feeds.writer import Ticks
from server.market.records import ABSENT

DAY_COLUMNS: Final = frozenset(
    {"Date", "Strike", "CALL_OI", "CALL_COI", "CALL_Closing", "PUT_OI", "PUT_COI", "PUT_Closing"}
)

_SIDES: Final = (("CE", "CALL"), ("PE", "PUT"))
_CLOSE: Final = timedelta(seconds=1)
_DAY: Final = Timeframe.parse("1day")
_MOST_ROWS: Final = 1_000_000
_DAY_ROW: Final = np.dtype(
    [
        ("row", "<i8"),
        ("time", "<i8"),
        ("strike", "S16"),
        *((f"{side}_{name}", "S24") for _, side in _SIDES for name in ("OI", "COI", "Volume", "Closing")),
    ]
)
"""One strike on one day, in the texts of the file."""


class ChainDays:
    """The near month's chain, one row a strike and day; read whole. Prices and open interest are the day's last ones.

    They become ticks of the session's last second. Open interest is in units, volume in contracts. The file names no
    expiry: it is the first monthly one on or after the day. On an expiry day a file shows either that month's contracts
    or already the next month's; they are the next month's when open interest less the day's change is not the open
    interest of the day before.

    A day's volume is known as a whole and not by the minute: it is stored with a bar of the day.
    """

    def __init__(self, path: Path, key: str, context: ReplayContext) -> None:
        self._path = path
        self._key = key
        self._underlying = canonical_underlying(split_key(key)[1])
        self._context = context
        self._table = Table(path, context.report)
        self._chain = ChainTicks(path.name, context)
        self._quantity = Column(optional_quantity_of)
        self._signed = Column(_change_of)

    def chunks(self) -> Iterator[Ticks]:
        """Ticks of both sides, day by day. Raises UnknownFormat when there are too many to hold."""
        rows = self._read()
        before: NDArray[np.void] = rows[:0]
        for time in np.unique(rows["time"]).tolist():
            day = rows[rows["time"] == time]
            yield self._ticks(day, self._expiry(exchange_date(time), day, before))
            before = day

    def bars(self) -> Iterator[LargerBars]:
        """Bars of what was traded, day by day; of days whose lot is known, for volume is in contracts."""
        quiet = replace(self._context, report=ReplayReport(quiet=True), changes=ReportedChanges())
        for ticks in ChainDays(self._path, self._key, quiet).chunks():
            if len(ticks) and lot_size(self._underlying, exchange_date(int(ticks["event_time"][0]))):
                yield LargerBars(_DAY, _bars_of(ticks))

    def _read(self) -> NDArray[np.void]:
        parts, total = [np.empty(0, dtype=_DAY_ROW)], 0
        for part in self._table.records(self._rows):
            parts.append(part)
            total += len(part)
            if total > _MOST_ROWS:
                raise UnknownFormat(f"{self._path}: more than {_MOST_ROWS:,} rows: split it by time")
        return np.concatenate(parts)

    def _rows(self, rows: Rows) -> NDArray[np.void]:
        found = np.empty(len(rows), dtype=_DAY_ROW)
        found["row"], found["strike"] = rows.lines, rows.columns["Strike"]
        found["time"] = [_close_of(text.decode()) for text in rows.columns["Date"]]
        for _, side in _SIDES:
            for name in ("OI", "COI", "Volume", "Closing"):
                found[f"{side}_{name}"] = rows.columns.get(f"{side}_{name}", b"")
            self._quantity(found[f"{side}_OI"].tolist())
            self._signed(found[f"{side}_COI"].tolist())
        return found

    def _expiry(self, day: date, rows: NDArray[np.void], before: NDArray[np.void]) -> date:
        expiries = self._context.rules.expiries
        near = expiries.near_month(self._underlying, day)
        if near != day or not len(before) or self._follows(rows, before):
            return near
        return expiries.near_month(self._underlying, day + timedelta(days=1))

    def _follows(self, rows: NDArray[np.void], before: NDArray[np.void]) -> bool:
        """The rows are of the contracts of the day before: for most of them the printed change is the real one."""
        _, own, earlier = np.intersect1d(rows["strike"], before["strike"], return_indices=True)
        compared = agreeing = 0
        for _, side in _SIDES:
            now, then = (self._quantity(part[f"{side}_OI"].tolist()) for part in (rows[own], before[earlier]))
            change = self._signed(rows[own][f"{side}_COI"].tolist())
            known = (now != ABSENT) & (then != ABSENT) & (change != ABSENT) & (now != 0)
            compared += int(known.sum())
            agreeing += int((known & (now - change == then)).sum())
        return 2 * agreeing > compared

    def _ticks(self, rows: NDArray[np.void], expiry: date) -> Ticks:
        parts = []
        for side, prefix in _SIDES:
            numbers = [
                self._number(expiry, strike, side, time)
                for strike, time in zip(rows["strike"].tolist(), rows["time"].tolist(), strict=True)
            ]
            texts = QuoteTexts(
                last=rows[f"{prefix}_Closing"].tolist(),
                volume_contracts=rows[f"{prefix}_Volume"].tolist(),
                open_interest=rows[f"{prefix}_OI"].tolist(),
                change=rows[f"{prefix}_COI"].tolist(),
            )
            parts.append(self._chain.quotes(self._underlying, rows["time"], rows["row"], numbers, texts))
        ticks = np.concatenate(parts)
        return ticks[np.argsort(ticks["row"], kind="stable")]

    def _number(self, expiry: date, strike: bytes, side: str, time: int) -> int:
        return self._chain.number(
            (expiry, strike, side),
            lambda: self._chain.option(self._underlying, expiry, strike.decode(), side, time),
        )


def _bars_of(ticks: Ticks) -> Bars:
    """A bar of the day for each tick with a price: the source tells no other."""
    chosen = ticks[(ticks["last_price"] != ABSENT) & (ticks["volume"] != ABSENT)]
    bars = np.zeros(len(chosen), BAR_ROW)
    for name in ("open", "high", "low", "close"):
        bars[name] = chosen["last_price"]
    bars["line"], bars["open_time"] = (
        chosen["row"],
        [midnight(exchange_date(at)) for at in chosen["event_time"].tolist()],
    )
    for name in ("instrument", "volume", "open_interest"):
        bars[name] = chosen[name]
    return bars


def _close_of(text: str) -> int:
    """The last second of the session on a date. Raises ValueError when the text is no date."""
    day = date.fromisoformat(text.strip())
    return to_nanoseconds(datetime.combine(day, EXPIRY_TIME, EXCHANGE_ZONE) - _CLOSE)


def _change_of(text: str) -> int:
    """A whole number of either sign; absent when the text is empty or a dash."""
    stripped = text.strip()
    magnitude = optional_quantity_of(stripped.removeprefix("-"))
    return -magnitude if stripped.startswith("-") and magnitude != ABSENT else magnitude

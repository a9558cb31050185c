"""Rows of the exchange's daily files as numbers, before contracts are made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import Final

import numpy as np
from numpy.typing import NDArray

from server.domain.calendar import EXCHANGE_ZONE, to_nanoseconds
from server.market.feeds.replay.chain_tables import named_month_date
from server.market.feeds.replay.day_formats import DayFormat
from server.market.feeds.replay.source import Rows
from server.market.feeds.replay.texts import Column, decimal_of, optional_price_of, optional_quantity_of
from server.market.records import ABSENT

DAY_ROW: Final = np.dtype(
    [
        ("described", "<i4"),
        ("reserved", "<i4"),
        ("line", "<i8"),
        ("open_time", "<i8"),
        ("open", "<i8"),
        ("high", "<i8"),
        ("low", "<i8"),
        ("close", "<i8"),
        ("settlement", "<i8"),
        ("volume", "<i8"),
        ("volume_contracts", "<i8"),
        ("open_interest", "<i8"),
        ("open_interest_contracts", "<i8"),
        ("lot", "<i8"),
        ("turnover", "<i8"),
        ("interest_change", "<i8"),
        ("underlying", "<i8"),
    ]
)
"""A row: `described` is the number of what it is about, `open_time` midnight of the exchange's day, prices are scaled,
`turnover` is in rupees; a field is `ABSENT` where the file has none."""

DayRows = NDArray[np.void]

_LAKH: Final = 100_000
_SIDES: Final = frozenset({"CE", "PE"})


@dataclass(frozen=True)
class Described:
    """What a row is about: a share of a series, or a derivative. `strike` is in rupees; a future has none."""

    symbol: str
    series: str = ""
    expiry: date | None = None
    strike: Decimal | None = None
    side: str = ""

    @property
    def is_option(self) -> bool:
        """It is a call or a put."""
        return self.side in _SIDES


class DayRowReader:
    """Turns rows of text into `DAY_ROW`. `day` is that of a file whose rows do not name it.

    `described` grows with what was not seen before; rows refer to it by place.
    """

    def __init__(self, layout: DayFormat, day: date | None) -> None:
        self.described: list[Described] = []
        self._layout = layout
        self._day = day
        self._days = Column(lambda text: midnight(day_of(text)))
        self._price = Column(optional_price_of)
        self._quantity = Column(optional_quantity_of)
        self._turnover = Column(_rupees)
        self._change = Column(_change)
        self._places: dict[tuple[bytes, ...], int] = {}

    def __call__(self, rows: Rows) -> DayRows:
        """One record a row. Raises ValueError for a malformed one."""
        found = np.zeros(len(rows), dtype=DAY_ROW)
        for name in DAY_ROW.names or ():
            if name not in {"described", "reserved", "line"}:
                found[name] = ABSENT
        found["line"] = rows.lines
        found["open_time"] = midnight(self._day) if self._day else self._days(rows.columns[self._layout.day])
        for name in ("open", "high", "low", "close", "settlement", "underlying"):
            self._fill(found, name, rows, self._price)
        for name in ("volume", "volume_contracts", "open_interest", "open_interest_contracts", "lot"):
            self._fill(found, name, rows, self._quantity)
        self._fill(found, "turnover", rows, self._turnover)
        self._fill(found, "interest_change", rows, self._change)
        found["described"] = self._describe(rows)
        return found

    def _fill(self, found: DayRows, name: str, rows: Rows, column: Column) -> None:
        title = getattr(self._layout, name)
        if title:
            found[name] = column(rows.columns[title])

    def _describe(self, rows: Rows) -> list[int]:
        layout = self._layout
        titles = (layout.symbol, layout.series, layout.expiry, layout.strike, layout.side)
        empty: Sequence[bytes] = [b""] * len(rows)
        columns = (rows.columns[title] if title else empty for title in titles)
        return [self._place(cells) for cells in zip(*columns, strict=True)]

    def _place(self, cells: tuple[bytes, ...]) -> int:
        place = self._places.get(cells)
        if place is None:
            described = _described(*(cell.decode().strip() for cell in cells))
            place = self._places[cells] = len(self.described)
            self.described.append(described)
        return place


def day_of(text: str) -> date:
    """The date `2026-05-19` or `19-May-2026`. Raises ValueError when it is none."""
    stripped = text.strip()
    return date.fromisoformat(stripped) if stripped[4:5] == "-" else named_month_date(stripped)


def midnight(day: date) -> int:
    """The beginning of an exchange's day, nanoseconds since 1970 UTC."""
    return to_nanoseconds(datetime.combine(day, time(), EXCHANGE_ZONE))


def _described(symbol: str, series: str, expiry: str, strike: str, side: str) -> Described:
    if not symbol:
        raise ValueError("a row has no symbol")
    if not expiry:
        return Described(symbol, series)
    if side not in _SIDES:
        return Described(symbol, "", day_of(expiry), None, "FUT")
    return Described(symbol, "", day_of(expiry), decimal_of(strike), side)


def _rupees(text: str) -> int:
    stripped = text.strip()
    return ABSENT if not stripped else int(decimal_of(stripped) * _LAKH)


def _change(text: str) -> int:
    """A whole number of either sign; absent when the text is empty or a dash."""
    stripped = text.strip()
    magnitude = optional_quantity_of(stripped.removeprefix("-"))
    return -magnitude if stripped.startswith("-") and magnitude != ABSENT else magnitude

"""Recordings of at-the-money options: one price a minute, with the option's own description."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np

from server.domain.calendar import exchange_date
from server.market.feeds.contracts import Contract
from server.market.feeds.replay.recording import ReplayContext
from server.market.feeds.replay.source import Rows, Table
from server.market.feeds.replay.texts import Column, TimeColumn, decimal_of, price_of
from server.market.feeds.replay.ticks import blank_ticks
from server.market.feeds.writer import Ticks

COLUMNS: Final = frozenset({"Date", "OptionPrice", "StrikePrice", "OptionSymbol", "ExpiryDate", "OptionType"})
_SYMBOL: Final = re.compile(r"(?P<underlying>.+?)\d{2}[A-Z]{3}\d{2}\d+(?:\.\d+)?[CP]E")
_SIDES: Final = {"c": "CE", "p": "PE"}


class AtmOptionFile:
    """`Date, OptionPrice, StrikePrice, OptionSymbol, ExpiryDate, …, OptionType`, streamed.

    Its `FuturePrice` is left out: it is the stock's price in files of this kind, whatever the name says.
    """

    def __init__(self, path: Path, context: ReplayContext) -> None:
        self._table = Table(path, context.report)
        self._context = context
        self._times = TimeColumn()
        self._prices = Column(price_of)
        self._numbers: dict[tuple[bytes, ...], int] = {}

    def chunks(self) -> Iterator[Ticks]:
        """One tick a row, in the order of the file."""
        return self._table.records(self._ticks)

    def _ticks(self, rows: Rows) -> Ticks:
        texts = rows.columns
        ticks = blank_ticks(len(rows))
        ticks["row"] = rows.lines
        ticks["event_time"] = self._times(texts["Date"])
        ticks["last_price"] = self._prices(texts["OptionPrice"])
        described = zip(
            *(texts[name] for name in ("OptionSymbol", "ExpiryDate", "StrikePrice", "OptionType")), strict=True
        )
        ticks["instrument"] = np.fromiter(
            (self._number(cells, time) for cells, time in zip(described, ticks["event_time"].tolist(), strict=True)),
            dtype=np.int32,
            count=len(rows),
        )
        return ticks

    def _number(self, cells: tuple[bytes, ...], time: int) -> int:
        number = self._numbers.get(cells)
        if number is None:
            contract = self._contract(*(cell.decode().strip() for cell in cells), time=time)
            number = self._numbers[cells] = self._context.book.number(contract)
        return number

    def _contract(self, symbol: str, expiry: str, strike: str, side: str, *, time: int) -> Contract:
        named = _SYMBOL.fullmatch(symbol)
        if named is None or side.lower() not in _SIDES:
            raise ValueError(f"not an option: {symbol!r} of type {side!r}")
        return self._context.rules.derivative(
            named["underlying"],
            date.fromisoformat(expiry),
            decimal_of(strike),
            _SIDES[side.lower()],
            exchange_date(time),
        )

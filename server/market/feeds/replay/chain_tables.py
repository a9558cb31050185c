"""CSV recordings of option chains: the exchange's web page of 2019, and its snapshots of 2026."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Final

import numpy as np

from server.domain.calendar import exchange_date
from server.domain.symbols import canonical_underlying, split_key
from server.market.feeds.replay.chain import ChainTicks, QuoteTexts
from server.market.feeds.replay.left_out import LeftOut
from server.market.feeds.replay.recording import ReplayContext
from server.market.feeds.replay.source import Rows, Table
from server.market.feeds.replay.texts import Int64s, TimeColumn
from server.market.feeds.writer import Ticks

PAGE_COLUMNS: Final = frozenset({"snapshot_ist", "StrikePrice", "CallLTP", "PutLTP", "CallOI", "PutOI", "underlying"})
SNAPSHOT_COLUMNS: Final = frozenset(
    {"datetime", "contract", "expiryDate", "optionType", "strikePrice", "lastPrice", "volume", "openInterest"}
)
_NONE: Final = frozenset({b"", b"-"})
_SIDES: Final = {"call": "CE", "ce": "CE", "put": "PE", "pe": "PE"}


class ChainPages:
    """The exchange's option-chain page, one row a strike with call and put; streamed.

    Open interest is in units, volume in contracts. A page lists the whole chain: where it shows no open interest, or
    leaves out a contract of the page before, there is none, which is 0, not unknown. A file of a stock has no expiry
    column: the page then showed the near month, so that the expiry is the first monthly one on or after the day. The
    underlying is the file's.
    """

    def __init__(self, path: Path, key: str, has_expiry: bool, context: ReplayContext) -> None:
        self._table = Table(path, context.report)
        self._underlying = canonical_underlying(split_key(key)[1])
        self._has_expiry = has_expiry
        self._context = context
        self._chain = ChainTicks(path.name, context)
        self._time = TimeColumn()
        self._left_out = LeftOut()

    def chunks(self) -> Iterator[Ticks]:
        """Ticks of both sides and of the underlying, snapshot by snapshot."""
        yield from self._table.records(self._ticks)
        yield self._left_out.finish()

    def _ticks(self, rows: Rows) -> Ticks:
        times = self._time(rows.columns["snapshot_ist"])
        lines = np.array(rows.lines, dtype=np.int64)
        expiries = self._expiries(rows, times)
        sides = [
            self._side(rows, times, lines, expiries, side, prefix) for side, prefix in (("CE", "Call"), ("PE", "Put"))
        ]
        spots = self._chain.spots(self._underlying, times, lines, rows.columns["underlying"])
        pages = zip(expiries, times.tolist(), lines.tolist(), _shown(lines, sides), strict=True)
        opened = itertools.compress(pages, self._chain.has_opened(times).tolist())
        ticks = np.concatenate((self._left_out.follow(opened), spots, *sides))
        return ticks[np.argsort(ticks["row"], kind="stable")]

    def _expiries(self, rows: Rows, times: Int64s) -> Sequence[bytes | date]:
        if self._has_expiry:
            return rows.columns["expiry"]
        days = [exchange_date(time) for time in times.tolist()]
        known = {day: self._context.rules.expiries.near_month(self._underlying, day) for day in set(days)}
        return [known[day] for day in days]

    def _side(
        self, rows: Rows, times: Int64s, lines: Int64s, expiries: Sequence[bytes | date], side: str, prefix: str
    ) -> Ticks:
        texts = rows.columns
        numbers = [
            self._number(expiry, strike, side, time)
            for expiry, strike, time in zip(expiries, texts["StrikePrice"], times.tolist(), strict=True)
        ]
        quotes = QuoteTexts(
            last=texts[f"{prefix}LTP"],
            volume_contracts=texts.get(f"{prefix}Volume"),
            open_interest=[text if text.strip() not in _NONE else b"0" for text in texts[f"{prefix}OI"]],
            change=texts.get(f"{prefix}ChnginOI"),
            bid_price=texts.get(f"{prefix}BidPrice"),
            bid_quantity=texts.get(f"{prefix}BidQty"),
            ask_price=texts.get(f"{prefix}AskPrice"),
            ask_quantity=texts.get(f"{prefix}AskQty"),
        )
        return self._chain.quotes(self._underlying, times, lines, numbers, quotes)

    def _number(self, expiry: bytes | date, strike: bytes, side: str, time: int) -> int:
        return self._chain.number(
            (expiry, strike, side),
            lambda: self._chain.option(self._underlying, self._expiry(expiry), strike.decode(), side, time),
        )

    @staticmethod
    def _expiry(said: bytes | date) -> date:
        return date.fromisoformat(said.decode().strip()) if isinstance(said, bytes) else said


class ChainSnapshots:
    """Snapshots with one row a contract; streamed. Volume is in units, open interest in contracts."""

    def __init__(self, path: Path, context: ReplayContext) -> None:
        self._table = Table(path, context.report)
        self._chain = ChainTicks(path.name, context)
        self._time = TimeColumn()

    def chunks(self) -> Iterator[Ticks]:
        """Ticks of the contracts and of the underlying, snapshot by snapshot."""
        return self._table.records(self._ticks)

    def _ticks(self, rows: Rows) -> Ticks:
        names = [_underlying_of(text) for text in rows.columns["contract"]]
        if len(set(names)) > 1:
            parts = [self._of_one(_select(rows, names, name), name) for name in dict.fromkeys(names)]
            ticks = np.concatenate(parts)
            return ticks[np.argsort(ticks["row"], kind="stable")]
        return self._of_one(rows, names[0])

    def _of_one(self, rows: Rows, underlying: str) -> Ticks:
        texts = rows.columns
        times = self._time(texts["datetime"])
        lines = np.array(rows.lines, dtype=np.int64)
        described = zip(
            *(texts[name] for name in ("expiryDate", "strikePrice", "optionType")), times.tolist(), strict=True
        )
        numbers = [self._number(underlying, *cells) for cells in described]
        quotes = QuoteTexts(
            last=texts["lastPrice"], volume=texts["volume"], open_interest_contracts=texts["openInterest"]
        )
        ticks = self._chain.quotes(underlying, times, lines, numbers, quotes)
        if "underlyingValue" not in texts:
            return ticks
        ticks = np.concatenate((self._chain.spots(underlying, times, lines, texts["underlyingValue"]), ticks))
        return ticks[np.argsort(ticks["row"], kind="stable")]

    def _number(self, underlying: str, expiry: bytes, strike: bytes, kind: bytes, time: int) -> int:
        side = _SIDES.get(kind.decode().strip().lower())
        if side is None:
            raise ValueError(f"optionType is Call or Put: {kind.decode()!r}")
        return self._chain.number(
            (underlying, expiry, strike, side),
            lambda: self._chain.option(underlying, named_month_date(expiry.decode()), strike.decode(), side, time),
        )


def _shown(lines: Int64s, sides: Sequence[Ticks]) -> list[set[int]]:
    """The contracts of each line that have open interest."""
    places = {line: place for place, line in enumerate(lines.tolist())}
    shown: list[set[int]] = [set() for _ in places]
    for ticks in sides:
        held = ticks[ticks["open_interest"] > 0]
        for line, number in zip(held["row"].tolist(), held["instrument"].tolist(), strict=True):
            shown[places[line]].add(number)
    return shown


def named_month_date(text: str) -> date:
    """The date `13-Apr-2026`, also spelled `13-04-2026`. Raises ValueError when it is none."""
    layout = "%d-%m-%Y" if text.strip()[3:5].isdigit() else "%d-%b-%Y"
    return datetime.strptime(text.strip(), layout).date()  # noqa: DTZ007 - a date of the exchange, no instant


def _underlying_of(contract: bytes) -> str:
    name, _, _ = contract.decode().strip().rpartition(" ")
    return canonical_underlying(name)


def _select(rows: Rows, names: Sequence[str], name: str) -> Rows:
    chosen = [number for number, own in enumerate(names) if own == name]
    columns = {title: [texts[number] for number in chosen] for title, texts in rows.columns.items()}
    return Rows(columns, [rows.lines[number] for number in chosen])

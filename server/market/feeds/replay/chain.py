"""What recordings of option chains share: contracts by their description, units, and quotes as ticks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

import numpy as np
from numpy.typing import NDArray

from server.domain.calendar import exchange_date
from server.domain.symbols import canonical_underlying
from server.market.feeds.contracts import Contract
from server.market.feeds.lots import lot_size
from server.market.feeds.replay.recording import ReplayContext
from server.market.feeds.replay.texts import Column, Int64s, decimal_of, optional_price_of, optional_quantity_of
from server.market.feeds.replay.ticks import blank_ticks
from server.market.feeds.writer import Ticks
from server.market.records import ABSENT
from server.market.sessions import day_numbers, day_start

_MICRO: Final = 1_000_000
_TOLD: Final = ("last_price", "volume", "open_interest", "bid_price", "ask_price")


def contracts_of(text: str) -> int:
    """Millionths of a contract: open interest in contracts has fractions after a change of lot size.

    Absent when the text is empty or a dash. Raises ValueError when it is no number of 0 or more.
    """
    stripped = text.strip()
    if not stripped or stripped == "-":
        return ABSENT
    micro = decimal_of(stripped) * _MICRO
    if micro >= 2**53:
        raise ValueError(f"too many contracts: {text!r}")
    return int(micro.quantize(Decimal(1), rounding=ROUND_HALF_UP))


def change_of(text: str) -> int:
    """Millionths of a unit or a contract that open interest has changed by, either sign.

    Absent when the text is empty or a dash. Raises ValueError when it is no number.
    """
    stripped = text.strip()
    falls = stripped.startswith("-") and stripped != "-"
    amount = contracts_of(stripped.removeprefix("-") if falls else stripped)
    return -amount if falls and amount != ABSENT else amount


@dataclass(frozen=True)
class QuoteTexts:
    """One side of a chain as columns of text; None where the source has no such column.

    `change` is that of open interest since the day before, as the source reports it. `*_contracts` are in contracts,
    the others of that kind in units.
    """

    last: Sequence[bytes]
    volume: Sequence[bytes] | None = None
    volume_contracts: Sequence[bytes] | None = None
    open_interest: Sequence[bytes] | None = None
    open_interest_contracts: Sequence[bytes] | None = None
    change: Sequence[bytes] | None = None
    change_contracts: Sequence[bytes] | None = None
    bid_price: Sequence[bytes] | None = None
    bid_quantity: Sequence[bytes] | None = None
    ask_price: Sequence[bytes] | None = None
    ask_quantity: Sequence[bytes] | None = None


class ChainTicks:
    """Turns quotes of option chains into ticks, and contracts into units where the lot size of that day is known.

    A quote without a last price makes a tick when it tells anything else: open interest counts without a trade. How
    many quotes had no price stands in the report, under the file's name. A quote from before the session of its day
    makes none: what sources show then is the day before's.
    """

    def __init__(self, name: str, context: ReplayContext) -> None:
        self._name = name
        self._context = context
        self._price = Column(optional_price_of)
        self._quantity = Column(optional_quantity_of)
        self._contracts = Column(contracts_of)
        self._changes = Column(change_of)
        self._numbers: dict[tuple[object, ...], int] = {}
        self._spot_seen: dict[int, tuple[int, int]] = {}

    def number(self, described: tuple[object, ...], contract: Callable[[], Contract]) -> int:
        """The number of the contract that a source describes in this way, made when it is seen first."""
        number = self._numbers.get(described)
        if number is None:
            number = self._numbers[described] = self._context.book.number(contract())
        return number

    def option(self, underlying: str, expiry: date, strike: str, side: str, time: int) -> Contract:
        """The option of a chain at a time. Raises ValueError when the strike is no number above 0."""
        price = decimal_of(strike)
        if not price:
            raise ValueError(f"a strike is above 0: {strike!r}")
        return self._context.rules.derivative(underlying, expiry, price, side, exchange_date(time))

    def quotes(self, underlying: str, times: Int64s, rows: Int64s, numbers: Sequence[int], texts: QuoteTexts) -> Ticks:
        """One tick for each quote that tells anything. Raises ValueError for a malformed number."""
        ticks = blank_ticks(len(times))
        ticks["event_time"], ticks["row"], ticks["instrument"] = times, rows, numbers
        ticks["last_price"] = self._price(texts.last)
        for field in ("bid_price", "ask_price"):
            self._fill(ticks, field, getattr(texts, field), self._price)
        for field in ("bid_quantity", "ask_quantity", "volume", "open_interest"):
            self._fill(ticks, field, getattr(texts, field), self._quantity)
        kept = self._convert(ticks, underlying, texts)
        priced = ticks["last_price"] != ABSENT
        told = np.logical_or.reduce([ticks[field] != ABSENT for field in _TOLD])
        told &= self.has_opened(times)
        self._context.report.without_price[self._name] += int((~priced).sum())
        self._context.report.kept_in_contracts[self._name] += int((kept & told).sum())
        quotes: Ticks = ticks[told]
        self._report_changes(underlying, ticks, texts)
        return quotes

    def has_opened(self, times: Int64s) -> NDArray[np.bool_]:
        """False at times before the first session of their day."""
        days, where = np.unique(day_numbers(times), return_inverse=True)
        opens = [
            min((session.open_ns for session in self._context.rules.expiries.calendar.session_on(day)), default=0)
            for day in (exchange_date(day_start(int(number))) for number in days)
        ]
        opened: NDArray[np.bool_] = times >= np.array(opens, dtype=np.int64)[where]
        return opened

    def spots(self, underlying: str, times: Int64s, rows: Int64s, prices: Sequence[bytes]) -> Ticks:
        """Ticks of the underlying: one where its price or the time differs from the quote before."""
        number = self.number(("spot", underlying), lambda: self._context.rules.underlying(underlying))
        scaled = self._price(prices)
        time, price = self._spot_seen.get(number, (ABSENT, ABSENT))
        changed = (np.diff(times, prepend=time) != 0) | (np.diff(scaled, prepend=price) != 0)
        changed &= scaled != ABSENT
        if len(times):
            self._spot_seen[number] = int(times[-1]), int(scaled[-1])
        ticks = blank_ticks(int(changed.sum()))
        ticks["instrument"] = number
        ticks["event_time"], ticks["row"], ticks["last_price"] = times[changed], rows[changed], scaled[changed]
        return ticks

    @staticmethod
    def _fill(ticks: Ticks, field: str, texts: Sequence[bytes] | None, column: Column) -> None:
        if texts is not None:
            ticks[field] = column(texts)

    def _convert(self, ticks: Ticks, underlying: str, texts: QuoteTexts) -> NDArray[np.bool_]:
        """Fills what comes in contracts; true where it had to stay so."""
        lots = _lots(underlying, ticks["event_time"])
        kept = np.zeros(len(ticks), dtype=np.bool_)
        for field in ("volume", "open_interest"):
            column: Sequence[bytes] | None = getattr(texts, f"{field}_contracts")
            if column is None:
                continue
            micro = self._contracts(column)
            known = micro != ABSENT
            units = (micro * np.maximum(lots, 1) + _MICRO // 2) // _MICRO
            ticks[field] = np.where(known, units, ABSENT)
            kept |= known & (micro > 0) & (lots == 0)
        return kept

    def _report_changes(self, underlying: str, ticks: Ticks, texts: QuoteTexts) -> None:
        column = texts.change if texts.change_contracts is None else texts.change_contracts
        if column is None:
            return
        micro = self._changes(column)
        lots = 1 if texts.change_contracts is None else np.maximum(_lots(underlying, ticks["event_time"]), 1)
        units = np.where(micro != ABSENT, (np.where(micro != ABSENT, micro, 0) * lots + _MICRO // 2) // _MICRO, ABSENT)
        opened = self.has_opened(ticks["event_time"])
        self._context.changes.add(ticks["event_time"][opened], ticks["instrument"][opened], units[opened])


def _lots(underlying: str, times: Int64s) -> Int64s:
    """The lot size at each time; 0 where it is not known."""
    name = canonical_underlying(underlying)
    days, where = np.unique(day_numbers(times), return_inverse=True)
    sizes = [lot_size(name, exchange_date(day_start(int(day)))) or 0 for day in days]
    return np.array(sizes, dtype=np.int64)[where]

"""JSON recordings: the exchange's option chains (one document, or one a line), and the broker's historical candles."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Final, TypeGuard

import numpy as np

from server.domain.calendar import exchange_date
from server.domain.instruments import InstrumentKind
from server.domain.timeframes import MINUTE_NS
from server.market.feeds.contracts import Contract
from server.market.feeds.replay.bar_table import BAR_ROW, Bars, BarTicks, check_bars
from server.market.feeds.replay.bars import timeframe_of
from server.market.feeds.replay.chain import ChainTicks, QuoteTexts
from server.market.feeds.replay.chain_tables import named_month_date
from server.market.feeds.replay.recording import LargerBars, Recording, ReplayContext
from server.market.feeds.replay.report import ReplayReport
from server.market.feeds.replay.source import UnknownFormat, blocks_of_lines, convert_by_halves, open_source
from server.market.feeds.replay.texts import optional_quantity_of, price_of, time_of
from server.market.feeds.writer import Ticks
from server.market.records import ABSENT, TICK

_MOST_BYTES: Final = 64 * 1_048_576
_MOST_TICKS: Final = 2_000_000
_ROWS_A_LINE: Final = 1_000_000
_CANDLE_FIELDS: Final = (6, 7)

JsonObject = Mapping[str, object]


def parse_json(text: bytes) -> object:
    """A JSON document whose numbers stay text, so that decimals are exact. Raises ValueError when it is none."""
    return json.loads(text, parse_float=str, parse_int=str)


def is_object(value: object) -> TypeGuard[JsonObject]:
    """The value is a JSON object."""
    return isinstance(value, dict)


def has_chain(document: object) -> bool:
    """It is the exchange's option-chain answer: `records.data` is a list."""
    records = document.get("records") if is_object(document) else None
    return is_object(records) and isinstance(records.get("data"), list)


def has_candles(document: object) -> bool:
    """It is the broker's historical answer: `data.candles` is a list."""
    data = document.get("data") if is_object(document) else None
    return is_object(data) and isinstance(data.get("candles"), list)


def recognise_json(path: Path, contract: Callable[[date | None], Contract], context: ReplayContext) -> Recording:
    """What the JSON file is. `contract` gives the instrument of candles, which do not name it, as of a day.

    Raises UnknownFormat that says what was found.
    """
    document = _first_document(path)
    if has_chain(document):
        return ChainDocuments(path, context)
    if is_object(document) and has_candles(document):
        return _candles(path, document, contract, context)
    found = f"an object with {', '.join(list(document)[:8])}" if is_object(document) else type(document).__name__
    raise UnknownFormat(f"{path}: no known recording; its JSON is {found}")


class ChainDocuments:
    """Option chains of the exchange, a document each: ticks of all contracts at the document's time, in its order.

    Open interest and volume are in contracts. `row` counts the records of the file.
    """

    def __init__(self, path: Path, context: ReplayContext) -> None:
        self._path = path
        self._context = context
        self._chain = ChainTicks(path.name, context)

    def chunks(self) -> Iterator[Ticks]:
        """All ticks by time. Raises UnknownFormat when there are too many to hold."""
        parts, total = [np.empty(0, dtype=TICK)], 0
        for line, text in _documents(self._path, self._context.report):
            for ticks in self._of_document(line, text):
                parts.append(ticks)
                total += len(ticks)
            if total > _MOST_TICKS:
                raise UnknownFormat(f"{self._path}: more than {_MOST_TICKS:,} quotes: split it")
        ticks = np.concatenate(parts)
        yield ticks[np.argsort(ticks["event_time"], kind="stable")]

    def _of_document(self, line: int, text: bytes) -> Iterator[Ticks]:
        try:
            records = _member(parse_json(text), "records")
            time = time_of(_text(records, "timestamp"))
            entries = records["data"]
            if not isinstance(entries, list):
                raise ValueError("records.data is no list")
        except (ValueError, KeyError) as error:
            self._context.report.skip(self._path.name, line, f"no option chain: {error}")
            return
        yield from convert_by_halves(
            len(entries),
            lambda first, last: self._ticks(entries[first:last], time, line * _ROWS_A_LINE + first),
            lambda record, reason: self._context.report.skip(self._path.name, line, f"record {record + 1}: {reason}"),
        )

    def _ticks(self, entries: Sequence[object], time: int, row: int) -> Ticks:
        if not all(is_object(entry) for entry in entries):
            raise ValueError("a record is no object")
        sides = [
            (row + number, side, {**entry, **_member(entry, side)})
            for number, entry in enumerate(entries)
            for side in ("CE", "PE")
            if is_object(entry) and entry.get(side) is not None
        ]
        parts = [np.empty(0, dtype=TICK)]
        for underlying in dict.fromkeys(_text(quote, "underlying") for _, _, quote in sides):
            own = [item for item in sides if _text(item[2], "underlying") == underlying]
            parts.append(self._of_underlying(underlying, own, time))
        return np.concatenate(parts)

    def _of_underlying(self, underlying: str, sides: Sequence[tuple[int, str, JsonObject]], time: int) -> Ticks:
        rows = np.array([row for row, _, _ in sides], dtype=np.int64)
        times = np.full(len(sides), time, dtype=np.int64)
        numbers = [self._number(underlying, side, quote, time) for _, side, quote in sides]

        def column(*names: str) -> list[bytes]:
            return [_first_text(quote, *names).encode() for _, _, quote in sides]

        quotes = QuoteTexts(
            last=column("lastPrice"),
            volume_contracts=column("totalTradedVolume"),
            open_interest_contracts=column("openInterest"),
            change_contracts=column("changeinOpenInterest"),
            bid_price=column("bidprice", "buyPrice1"),
            bid_quantity=column("bidQty", "buyQuantity1"),
            ask_price=column("askPrice", "sellPrice1"),
            ask_quantity=column("askQty", "sellQuantity1"),
        )
        ticks = self._chain.quotes(underlying, times, rows, numbers, quotes)
        return np.concatenate((self._chain.spots(underlying, times, rows, column("underlyingValue")), ticks))

    def _number(self, underlying: str, side: str, quote: JsonObject, time: int) -> int:
        expiry, strike = _first_text(quote, "expiryDate", "expiryDates"), _text(quote, "strikePrice")
        return self._chain.number(
            (underlying, expiry, strike, side),
            lambda: self._chain.option(underlying, named_month_date(expiry), strike, side, time),
        )


class CandleMinutes:
    """1-minute candles of the broker as ticks."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars

    def chunks(self) -> Iterator[Ticks]:
        """Four ticks a candle."""
        yield BarTicks()(self._bars)


def _candles(
    path: Path, document: JsonObject, contract_on: Callable[[date | None], Contract], context: ReplayContext
) -> Recording:
    """`data.candles`: time, open, high, low, close, volume, and open interest where it was asked for."""
    candles = _member(document, "data")["candles"]
    rows = candles if isinstance(candles, list) else []
    contract = contract_on(_first_day(rows))
    number = context.book.number(contract)
    is_index = contract.kind is InstrumentKind.INDEX
    parts = convert_by_halves(
        len(rows),
        lambda first, last: _bars(rows[first:last], number, first + 1, is_index=is_index),
        lambda row, reason: context.report.skip(path.name, 1, f"candle {row + 1}: {reason}"),
    )
    bars = np.concatenate([np.empty(0, dtype=BAR_ROW), *parts])
    timeframe = timeframe_of(bars, path.name)
    return CandleMinutes(bars) if timeframe.length_ns == MINUTE_NS else LargerBars(timeframe, bars)


def _first_day(candles: Sequence[object]) -> date | None:
    """The exchange's date of the first candle; absent when it has none."""
    first = candles[0] if candles else None
    try:
        return exchange_date(time_of(str(first[0]))) if isinstance(first, list) and first else None
    except ValueError:
        return None


def _bars(candles: Sequence[object], number: int, first: int, *, is_index: bool) -> Bars:
    bars = np.zeros(len(candles), dtype=BAR_ROW)
    for position, candle in enumerate(candles):
        if not isinstance(candle, list) or len(candle) not in _CANDLE_FIELDS:
            raise ValueError(f"a candle has {' or '.join(map(str, _CANDLE_FIELDS))} values")
        time, opening, high, low, close, volume, *interest = (str(value) for value in candle)
        bars[position] = (
            number,
            0,
            first + position,
            time_of(time),
            *(price_of(price) for price in (opening, high, low, close)),
            ABSENT if is_index else optional_quantity_of(volume),
            optional_quantity_of(interest[0]) if interest else ABSENT,
        )
    return check_bars(bars)


def _first_document(path: Path) -> object:
    """The document of the first line; of the whole file when the line is no document. Raises UnknownFormat."""
    with open_source(path) as stream:
        beginning = stream.readline(_MOST_BYTES)
        if _is_json(beginning):
            return parse_json(beginning)
        text = beginning + stream.read(_MOST_BYTES)
    try:
        return parse_json(text)
    except ValueError as error:
        raise UnknownFormat(f"{path}: neither CSV nor JSON of at most {_MOST_BYTES:,} bytes: {error}") from error


def _documents(path: Path, report: ReplayReport) -> Iterator[tuple[int, bytes]]:
    """Documents with the line that each begins in: one a line, or the whole file when its first line is none."""
    with open_source(path) as stream:
        if not _is_json(stream.readline(_MOST_BYTES)):
            stream.seek(0)
            yield 1, stream.read(_MOST_BYTES)
            return
        stream.seek(0)
        for first, lines in blocks_of_lines(stream, path.name, report):
            yield from ((line, text) for line, text in enumerate(lines, first) if text.strip())


def _is_json(text: bytes) -> bool:
    try:
        parse_json(text)
    except ValueError:
        return False
    return True


def _member(value: object, name: str) -> JsonObject:
    member = value.get(name) if is_object(value) else None
    if not is_object(member):
        raise ValueError(f"{name} is no object")
    return member


def _first_text(value: JsonObject, *names: str) -> str:
    """The first of the members that is there: the site has renamed some over the years."""
    return next((text for text in (_text(value, name) for name in names) if text), "")


def _text(value: JsonObject, name: str) -> str:
    """A text or number as text; empty when it is missing or null."""
    member = value.get(name)
    if member is None:
        return ""
    if not isinstance(member, str):
        raise ValueError(f"{name} is neither a text nor a number")
    return member

"""Instruments and bars for arranging database tests."""

from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np

from server.domain.instruments import Instrument, InstrumentKind, NewInstrument
from server.domain.prices import ABSENT
from server.store.database import Database
from server.store.instruments import InstrumentStore
from server.store.records import CLOSED, STORED_BAR, Records

MINUTE = 60_000_000_000
NIFTY = NewInstrument(
    exchange="NSE", tradingsymbol="NIFTY 50", token=256265, name="NIFTY 50", kind=InstrumentKind.INDEX,
    underlying="NIFTY", tick_size=Decimal(0), segment="INDICES", provenance="seed",
)  # fmt: skip
RELIANCE = NewInstrument(
    exchange="NSE", tradingsymbol="RELIANCE", token=738561, name="RELIANCE INDUSTRIES", kind=InstrumentKind.EQUITY,
    tick_size=Decimal("0.05"), segment="NSE", provenance="seed",
)  # fmt: skip


def nanoseconds(text: str) -> int:
    """Of an ISO time; India time unless it says otherwise."""
    moment = datetime.fromisoformat(text if "+" in text else f"{text}+05:30")
    return int(moment.timestamp()) * 1_000_000_000


def utc(text: str) -> datetime:
    """A datetime from an ISO time of India."""
    return datetime.fromisoformat(f"{text}+05:30").astimezone(UTC)


def option(strike: int, kind: InstrumentKind = InstrumentKind.CALL, expiry: date = date(2025, 11, 25)) -> NewInstrument:
    """A NIFTY option."""
    side = "CE" if kind is InstrumentKind.CALL else "PE"
    symbol = f"NIFTY{expiry:%y}{expiry:%b}{strike}{side}".upper()
    return NewInstrument(
        exchange="NFO", tradingsymbol=symbol, name="NIFTY", kind=kind, underlying="NIFTY", expiry=expiry,
        strike=Decimal(strike), lot_size=75, freeze_quantity=1800, segment="NFO-OPT", provenance="kite",
    )  # fmt: skip


def future(symbol: str, expiry: date) -> NewInstrument:
    """A NIFTY future."""
    return NewInstrument(
        exchange="NFO", tradingsymbol=symbol, kind=InstrumentKind.FUTURE, name="NIFTY", segment="NFO-FUT",
        underlying="NIFTY", expiry=expiry, lot_size=75, provenance="kite",
    )  # fmt: skip


async def instruments(database: Database, *rows: NewInstrument) -> list[Instrument]:
    """Stores instruments (NIFTY and RELIANCE unless given). -> them with their numbers."""
    return await InstrumentStore(database).upsert(rows or (NIFTY, RELIANCE))


def bar(instrument: int, opened: str | int, prices: tuple[float, float, float, float], **changes: int) -> Records:
    """One stored bar from prices in rupees; without volume unless `cumulative_max` and `_before` are given."""
    start = nanoseconds(opened) if isinstance(opened, str) else opened
    row = np.zeros(1, STORED_BAR)
    row["instrument"], row["open_time"], row["flags"] = instrument, start, CLOSED
    for name, price in zip(("open", "high", "low", "close"), prices, strict=True):
        row[name] = round(price * 10_000)
    row["open_interest"] = row["cumulative_max"] = row["cumulative_before"] = ABSENT
    row["first_time"], row["last_time"], row["last_row"] = start, start + MINUTE - 1, 1
    for name, value in changes.items():
        row[name] = value
    return row


def walk(instrument: int, opened: str, minutes: int, volume: bool = True) -> Records:
    """Minute bars in a row with prices that go up and down and a volume of 10, 20, 30 …"""
    start = nanoseconds(opened)
    number = np.arange(minutes)
    rows = np.zeros(minutes, STORED_BAR)
    middle = 1_000_000 + (number * 7_919) % 30_011
    rows["instrument"], rows["flags"] = instrument, CLOSED
    rows["open_time"] = start + number * MINUTE
    rows["open"], rows["close"] = middle, np.roll(middle, -1)
    rows["high"] = np.maximum(rows["open"], rows["close"]) + number % 13
    rows["low"] = np.minimum(rows["open"], rows["close"]) - number % 11
    rows["first_time"], rows["last_time"] = rows["open_time"], rows["open_time"] + MINUTE - 1
    rows["last_row"] = 1
    rows["open_interest"] = number * 5 if volume else ABSENT
    total = np.cumsum((number + 1) * 10)
    rows["cumulative_max"] = total if volume else ABSENT
    rows["cumulative_before"] = total - (number + 1) * 10 if volume else ABSENT
    return rows

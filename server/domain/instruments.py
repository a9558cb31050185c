"""What is known about a tradable instrument."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from server.domain.symbols import canonical_underlying


class InstrumentKind(StrEnum):
    """What an instrument is."""

    INDEX = "INDEX"
    EQUITY = "EQUITY"
    FUTURE = "FUTURE"
    CALL = "CALL"
    PUT = "PUT"


@dataclass(frozen=True, kw_only=True)
class NewInstrument:
    """An instrument as a source names it.

    `token` is the broker's number, an attribute and never a key. `underlying` is the canonical name of what a
    derivative or an index stands for. `strike` is in rupees. `lot_size` is in units and multiplies nothing in profit.
    `freeze_quantity` is the largest order in units; absent when not known. `provenance` says where the row is from:
    `kite`, `synthetic`, `replay`, `ticker` or `seed`.
    """

    exchange: str
    tradingsymbol: str
    token: int | None = None
    name: str = ""
    kind: InstrumentKind
    underlying: str | None = None
    expiry: date | None = None
    strike: Decimal | None = None
    tick_size: Decimal = Decimal("0.05")
    lot_size: int = 1
    freeze_quantity: int | None = None
    segment: str = ""
    provenance: str = "seed"

    @property
    def key(self) -> str:
        """`EXCHANGE:TRADINGSYMBOL`."""
        return f"{self.exchange}:{self.tradingsymbol}"


@dataclass(frozen=True, kw_only=True)
class Instrument(NewInstrument):
    """One row of the instrument master.

    `instrument_id` is the database's small number, which arrays are indexed by and clients never see.
    """

    instrument_id: int


def shard_of(instrument: Instrument, shards: int) -> int:
    """The tick shard that an instrument belongs to: an index, its futures and its options are on one shard."""
    name = instrument.underlying or instrument.tradingsymbol
    return zlib.crc32(canonical_underlying(name).encode()) % shards

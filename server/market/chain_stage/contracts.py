"""Which chain, spot or future each instrument is, and the ladder of listed strikes of every expiry."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from server.domain.instruments import Instrument, InstrumentKind
from server.domain.prices import scale_price
from server.domain.symbols import canonical_underlying

Numbers = NDArray[np.int64]
Ids = NDArray[np.int32]

NONE = -1
"""In the place of an instrument, a chain or an underlying: there is none."""

_OPTIONS = frozenset({InstrumentKind.CALL, InstrumentKind.PUT})

Key = tuple[str, date]
"""Canonical underlying and expiry."""


@dataclass(frozen=True, eq=False)
class Ladder:
    """Listed strikes of one expiry (scaled rupees, ascending) with the instrument numbers of both sides and the future.

    `NONE` where a side or the future is not listed.
    """

    strikes: Numbers
    calls: Ids
    puts: Ids
    future: int

    @classmethod
    def empty(cls) -> Ladder:
        """Nothing is listed."""
        return cls(np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.int32), NONE)

    @classmethod
    def of(cls, contracts: Sequence[Instrument]) -> Ladder:
        """Of the contracts of one expiry. Of two for one strike and side the one that was listed first counts."""
        sides: dict[InstrumentKind, dict[int, int]] = {kind: {} for kind in _OPTIONS}
        future = NONE
        for contract in sorted(contracts, key=lambda row: row.instrument_id):
            if contract.kind is InstrumentKind.FUTURE:
                future = contract.instrument_id if future == NONE else future
            elif contract.kind in _OPTIONS and contract.strike is not None:
                sides[contract.kind].setdefault(scale_price(contract.strike), contract.instrument_id)
        strikes = sorted({*sides[InstrumentKind.CALL], *sides[InstrumentKind.PUT]})
        calls, puts = (
            [sides[kind].get(strike, NONE) for strike in strikes] for kind in InstrumentKind if kind in sides
        )
        return cls(np.array(strikes, np.int64), np.array(calls, np.int32), np.array(puts, np.int32), future)

    @cached_property
    def instruments(self) -> Ids:
        """Numbers of all options."""
        both = np.concatenate((self.calls, self.puts))
        options: Ids = both[both != NONE]
        return options


class Contracts:
    """What each instrument number stands for. Chains and underlyings are numbered as they become known."""

    def __init__(self) -> None:
        self.keys: list[Key] = []
        self.ladders: list[Ladder] = []
        self.underlying_of: list[int] = []
        self.underlyings: list[str] = []
        self.spots: list[int] = []
        self.indices: list[bool] = []
        self.known = np.zeros(1024, dtype=np.bool_)
        self.chain_of = np.full(1024, NONE, dtype=np.int32)
        self.future_of = np.full(1024, NONE, dtype=np.int32)
        self.spot_of = np.full(1024, NONE, dtype=np.int32)
        self.tick_size = np.zeros(1024)
        self.lot_size = np.ones(1024)
        self._chains: dict[Key, int] = {}
        self._numbers: dict[str, int] = {}

    def chain(self, key: Key) -> int:
        """The number of a chain, which gets one now when it has none."""
        number = self._chains.get(key)
        if number is None:
            number = self._chains[key] = len(self.keys)
            self.keys.append(key)
            self.ladders.append(Ladder.empty())
            self.underlying_of.append(self.underlying(key[0]))
        return number

    def underlying(self, name: str) -> int:
        """The number of a canonical underlying, which gets one now when it has none."""
        number = self._numbers.get(name)
        if number is None:
            number = self._numbers[name] = len(self.underlyings)
            self.underlyings.append(name)
            self.spots.append(NONE)
            self.indices.append(False)
        return number

    def unknown(self, ids: Ids) -> list[int]:
        """The numbers among them that were never registered."""
        if not len(ids):
            return []
        self._reserve(int(ids.max()) + 1)
        numbers: list[int] = np.unique(ids[~self.known[ids]]).tolist()
        return numbers

    def chains_of(self, ids: Ids) -> Numbers:
        """Numbers of the chains that these instruments are options of, ascending."""
        chains = self.chain_of[ids]
        touched = np.zeros(len(self.keys), dtype=np.bool_)
        touched[chains[chains != NONE]] = True
        return np.flatnonzero(touched)

    def first_contracts(self, chains: Numbers) -> Ids:
        """An option of each chain, which tells its market."""
        return np.array([self.ladders[chain].instruments[0] for chain in chains.tolist()], np.int32)

    def list_contracts(self, keys: Iterable[Key], contracts: Sequence[Instrument]) -> None:
        """All contracts of these expiries, as the instrument master has them now."""
        rows: defaultdict[Key, list[Instrument]] = defaultdict(list)
        for contract in contracts:
            rows[key_of(contract)].append(contract)
        self.register(contracts)
        for key in keys:
            number = self.chain(key)
            ladder = self.ladders[number] = Ladder.of(rows[key])
            self.chain_of[ladder.instruments] = number
            if ladder.future != NONE:
                self.future_of[ladder.future] = number

    def list_spots(self, spots: Iterable[Instrument]) -> None:
        """The index or stock that an underlying is."""
        rows = list(spots)
        self.register(rows)
        for spot in rows:
            number = self.underlying(underlying_name(spot))
            self.spots[number], self.indices[number] = spot.instrument_id, spot.kind is InstrumentKind.INDEX
            self.spot_of[spot.instrument_id] = number

    def register(self, instruments: Sequence[Instrument]) -> None:
        """Makes instruments known, whatever they are."""
        if instruments:
            self._reserve(max(row.instrument_id for row in instruments) + 1)
        for row in instruments:
            self.known[row.instrument_id] = True
            self.tick_size[row.instrument_id], self.lot_size[row.instrument_id] = float(row.tick_size), row.lot_size

    def _reserve(self, size: int) -> None:
        extra = size - len(self.known)
        if extra <= 0:
            return
        extra = max(extra, len(self.known))
        self.known = np.pad(self.known, (0, extra))
        self.chain_of, self.future_of, self.spot_of = (
            np.pad(column, (0, extra), constant_values=NONE) for column in (self.chain_of, self.future_of, self.spot_of)
        )
        self.tick_size = np.pad(self.tick_size, (0, extra))
        self.lot_size = np.pad(self.lot_size, (0, extra), constant_values=1.0)


def is_derivative(instrument: Instrument) -> bool:
    """It belongs to an expiry."""
    return instrument.expiry is not None and instrument.kind in {*_OPTIONS, InstrumentKind.FUTURE}


def underlying_name(instrument: Instrument) -> str:
    """Canonical name of what the instrument is, or is written on."""
    return canonical_underlying(instrument.underlying or instrument.tradingsymbol)


def key_of(contract: Instrument) -> Key:
    """The expiry of a derivative. Raises ValueError when it has none."""
    if contract.expiry is None:
        raise ValueError(f"{contract.key} has no expiry")
    return underlying_name(contract), contract.expiry

"""Instruments by number and by name, as the hub's process knows them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from server.domain.instruments import Instrument
from server.domain.symbols import canonical_instrument
from server.market.hub.topic import ItemOutcome
from server.market.sessions import SessionTable
from strikeline.v1 import stream_pb2


class Instruments(Protocol):
    """The instrument master."""

    async def all(self) -> list[Instrument]:
        """Every instrument."""
        ...

    async def by_numbers(self, numbers: Iterable[int]) -> list[Instrument]:
        """The instruments among those numbers that exist."""
        ...

    async def by_keys(self, keys: Iterable[str]) -> list[Instrument]:
        """The instruments among those keys that exist."""
        ...


class Directory:
    """A copy of the instrument master that grows when the log or a client names an instrument that it lacks."""

    def __init__(self, instruments: Instruments, sessions: SessionTable) -> None:
        self._instruments = instruments
        self._sessions = sessions
        self._by_number: dict[int, Instrument] = {}
        self._by_key: dict[str, Instrument] = {}
        self._keys: dict[int, str] = {}

    async def load(self) -> None:
        """Reads the whole master."""
        self._learn(await self._instruments.all())

    async def learn(self, numbers: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Makes the instruments of a log entry known. -> mask of those that exist."""
        unknown = self._sessions.unknown(numbers)
        if not unknown:
            return np.ones(len(numbers), dtype=np.bool_)
        self._learn(await self._instruments.by_numbers(unknown))
        return ~np.isin(numbers, self._sessions.unknown(numbers))

    def instrument(self, number: int) -> Instrument | None:
        """The instrument of that number."""
        return self._by_number.get(number)

    def known_instrument(self, number: int) -> Instrument:
        """A known instrument."""
        return self._by_number[number]

    def key(self, number: int) -> str:
        """Key of a known instrument."""
        return self._keys[number]

    def known(self, items: Iterable[str]) -> list[tuple[str, int]] | None:
        """Key and number of each item, when all are keys of known instruments: the usual case, which asks nobody."""
        try:
            return [(item, self._by_key[item].instrument_id) for item in items]
        except KeyError:
            return None

    async def resolve(self, items: Sequence[str]) -> tuple[ItemOutcome, ...]:
        """What each requested name stands for. A second name of an instrument is accepted and adds nothing."""
        keys = [item if item in self._by_key else _canonical(item) for item in items]
        missing = sorted({key for key in keys if key and key not in self._by_key})
        if missing:
            self._learn(await self._instruments.by_keys(missing))
        return tuple(self._outcome(item, key) for item, key in zip(items, keys, strict=True))

    def _outcome(self, item: str, key: str) -> ItemOutcome:
        found = self._by_key.get(key)
        if found is None:
            return ItemOutcome(item, refusal=stream_pb2.ITEM_REFUSAL_NOT_FOUND)
        # Ours instead of the request's text, of which every subscriber of everything would keep its own.
        own = self._keys[found.instrument_id]
        return ItemOutcome(own if item == own else item, key=own, number=found.instrument_id)

    def _learn(self, rows: Iterable[Instrument]) -> None:
        fresh = [row for row in rows if self._by_number.get(row.instrument_id) != row]
        self._sessions.register(fresh)
        for row in fresh:
            key = self._keys[row.instrument_id] = row.key
            self._by_number[row.instrument_id] = self._by_key[key] = row


def _canonical(item: str) -> str:
    """The key that a name stands for; empty when it is no name of an instrument."""
    try:
        return canonical_instrument(item)
    except ValueError:
        return ""

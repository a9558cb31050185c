"""Fetches what the stage needs to know of instruments, ladders and the day before, ahead of an entry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from server.domain.prices import ABSENT
from server.market.chain_stage.chain_table import ChainTable
from server.market.chain_stage.contracts import Contracts, Key, is_derivative, key_of, underlying_name
from server.market.chain_stage.ports import ChainReference
from server.market.chain_stage.quotes import Quotes
from server.market.sessions import SessionTable, day_start

Ids = NDArray[np.int32]
Numbers = NDArray[np.int64]

_NOTHING: Final[Mapping[int, int]] = MappingProxyType({})


class Hydration:
    """Keeps contracts and sessions as complete as the entries at hand need them.

    A ladder is read when a chain is seen first, when an instrument of it appears that it lacks, and again on each
    trading day.
    """

    def __init__(
        self, contracts: Contracts, table: ChainTable, quotes: Quotes, sessions: SessionTable, reference: ChainReference
    ) -> None:
        self._contracts = contracts
        self._table = table
        self._quotes = quotes
        self._sessions = sessions
        self._reference = reference
        self._listed_on: dict[int, int] = {}
        self._stored: dict[int, Mapping[int, int]] = {}

    async def resume(self) -> None:
        """Lists the chains of a checkpoint."""
        chains = [chain for chain in self._table.existing().tolist() if chain not in self._listed_on]
        if chains:
            await self._list(chains, {chain: int(self._table.rows["day"][chain]) for chain in chains})

    async def learn(self, ids: Ids, day: int) -> None:
        """Makes the instruments known, each with the whole ladder or the underlying that it belongs to."""
        unknown = self._contracts.unknown(ids)
        if not unknown:
            return
        found = await self._reference.instruments(unknown)
        keys: list[Key] = sorted({key_of(row) for row in found if is_derivative(row)})
        chains = [self._contracts.chain(key) for key in keys]
        underlyings = {underlying_name(row) for row in found if not is_derivative(row)}
        await self._list(chains, dict.fromkeys(chains, day), underlyings)
        self._contracts.register(found)
        self._sessions.register(found)

    async def begin_day(self, chains: Numbers, day: int) -> None:
        """Lists chains again that a trading day begins for, and fetches the open interest of the day before."""
        again = [chain for chain in chains.tolist() if self._listed_on.get(chain) != day]
        if again:
            await self._list(again, dict.fromkeys(again, day))
        ids = np.concatenate([self._contracts.ladders[chain].instruments for chain in chains.tolist()])
        previous = self._sessions.previous_days(ids, day)
        known = self._quotes.rows[ids]
        missing = (known["day"] != previous) | (known["open_interest"] == ABSENT)
        found: dict[int, int] = dict(self._stored.get(day, _NOTHING))
        for before in np.unique(previous[missing]).tolist():
            numbers = ids[missing & (previous == before)].tolist()
            found.update(await self._reference.last_open_interest(numbers, day_start(before), day_start(before + 1)))
        self._stored[day] = found

    def stored(self, ids: Ids, day: int) -> Numbers:
        """What was fetched of the trading day before `day`; `ABSENT` for nothing."""
        found = self._stored.get(day, _NOTHING)
        return np.array([found.get(number, ABSENT) for number in ids.tolist()], np.int64)

    def forget(self) -> None:
        """The entry was taken in."""
        self._stored.clear()

    async def _list(self, chains: Sequence[int], days: Mapping[int, int], underlyings: set[str] | None = None) -> None:
        keys = [self._contracts.keys[chain] for chain in chains]
        rows = await self._reference.contracts(keys) if keys else ()
        self._contracts.list_contracts(keys, rows)
        asked = (underlyings or set()) | {
            name for name, _ in keys if self._contracts.spots[self._contracts.underlying(name)] < 0
        }
        spots = await self._reference.spots(sorted(asked)) if asked else ()
        self._contracts.list_spots(spots)
        self._sessions.register([*rows, *spots])
        self._quotes.reserve(max([0, *(row.instrument_id + 1 for row in (*rows, *spots))]))
        self._table.reserve()
        self._reschedule({self._contracts.underlying(underlying_name(spot)) for spot in spots})
        self._listed_on.update({chain: days[chain] for chain in chains})

    def _reschedule(self, underlyings: set[int]) -> None:
        for chain, number in enumerate(self._contracts.underlying_of):
            if number in underlyings:
                self._table.schedule(chain)

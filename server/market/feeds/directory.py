"""From a feed's contracts to the numbers of the instrument master; what the master lacks is added."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from server.domain.instruments import Instrument, NewInstrument, shard_of
from server.market.feeds.contracts import Contract, ContractBook
from server.market.feeds.writer import ShardMap


class InstrumentPort(Protocol):
    """The instrument master (`server.store.instruments.InstrumentStore`)."""

    async def by_keys(self, keys: Iterable[str]) -> list[Instrument]:
        """Those of the keys that exist, in their order."""

    async def upsert(self, rows: Sequence[NewInstrument]) -> list[Instrument]:
        """Adds or updates instruments, and gives all of them with their numbers, in the order given."""


class ListingPort(Protocol):
    """Which expiries were listed when (`server.store.expiry_listings.ExpiryListingStore`)."""

    async def seen(self, day: date, contracts: Iterable[Contract]) -> None:
        """Remembers that the contracts were listed on that day."""


class Directory:
    """Numbers of the contracts of one run. `added` counts the instruments that the master did not know before."""

    def __init__(
        self, master: InstrumentPort, listings: ListingPort, book: ContractBook, shards: ShardMap, provenance: str
    ) -> None:
        self._master = master
        self._listings = listings
        self._book = book
        self._shards = shards
        self._provenance = provenance
        self._ids = np.empty(0, dtype=np.int32)
        self._seen_on = np.empty(0, dtype=np.int64)
        self.added = 0

    async def resolve(self, day: date) -> None:
        """Makes every contract of the book known to the master, and new ones of the book listed on a trading day.

        Known instruments stay as they are.
        """
        pending = self._book.contracts[len(self._ids) :]
        if not pending:
            return
        known = {instrument.key: instrument for instrument in await self._master.by_keys(row.key for row in pending)}
        lacking = [self._new(contract) for contract in pending if contract.key not in known]
        if lacking:
            known |= {instrument.key: instrument for instrument in await self._master.upsert(lacking)}
            self.added += len(lacking)
        await self._listings.seen(day, pending)
        for contract in pending:
            instrument = known[contract.key]
            self._shards.set(instrument.instrument_id, shard_of(instrument, self._shards.shards))
        ids = [known[contract.key].instrument_id for contract in pending]
        self._ids = np.concatenate((self._ids, np.array(ids, dtype=np.int32)))
        self._seen_on = np.concatenate((self._seen_on, np.full(len(ids), day.toordinal())))

    async def seen(self, day: date, numbers: NDArray[np.int32]) -> None:
        """Remembers that contracts were quoted on a trading day, each once a day: for runs of several days."""
        quoted = np.unique(numbers)
        fresh = quoted[self._seen_on[quoted] != day.toordinal()]
        if len(fresh):
            await self._listings.seen(day, [self._book.contracts[number] for number in fresh.tolist()])
            self._seen_on[fresh] = day.toordinal()

    def instruments(self, records: NDArray[np.void]) -> NDArray[np.void]:
        """Replaces the contracts' numbers in the records by the master's, in place. All must be resolved."""
        records["instrument"] = self._ids[records["instrument"]]
        return records

    def _new(self, contract: Contract) -> NewInstrument:
        return NewInstrument(
            exchange=contract.exchange,
            tradingsymbol=contract.tradingsymbol,
            token=contract.token,
            name=contract.underlying or contract.tradingsymbol,
            kind=contract.kind,
            underlying=contract.underlying,
            expiry=contract.expiry,
            strike=contract.strike,
            tick_size=contract.tick_size,
            lot_size=contract.lot_size,
            segment=contract.segment,
            provenance=self._provenance,
        )

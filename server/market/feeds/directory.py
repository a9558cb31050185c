"""From a feed's contracts to the numbers of the instrument master; what the master lacks is added."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import date
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from server.domain.instruments import Instrument, NewInstrument, shard_of
from server.market.feeds.contracts import Contract, ContractBook
from server.market.feeds.writer import ShardMap

_LOG: Final = logging.getLogger("strikeline.feed")
_SHOWN: Final = 5
_COLUMNS: Final = tuple(field.name for field in fields(NewInstrument))


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
    """Numbers of the contracts of one run.

    `added` counts the instruments that the master did not know before, `corrected` those whose expiry it had wrong.
    """

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
        self.corrected = 0

    async def resolve(self, day: date) -> None:
        """Makes every contract of the book known to the master, and new ones of the book listed on a trading day.

        Known instruments stay as they are, but for an expiry that the source states otherwise: it is corrected, unless
        the master has it from a better source.
        """
        pending = self._book.contracts[len(self._ids) :]
        if not pending:
            return
        known = {instrument.key: instrument for instrument in await self._master.by_keys(row.key for row in pending)}
        lacking = [self._new(contract) for contract in pending if contract.key not in known]
        if lacking:
            known |= {instrument.key: instrument for instrument in await self._master.upsert(lacking)}
            self.added += len(lacking)
        known |= await self._correct(pending, known)
        await self._listings.seen(day, pending)
        for contract in pending:
            instrument = known[contract.key]
            self._shards.set(instrument.instrument_id, shard_of(instrument, self._shards.shards))
        ids = [known[contract.key].instrument_id for contract in pending]
        self._ids = np.concatenate((self._ids, np.array(ids, dtype=np.int32)))
        self._seen_on = np.concatenate((self._seen_on, np.full(len(ids), day.toordinal())))

    async def _correct(self, contracts: Sequence[Contract], known: Mapping[str, Instrument]) -> dict[str, Instrument]:
        """-> those of the known instruments whose expiry was corrected, by key."""
        stated = {row.key: row for row in contracts if row.expiry is not None and not row.expiry_by_rule}
        wrong = [known[key] for key, row in stated.items() if known[key].expiry != row.expiry]
        if not wrong:
            return {}
        told = [self._restated(row, stated[row.key].expiry) for row in wrong]
        now = {row.key: row for row in await self._master.upsert(told)}
        mended = {key: row for key, row in now.items() if row.expiry == stated[key].expiry}
        self.corrected += len(mended)
        if mended:
            shown = ", ".join(
                f"{key} {known[key].expiry} -> {row.expiry}" for key, row in list(mended.items())[:_SHOWN]
            )
            _LOG.warning("expiries corrected: %d (%s)", len(mended), shown)
        return mended

    def _restated(self, instrument: Instrument, expiry: date | None) -> NewInstrument:
        """The instrument with an expiry that this run's source states."""
        values = {name: getattr(instrument, name) for name in _COLUMNS}
        return NewInstrument(**{**values, "expiry": expiry, "provenance": self._provenance})

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

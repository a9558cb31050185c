"""What a feed states of an expiry against what the instrument master has."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from server.domain.instruments import InstrumentKind
from server.market.feeds.contracts import Contract, ContractBook
from server.market.feeds.directory import Directory
from server.market.feeds.writer import ShardMap
from server.store.database import Database
from server.store.expiry_listings import ExpiryListingStore
from server.store.instruments import InstrumentStore

DAY = date(2026, 11, 24)
OLD, NEW = date(2026, 12, 31), date(2026, 12, 29)
CALL = Contract(
    exchange="NFO", tradingsymbol="NIFTY26DEC26000CE", kind=InstrumentKind.CALL, underlying="NIFTY", expiry=OLD,
    strike=Decimal(26_000), lot_size=65,
)  # fmt: skip


@pytest.fixture
def master(worker_db: Database) -> InstrumentStore:
    return InstrumentStore(worker_db)


@pytest.fixture
def resolved(worker_db: Database, master: InstrumentStore):
    """`await resolved(provenance, contract)` -> the directory of a run that named the contract."""

    async def resolve(provenance: str, contract: Contract) -> Directory:
        book = ContractBook()
        book.number(contract)
        directory = Directory(master, ExpiryListingStore(worker_db), book, ShardMap(1), provenance)
        await directory.resolve(DAY)
        return directory

    return resolve


@pytest.mark.parametrize(
    ("before", "after", "corrected"),
    [
        ("replay", "ticker", 1),
        ("replay", "replay", 1),
        ("synthetic", "ticker", 1),
        ("ticker", "ticker", 1),
        ("ticker", "replay", 0),
        ("kite", "ticker", 0),
        ("kite", "replay", 0),
    ],
)
async def test_a_source_that_is_as_good_corrects_an_expiry(master, resolved, before, after, corrected):
    await resolved(before, CALL)
    (known,) = await master.by_keys([CALL.key])

    directory = await resolved(after, replace(CALL, expiry=NEW, lot_size=1))

    (found,) = await master.by_keys([CALL.key])
    assert (directory.added, directory.corrected) == (0, corrected)
    expected = replace(known, expiry=NEW, provenance=after) if corrected else known
    assert found == expected


async def test_a_date_that_follows_from_a_month_corrects_nothing(master, resolved):
    await resolved("replay", CALL)

    directory = await resolved("replay", replace(CALL, expiry=NEW, expiry_by_rule=True))

    (found,) = await master.by_keys([CALL.key])
    assert (directory.corrected, found.expiry) == (0, OLD)


async def test_the_correction_is_logged(resolved, caplog):
    await resolved("replay", CALL)

    await resolved("ticker", replace(CALL, expiry=NEW))

    assert caplog.messages == ["expiries corrected: 1 (NFO:NIFTY26DEC26000CE 2026-12-31 -> 2026-12-29)"]

"""What chains are built on: ladders, spots, and the open interest of the day before."""

from datetime import date
from decimal import Decimal

import numpy as np
import pytest

from server.domain.instruments import InstrumentKind, NewInstrument
from server.domain.timeframes import Timeframe
from server.store.bars import BarStore
from server.store.chain_reference import ChainReferenceStore
from server.store.database import Database
from server.store.records import LARGER_BAR
from tests.support.market import NIFTY, RELIANCE, bar, instruments, nanoseconds, option

EXPIRY, OTHER = date(2025, 11, 25), date(2025, 12, 30)
START, END = nanoseconds("2025-11-10T00:00:00"), nanoseconds("2025-11-11T00:00:00")
FUTURE = NewInstrument(
    exchange="NFO", tradingsymbol="NIFTY25NOVFUT", kind=InstrumentKind.FUTURE, underlying="NIFTY", expiry=EXPIRY,
    lot_size=75, provenance="kite",
)  # fmt: skip
BSE_RELIANCE = NewInstrument(
    exchange="BSE", tradingsymbol="RELIANCE", kind=InstrumentKind.EQUITY, tick_size=Decimal("0.05"), provenance="kite"
)


@pytest.fixture
def store(worker_db: Database) -> ChainReferenceStore:
    return ChainReferenceStore(worker_db)


async def test_contracts_of_an_expiry_are_its_options_and_its_future(worker_db: Database, store: ChainReferenceStore):
    rows = [NIFTY, FUTURE, option(24_500), option(24_500, InstrumentKind.PUT), option(24_500, expiry=OTHER)]
    listed = await instruments(worker_db, *rows)

    found = await store.contracts([("NIFTY", EXPIRY), ("BANKNIFTY", EXPIRY)])

    assert found == listed[1:4]


async def test_the_spot_is_the_index_or_the_stock_of_nse(worker_db: Database, store: ChainReferenceStore):
    index, _, stock = await instruments(worker_db, NIFTY, BSE_RELIANCE, RELIANCE)

    found = await store.spots(["RELIANCE", "NIFTY", "TCS"])

    assert found == [stock, index]


async def test_a_stock_that_only_bse_lists_is_the_spot(worker_db: Database, store: ChainReferenceStore):
    (stock,) = await instruments(worker_db, BSE_RELIANCE)

    assert await store.spots(["RELIANCE"]) == [stock]


async def test_open_interest_is_the_days_last_known(worker_db: Database, store: ChainReferenceStore):
    first, second = await instruments(worker_db, option(24_500), option(24_600))
    minutes = [("2025-11-10T15:27:00", 150), ("2025-11-10T15:28:00", 225), ("2025-11-11T09:15:00", 300)]
    rows = [bar(first.instrument_id, at, (1, 1, 1, 1), open_interest=value) for at, value in minutes]
    silent = bar(first.instrument_id, "2025-11-10T15:29:00", (1, 1, 1, 1))
    async with worker_db.transaction() as transaction:
        await BarStore(worker_db).merge_bars(transaction, np.concatenate([*rows, silent]))

    found = await store.last_open_interest([first.instrument_id, second.instrument_id], START, END)

    assert found == {first.instrument_id: 225}


async def test_a_recorded_daily_bar_tells_it_where_no_minute_does(worker_db: Database, store: ChainReferenceStore):
    (contract,) = await instruments(worker_db, option(24_500))
    row = np.zeros(1, LARGER_BAR)
    row["instrument"], row["open_time"], row["open_interest"] = contract.instrument_id, START, 7_500
    async with worker_db.transaction() as transaction:
        await BarStore(worker_db).store_larger(transaction, Timeframe.parse("1day"), "replay", row)

    assert await store.last_open_interest([contract.instrument_id], START, END) == {contract.instrument_id: 7_500}

"""Which expiries were listed when."""

from dataclasses import replace
from datetime import date

import pytest

from server.domain.expiries import labels_as_of
from server.domain.instruments import InstrumentKind, NewInstrument
from server.store.database import Database
from server.store.expiry_listings import FUTURE, ExpiryListingStore, Listing
from server.store.instruments import InstrumentStore
from tests.support.market import nanoseconds, option

MONDAY, TUESDAY, FRIDAY = date(2025, 11, 10), date(2025, 11, 11), date(2025, 11, 14)
NEAR, FAR = date(2025, 11, 18), date(2025, 11, 25)


@pytest.fixture
def store(worker_db: Database) -> ExpiryListingStore:
    return ExpiryListingStore(worker_db)


async def named(database: Database, *rows: NewInstrument) -> tuple[NewInstrument, ...]:
    await InstrumentStore(database).upsert(rows)
    return rows


async def test_what_nobody_saw_come_has_no_beginning(store: ExpiryListingStore, worker_db: Database):
    await named(worker_db, option(24500, expiry=NEAR), option(24600, expiry=NEAR))
    assert await store.listed("NIFTY") == (Listing(NEAR, None, None, exchange="NFO"),)


async def test_an_expiry_whose_options_are_called_by_the_day_is_weekly(store: ExpiryListingStore, worker_db: Database):
    weekly = replace(option(24500, expiry=NEAR), tradingsymbol="NIFTY25N1824500CE")
    await named(worker_db, weekly, replace(weekly, tradingsymbol="NIFTY25N1824600CE", strike=24600), option(24500))
    assert await store.listed("NIFTY") == (
        Listing(NEAR, None, None, weekly=True, exchange="NFO"),
        Listing(FAR, None, None, weekly=False, exchange="NFO"),
    )


async def test_a_listing_begins_on_the_day_that_it_was_first_seen(store: ExpiryListingStore, worker_db: Database):
    near, far = await named(worker_db, option(24500, expiry=NEAR), option(24600, expiry=FAR))
    await store.seen(FRIDAY, [near, far])
    await store.seen(TUESDAY, [near, far])
    await store.seen(MONDAY, [far])
    assert [item.listed_since for item in await store.listed("NIFTY")] == [TUESDAY, None]


async def test_what_a_complete_list_lacks_was_listed_until_the_day_before(
    store: ExpiryListingStore, worker_db: Database
):
    near, far = await named(worker_db, option(24500, expiry=NEAR), option(24600, expiry=FAR))
    await store.seen(MONDAY, [near, far], complete=True)
    await store.seen(FRIDAY, [far], complete=True)
    assert await store.listed("NIFTY") == (
        Listing(NEAR, None, date(2025, 11, 13), exchange="NFO"),
        Listing(FAR, None, None, exchange="NFO"),
    )


async def test_days_may_be_learnt_in_any_order(store: ExpiryListingStore, worker_db: Database):
    near, far = await named(worker_db, option(24500, expiry=NEAR), option(24600, expiry=FAR))
    await store.seen(FRIDAY, [far], complete=True)
    await store.seen(MONDAY, [near, far], complete=True)
    assert [item.listed_until for item in await store.listed("NIFTY")] == [date(2025, 11, 13), None]


async def test_a_list_that_is_not_complete_withdraws_nothing(store: ExpiryListingStore, worker_db: Database):
    near, far = await named(worker_db, option(24500, expiry=NEAR), option(24600, expiry=FAR))
    await store.seen(MONDAY, [near, far])
    await store.seen(FRIDAY, [far])
    assert [item.listed_until for item in await store.listed("NIFTY")] == [None, None]


async def test_an_expiry_is_withdrawn_by_no_list_after_its_day(store: ExpiryListingStore, worker_db: Database):
    near, far = await named(worker_db, option(24500, expiry=NEAR), option(24600, expiry=FAR))
    await store.seen(MONDAY, [near, far], complete=True)
    await store.seen(date(2025, 11, 19), [far], complete=True)
    assert [item.listed_until for item in await store.listed("NIFTY")] == [None, None]


async def test_futures_and_options_are_listed_apart(store: ExpiryListingStore, worker_db: Database):
    future = replace(
        option(24600, expiry=FAR),
        tradingsymbol="NIFTY25NOVFUT",
        kind=InstrumentKind.FUTURE,
        strike=None,
    )
    await named(worker_db, option(24500, expiry=NEAR), future)
    await store.seen(MONDAY, [future], complete=True)
    assert await store.listed("NIFTY", FUTURE) == (Listing(FAR, None, None, exchange="NFO"),)
    assert await store.listed("NIFTY") == (Listing(NEAR, None, None, exchange="NFO"),)


async def test_labels_are_those_of_the_day_that_is_asked_for(store: ExpiryListingStore, worker_db: Database):
    near, far = await named(worker_db, option(24500, expiry=NEAR), option(24600, expiry=FAR))
    await store.seen(MONDAY, [far], complete=True)
    await store.seen(FRIDAY, [near, far], complete=True)
    listed = await store.listed("NIFTY")
    on_monday, on_friday = (labels_as_of(listed, nanoseconds(f"{day}T12:00")) for day in (MONDAY, FRIDAY))
    assert [(item.expiry, item.labels) for item in on_monday] == [(FAR, ("NWeek+0", "NMonth+0"))]
    assert [(item.expiry, item.labels) for item in on_friday] == [
        (NEAR, ("NWeek+0",)),
        (FAR, ("NWeek+1", "NMonth+0")),
    ]


async def test_an_unknown_underlying_has_no_listing(store: ExpiryListingStore):
    assert await store.listed("NOSUCH") == ()

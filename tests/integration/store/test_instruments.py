"""The instrument master."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from server.domain.errors import InvalidArgument, NotFound
from server.domain.instruments import InstrumentKind
from server.store.database import Database
from server.store.instruments import ContractFilter, InstrumentFilter, InstrumentStore
from tests.support.market import NIFTY, RELIANCE, option

TODAY = date(2025, 11, 10)


@pytest.fixture
def store(worker_db: Database) -> InstrumentStore:
    return InstrumentStore(worker_db)


async def test_an_instrument_comes_back_as_it_was_given(store: InstrumentStore):
    given = option(24500)
    (stored,) = await store.upsert([given])
    assert (stored.key, stored.strike, stored.lot_size, stored.expiry) == (
        "NFO:NIFTY25NOV24500CE", Decimal(24500), 75, date(2025, 11, 25),
    )  # fmt: skip


async def test_numbers_are_dense_and_lasting(store: InstrumentStore):
    first = await store.upsert([NIFTY, RELIANCE])
    await store.upsert([NIFTY, RELIANCE])
    (third,) = await store.upsert([option(24500)])
    assert [item.instrument_id for item in (*first, third)] == [1, 2, 3]


async def test_upsert_keeps_the_order_given(store: InstrumentStore):
    await store.upsert([RELIANCE])
    assert [item.key for item in await store.upsert([NIFTY, RELIANCE])] == ["NSE:NIFTY 50", "NSE:RELIANCE"]


async def test_the_last_of_two_rows_of_one_key_counts(store: InstrumentStore):
    await store.upsert([RELIANCE, replace(RELIANCE, name="RIL")])
    assert (await store.get("NSE:RELIANCE")).name == "RIL"


async def test_the_broker_corrects_what_a_replay_assumed(store: InstrumentStore):
    await store.upsert([replace(option(24500), lot_size=1, provenance="replay")])
    await store.upsert([option(24500)])
    found = await store.get("NFO:NIFTY25NOV24500CE")
    assert (found.lot_size, found.provenance) == (75, "kite")


async def test_a_replay_never_overrides_the_broker(store: InstrumentStore):
    await store.upsert([option(24500)])
    await store.upsert([replace(option(24500), lot_size=1, provenance="replay")])
    found = await store.get("NFO:NIFTY25NOV24500CE")
    assert (found.lot_size, found.provenance) == (75, "kite")


async def test_an_unknown_key_is_not_found(store: InstrumentStore):
    with pytest.raises(NotFound) as raised:
        await store.get("NSE:NOTHING")
    assert raised.value.reason == "INSTRUMENT_NOT_FOUND"


async def test_keys_that_do_not_exist_are_left_out(store: InstrumentStore):
    await store.upsert([RELIANCE])
    assert [item.key for item in await store.by_keys(["NSE:NOTHING", "NSE:RELIANCE"])] == ["NSE:RELIANCE"]


async def test_an_option_needs_a_strike(store: InstrumentStore):
    with pytest.raises(InvalidArgument) as raised:
        await store.upsert([replace(option(24500), strike=None)])
    assert raised.value.violations[0].field == "strike"


async def test_pages_hold_everything_once(store: InstrumentStore):
    await store.upsert([option(strike) for strike in range(24000, 24700, 50)])
    first = await store.list(InstrumentFilter(underlying="NIFTY"), 10)
    second = await store.list(InstrumentFilter(underlying="NIFTY"), 10, first.next_page_token)
    assert (len(first.items), len(second.items), second.next_page_token, first.total_size) == (10, 4, "", 14)
    assert len({item.key for item in (*first.items, *second.items)}) == 14


async def test_a_page_token_holds_for_its_query_only(store: InstrumentStore):
    await store.upsert([option(strike) for strike in (24000, 24050, 24100)])
    page = await store.list(InstrumentFilter(underlying="NIFTY"), 1)
    with pytest.raises(InvalidArgument) as raised:
        await store.list(InstrumentFilter(underlying="BANKNIFTY"), 1, page.next_page_token)
    assert raised.value.reason == "PAGE_TOKEN_INVALID"


async def test_expired_contracts_are_left_out(store: InstrumentStore):
    await store.upsert([option(24500, expiry=date(2025, 10, 28)), option(24500)])
    page = await store.list(InstrumentFilter(on=TODAY), 10)
    assert [item.expiry for item in page.items] == [date(2025, 11, 25)]


async def test_search_finds_an_exact_symbol_first(store: InstrumentStore):
    reliance_power = replace(RELIANCE, tradingsymbol="RELIANCEPOWER", name="RELIANCE POWER", token=None)
    await store.upsert([reliance_power, RELIANCE])
    page = await store.search("reliance", 10)
    assert [item.tradingsymbol for item in page.items] == ["RELIANCE", "RELIANCEPOWER"]


async def test_search_wants_every_word(store: InstrumentStore):
    await store.upsert([option(24500), option(24500, InstrumentKind.PUT), option(25000)])
    page = await store.search("nifty 24500 pe", 10)
    assert [item.tradingsymbol for item in page.items] == ["NIFTY25NOV24500PE"]


async def test_search_of_two_letters_looks_at_the_beginning(store: InstrumentStore):
    await store.upsert([NIFTY, RELIANCE])
    assert [item.tradingsymbol for item in (await store.search("re", 10)).items] == ["RELIANCE"]


@pytest.mark.parametrize("query", ["%", "_", "'; DROP TABLE instruments; --", "\\", "x" * 64])
async def test_search_takes_no_wildcards_and_no_sql(store: InstrumentStore, query: str):
    await store.upsert([NIFTY])
    assert (await store.search(query, 10)).items == ()


async def test_search_pages(store: InstrumentStore):
    await store.upsert([option(strike) for strike in range(24000, 24500, 50)])
    first = await store.search("NIFTY25NOV", 6)
    second = await store.search("NIFTY25NOV", 6, first.next_page_token)
    assert [int(item.strike or 0) for item in (*first.items, *second.items)] == list(range(24000, 24500, 50))


async def test_contracts_of_a_strike_range(store: InstrumentStore):
    await store.upsert([option(strike) for strike in (24000, 24100, 24200, 24300)])
    wanted = ContractFilter("NIFTY", min_strike=Decimal(24100), max_strike=Decimal(24200))
    page = await store.derivative_contracts(wanted, 1)
    rest = await store.derivative_contracts(wanted, 1, page.next_page_token)
    assert [int(item.strike or 0) for item in (*page.items, *rest.items)] == [24100, 24200]
    assert page.total_size == 2


async def test_a_future_comes_before_the_options_of_its_expiry(store: InstrumentStore):
    future = replace(
        option(0), tradingsymbol="NIFTY25NOVFUT", kind=InstrumentKind.FUTURE, strike=None, segment="NFO-FUT"
    )
    await store.upsert([option(100), future])
    page = await store.derivative_contracts(ContractFilter("NIFTY"), 1)
    rest = await store.derivative_contracts(ContractFilter("NIFTY"), 1, page.next_page_token)
    assert [item.kind for item in (*page.items, *rest.items)] == [InstrumentKind.FUTURE, InstrumentKind.CALL]


async def test_underlyings_know_their_index(store: InstrumentStore):
    await store.upsert([NIFTY, option(24500), option(24500, expiry=date(2025, 12, 30))])
    (found,) = await store.underlyings(TODAY)
    assert (found.underlying, found.instrument, found.contracts) == ("NIFTY", "NSE:NIFTY 50", 2)
    assert found.expiries == (date(2025, 11, 25), date(2025, 12, 30))


async def test_stats_count_active_apart(store: InstrumentStore):
    await store.upsert([option(24500), option(24500, expiry=date(2025, 10, 28))])
    (counts,) = await store.stats(TODAY)
    assert (counts.kind, counts.total, counts.active) == (InstrumentKind.CALL, 2, 1)


async def test_a_brokers_whole_list_in_one_go(store: InstrumentStore):
    rows = [replace(option(strike), tradingsymbol=f"T{strike}", token=strike) for strike in range(1, 35_001)]
    assert await store.import_bulk(rows) == 35_000
    assert (await store.list(InstrumentFilter(), 1)).total_size == 35_000

"""OptionService's answers about expiries and chains on a real database: listings, ladders, recorded minutes."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from server.domain.instruments import Instrument, InstrumentKind
from server.market.hub.position import EntryId
from server.store.bars import BarStore
from server.store.database import Database
from server.store.expiry_listings import ExpiryListingStore
from server.store.option_minutes import OptionMinuteStore
from strikeline.v1 import option_chain_requests_pb2 as pb
from strikeline.v1 import option_distribution_pb2, option_pb2
from strikeline.v1.instrument_import_pb2 import ImportInstrumentsRequest
from tests.support.api import NIFTY, HandFeed, RunningApi, add_instruments
from tests.support.market import bar, nanoseconds, option
from tests.support.option_minutes import contract, minute, strike

pytestmark = pytest.mark.stack

SERVICE = "/strikeline.v1.OptionService"
WEEKLY, MONTHLY, DECEMBER = date(2025, 11, 18), date(2025, 11, 25), date(2025, 12, 30)
NOON = "2025-11-10T12:00"
CALL, PUT = InstrumentKind.CALL, InstrumentKind.PUT
COLUMNS = "instrument_token,tradingsymbol,name,expiry,strike,tick_size,lot_size,instrument_type,segment,exchange"


def at(text: str) -> Timestamp:
    """An exchange time."""
    stamp = Timestamp()
    stamp.FromNanoseconds(nanoseconds(text))
    return stamp


@pytest.fixture
async def instruments(worker_db: Database) -> Sequence[Instrument]:
    """NIFTY as 1; a weekly call and put at 25,000 as 2 and 3, monthly ones at 25,000 and 25,100 as 4 to 7, then two."""
    weekly = [replace(option(25_000, kind, WEEKLY), tradingsymbol=f"NIFTY25N1825000{side}")
              for kind, side in ((CALL, "CE"), (PUT, "PE"))]  # fmt: skip
    monthly = [option(price, kind, MONTHLY) for price in (25_000, 25_100) for kind in (CALL, PUT)]
    return await add_instruments(worker_db, NIFTY, *weekly, *monthly, option(25_000, CALL, DECEMBER))


async def answer_of(api: RunningApi, method: str, request, scope: str = "read"):
    return await api.call(f"{SERVICE}/{method}", request, token=api.token(scope=scope))


async def ask(api: RunningApi, method: str, request):
    answer = await answer_of(api, method, request)
    assert answer.code is grpc.StatusCode.OK, (answer.code, answer.info, answer.bad_request)
    return answer.message


async def reason_of(api: RunningApi, method: str, request) -> str:
    return (await answer_of(api, method, request)).info.reason


async def test_expiries_have_classes_labels_and_days(api):
    request = pb.ListExpiriesRequest(underlying="NSE:NIFTY 50", as_of=at(NOON))

    listed = await ask(api, "ListExpiries", request)

    assert (listed.underlying, listed.as_of, listed.total_size) == ("NIFTY", at(NOON), 3)
    assert [
        (item.expiry, item.exchange, item.expiry_class, item.quarterly, list(item.labels), item.days_to_expiry)
        for item in listed.expiries
    ] == [
        ("2025-11-18", "NFO", pb.EXPIRY_CLASS_WEEKLY, False, ["NWeek+0"], 8),
        ("2025-11-25", "NFO", pb.EXPIRY_CLASS_MONTHLY, False, ["NWeek+1", "NMonth+0"], 15),
        ("2025-12-30", "NFO", pb.EXPIRY_CLASS_MONTHLY, True, ["NWeek+2", "NMonth+1"], 50),
    ]


async def test_trading_days_leave_out_weekends_and_holidays(api):
    listed = await ask(api, "ListExpiries", pb.ListExpiriesRequest(underlying="NIFTY", as_of=at("2025-12-22T12:00")))

    # Christmas is a holiday: 23, 24, 26, 29 and 30 December are left.
    (december,) = listed.expiries
    assert (december.days_to_expiry, december.trading_days_to_expiry) == (8, 5)


async def test_trading_days_of_a_year_without_holidays_on_record_are_not_known(api, worker_db):
    await add_instruments(worker_db, replace(option(80, CALL, date(2027, 1, 25)), underlying="FARSEED"))

    request = pb.ListExpiriesRequest(underlying="FARSEED", as_of=at("2026-11-25T12:00"))
    (listed,) = (await ask(api, "ListExpiries", request)).expiries

    assert (listed.days_to_expiry, listed.HasField("trading_days_to_expiry")) == (61, False)


async def test_an_exchange_without_calendar_has_no_trading_days(api, worker_db):
    await add_instruments(worker_db, replace(option(80, CALL, MONTHLY), exchange="NCO", underlying="GUARSEED"))

    request = pb.ListExpiriesRequest(underlying="GUARSEED", as_of=at(NOON), history_days=2)
    (listed,) = (await ask(api, "ListExpiries", request)).expiries

    assert (listed.days_to_expiry, listed.HasField("trading_days_to_expiry"), len(listed.history)) == (15, False, 0)


@pytest.mark.parametrize(("second", "expiry", "days"), [("00", "2025-11-18", 0), ("01", "2025-11-25", 7)])
async def test_an_expiry_is_in_force_until_half_past_three(api, second: str, expiry: str, days: int):
    request = pb.ListExpiriesRequest(underlying="NIFTY", as_of=at(f"2025-11-18T15:30:{second}"))

    nearest = (await ask(api, "ListExpiries", request)).expiries[0]

    assert (nearest.expiry, nearest.days_to_expiry, nearest.labels[0]) == (expiry, days, "NWeek+0")


async def test_expiries_that_are_over_are_listed_on_request(api):
    request = pb.ListExpiriesRequest(underlying="NIFTY", as_of=at("2025-12-01T12:00"), include_expired=True)

    listed = await ask(api, "ListExpiries", request)

    assert [(item.expiry, item.expired, item.expiry_class, list(item.labels)) for item in listed.expiries] == [
        ("2025-11-18", True, pb.EXPIRY_CLASS_WEEKLY, []),
        ("2025-11-25", True, pb.EXPIRY_CLASS_MONTHLY, []),
        ("2025-12-30", False, pb.EXPIRY_CLASS_MONTHLY, ["NWeek+0", "NMonth+0"]),
    ]
    assert not listed.expiries[0].HasField("days_to_expiry")


async def test_expiries_come_in_pages(api):
    request = pb.ListExpiriesRequest(underlying="NIFTY", as_of=at(NOON), page_size=2)
    first = await ask(api, "ListExpiries", request)
    request.page_token = first.next_page_token
    second = await ask(api, "ListExpiries", request)

    assert [len(first.expiries), len(second.expiries), second.next_page_token] == [2, 1, ""]


async def test_an_expiry_is_called_as_it_was_on_the_day(api, worker_db, instruments):
    listings = ExpiryListingStore(worker_db)
    await listings.seen(date(2025, 11, 3), [item for item in instruments if item.expiry != WEEKLY], complete=True)
    await listings.seen(date(2025, 11, 7), instruments, complete=True)
    request = pb.ListExpiriesRequest(underlying="NIFTY", as_of=at(NOON), history_days=3)

    listed = await ask(api, "ListExpiries", request)

    weekly, monthly, _ = listed.expiries
    assert [(day.date, list(day.labels)) for day in weekly.history] == [
        ("2025-11-10", ["NWeek+0"]), ("2025-11-07", ["NWeek+0"]),
    ]  # fmt: skip
    assert [(day.date, list(day.labels)) for day in monthly.history] == [
        ("2025-11-10", ["NWeek+1", "NMonth+0"]),
        ("2025-11-07", ["NWeek+1", "NMonth+0"]),
        ("2025-11-06", ["NWeek+0", "NMonth+0"]),
    ]
    assert (weekly.listed_since, monthly.listed_since) == ("2025-11-07", "")


async def test_an_import_tells_what_was_listed_on_its_day(api):
    rows = "7,NIFTY25NOV25200CE,NIFTY,2025-11-25,25200,0.05,75,CE,NFO-OPT,NFO\n"
    request = ImportInstrumentsRequest(csv=f"{COLUMNS}\n{rows}".encode(), date="2025-11-11", complete=True)
    await api.call("/strikeline.v1.InstrumentService/ImportInstruments", request, token=api.token(scope="admin"))

    listed = await ask(api, "ListExpiries", pb.ListExpiriesRequest(underlying="NIFTY", as_of=at("2025-11-12T12:00")))

    assert [item.expiry for item in listed.expiries] == ["2025-11-25"]


async def test_a_dump_of_no_day_of_the_calendar_is_refused(api):
    request = ImportInstrumentsRequest(csv=f"{COLUMNS}\n".encode(), date="2025-02-30")
    answer = await api.call(
        "/strikeline.v1.InstrumentService/ImportInstruments", request, token=api.token(scope="admin")
    )
    assert (answer.code, answer.bad_request.field_violations[0].field) == (grpc.StatusCode.INVALID_ARGUMENT, "date")


async def test_before_the_first_tick_there_is_no_present(api):
    assert await reason_of(api, "ListExpiries", pb.ListExpiriesRequest(underlying="NIFTY")) == "MARKET_TIME_UNKNOWN"
    request = pb.GetOptionChainRequest(underlying="NIFTY", expiry="NMonth+0")
    assert await reason_of(api, "GetOptionChain", request) == "MARKET_TIME_UNKNOWN"


async def test_an_underlying_without_options_is_not_found(api):
    request = pb.ListExpiriesRequest(underlying="RELIANCE", as_of=at(NOON))
    assert await reason_of(api, "ListExpiries", request) == "UNDERLYING_NOT_FOUND"


async def test_a_chain_of_which_nothing_traded_has_its_ladder(api, feed: HandFeed, instruments):
    await feed.tick(instruments[0], nanoseconds(NOON), "25020.5")
    await reached(api, feed)

    chain = await ask(api, "GetOptionChain", pb.GetOptionChainRequest(underlying="NIFTY", expiry="NMonth+0"))

    assert (chain.expiry, list(chain.labels), chain.as_of) == ("2025-11-25", ["NWeek+1", "NMonth+0"], at(NOON))
    assert [(row.strike, row.call.instrument, row.put.instrument) for row in chain.rows] == [
        (25_000, "NFO:NIFTY25NOV25000CE", "NFO:NIFTY25NOV25000PE"),
        (25_100, "NFO:NIFTY25NOV25100CE", "NFO:NIFTY25NOV25100PE"),
    ]


async def test_a_distribution_of_the_past_is_read_from_the_record(api, worker_db):
    figures = {"volatility": 0.12, "delta": 0.55, "vanna": 0.01, "spread": 0.5, "microprice": 120.1, "score": 72.0}
    opened = "2025-11-10T09:20:00"
    async with worker_db.transaction() as transaction:
        metrics = {"call_open_interest": 1_500.0, "put_open_interest": 3_000.0, "pcr_oi": 2.0, "max_pain": 25_000.0}
        row = strike(25_000, contract(4, 5, **figures), contract(5, 5, volatility=0.14))
        await OptionMinuteStore(worker_db).save_minutes(transaction, [minute(opened, row, metrics=metrics)])
        for number, day, level, close in (
            (4, "2025-11-07T15:29:00", 1_000, 90.0), (4, opened, 1_500, 120.0), (5, "2025-11-10T09:18:00", 3_000, 80.0),
        ):  # fmt: skip
            await BarStore(worker_db).merge_bars(transaction, bar(number, day, (close,) * 4, open_interest=level))

    found = await ask(
        api,
        "GetStrikeDistribution",
        option_distribution_pb2.GetStrikeDistributionRequest(
            underlying="NIFTY", expiries=["NMonth+0"], time=at("2025-11-10T09:25:30")
        ),
    )

    (expiry,) = found.expiries
    assert (found.live, expiry.metrics.expiry, list(expiry.metrics.labels)) == (
        False, "2025-11-25", ["NWeek+1", "NMonth+0"],
    )  # fmt: skip
    assert (found.stale, expiry.metrics.greeks_reference) == (True, option_pb2.GREEKS_REFERENCE_SPOT)
    assert (expiry.metrics.pcr_oi, expiry.metrics.max_pain, expiry.metrics.forward) == (2.0, 25_000.0, 25_040.0)
    assert (found.call_open_interest, found.put_open_interest, found.pcr_oi) == (1_500, 3_000, 2.0)
    assert (expiry.strike_count, expiry.has_greeks, expiry.has_open_interest) == (2, True, True)
    call, put = expiry.rows[0].call, expiry.rows[0].put
    assert (call.last_price, call.open_interest, call.oi_change, call.oi_change_pct) == (120.0, 1_500, 500, 50.0)
    assert (call.implied_volatility, call.greeks.delta, call.greeks.vanna) == (0.12, 0.55, 0.01)
    assert (call.liquidity.spread, call.liquidity.microprice, call.liquidity.score) == (0.5, 120.1, 72.0)
    assert (put.last_price, put.open_interest, put.HasField("oi_change")) == (80.0, 3_000, False)
    assert expiry.rows[0].level == 0
    assert not expiry.rows[1].call.HasField("implied_volatility")


async def test_a_time_without_record_has_no_expiry(api):
    request = option_distribution_pb2.GetStrikeDistributionRequest(underlying="NIFTY", time=at(NOON))
    found = await ask(api, "GetStrikeDistribution", request)
    assert (len(found.expiries), found.HasField("pcr_oi")) == (0, False)


async def test_panels_name_methods_of_the_contract(api):
    found = await ask(api, "ListAnalyticsPanels", option_distribution_pb2.ListAnalyticsPanelsRequest())
    assert len(found.panels) == 15
    assert [panel.panel for panel in found.panels if panel.shown_by_default] == [
        "iv_panel", "delta_panel", "oi_panel", "pcr_panel", "max_pain_panel", "iv_strike_panel", "pcr_strike_panel",
    ]  # fmt: skip
    assert {panel.method for panel in found.panels} == {
        f"strikeline.v1.OptionService/{name}"
        for name in ("ListMoneynessSeries", "ListExpiryMetrics", "GetStrikeDistribution")
    }


async def reached(api: RunningApi, feed: HandFeed) -> None:
    """The api has read what the feed sent."""
    await api.app.hub.reached(EntryId.parse(feed.sent[-1]))

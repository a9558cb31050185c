"""AccountService and InstrumentService on a real database."""

import gzip

import grpc
import pytest

from server.store.accounts import AccountStore
from strikeline.v1 import account_pb2, instrument_pb2
from strikeline.v1 import account_service_pb2 as accounts
from strikeline.v1 import instrument_service_pb2 as pb
from strikeline.v1.instrument_import_pb2 import ImportInstrumentsRequest

pytestmark = pytest.mark.stack

ACCOUNTS = "/strikeline.v1.AccountService/"
INSTRUMENTS = "/strikeline.v1.InstrumentService/"

DUMP = """\
instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,instrument_type,segment,exchange
12345858,48226,NIFTY29DEC26000CE,NIFTY,0,2029-12-24,26000,0.05,75,CE,NFO-OPT,NFO
12346114,48227,NIFTY29DEC26000PE,NIFTY,0,2029-12-24,26000,0.05,75,PE,NFO-OPT,NFO
12346115,48228,NIFTY29DEC27000CE,NIFTY,0,2029-12-24,soon,0.05,75,CE,NFO-OPT,NFO
"""


async def ask(api, path: str, request, scope: str = "read trade", **claims):
    return await api.call(path, request, token=api.token(scope=scope, **claims))


async def test_an_account_is_created_for_the_caller_with_an_id_of_the_server(api):
    request = accounts.CreateAccountRequest(account=account_pb2.Account(account="mine", display_name="Zerodha"))

    made = (await ask(api, ACCOUNTS + "CreateAccount", request)).message

    found = (await ask(api, ACCOUNTS + "GetAccount", accounts.GetAccountRequest(account=made.account))).message
    assert made.account != "mine"
    assert found == made
    assert found.display_name == "Zerodha"


async def test_a_caller_sees_its_own_accounts_only(api, worker_db):
    await AccountStore(worker_db).ensure("demo", "a")
    await AccountStore(worker_db).ensure("other", "b")

    listed = (await ask(api, ACCOUNTS + "ListAccounts", accounts.ListAccountsRequest())).message

    assert [item.account for item in listed.accounts] == ["a"]


async def test_a_credential_for_some_accounts_lists_those(api, worker_db):
    for account in ("a", "b"):
        await AccountStore(worker_db).ensure("demo", account)

    answer = await ask(api, ACCOUNTS + "ListAccounts", accounts.ListAccountsRequest(), accounts=["b"])

    assert [item.account for item in answer.message.accounts] == ["b"]


async def test_a_credential_for_some_accounts_creates_none(api):
    request = accounts.CreateAccountRequest(account=account_pb2.Account(display_name="New"))

    answer = await ask(api, ACCOUNTS + "CreateAccount", request, accounts=["a"])

    assert (answer.code, answer.info.reason) == (grpc.StatusCode.PERMISSION_DENIED, "ACCOUNT_FORBIDDEN")


async def test_an_instrument_is_found_by_alias(api):
    answer = await ask(api, INSTRUMENTS + "GetInstrument", pb.GetInstrumentRequest(instrument="NSE:NIFTY50"))

    found = answer.message
    assert (found.instrument, found.kind) == ("NSE:NIFTY 50", instrument_pb2.INSTRUMENT_KIND_INDEX)
    assert (found.tick_size, found.lot_size) == (0.0, 1)
    assert not found.HasField("strike")
    assert answer.headers["cache-control"] == "private, max-age=60"


@pytest.mark.parametrize("name", ["NSE:NOSUCH", "no colon", ":::"])
async def test_what_is_no_instrument_is_not_found(api, name):
    answer = await ask(api, INSTRUMENTS + "GetInstrument", pb.GetInstrumentRequest(instrument=name))

    assert (answer.code, answer.info.reason) == (grpc.StatusCode.NOT_FOUND, "INSTRUMENT_NOT_FOUND")


async def test_a_batch_fails_as_a_whole(api):
    request = pb.BatchGetInstrumentsRequest(instruments=["NSE:RELIANCE", "NSE:NOSUCH"])

    answer = await ask(api, INSTRUMENTS + "BatchGetInstruments", request)

    assert answer.bad_request.field_violations[0].field == "instruments[1]"


async def test_instruments_are_listed_by_filter(api):
    request = pb.ListInstrumentsRequest(exchange="NSE", kind=instrument_pb2.INSTRUMENT_KIND_EQUITY)

    page = (await ask(api, INSTRUMENTS + "ListInstruments", request)).message

    assert [item.instrument for item in page.instruments] == ["NSE:RELIANCE"]
    assert page.total_size == 1


async def test_search_finds_by_a_part_of_the_name(api):
    page = (await ask(api, INSTRUMENTS + "SearchInstruments", pb.SearchInstrumentsRequest(query="relian"))).message

    assert page.instruments[0].instrument == "NSE:RELIANCE"


async def test_an_import_adds_what_is_readable_and_reports_the_rest(api):
    request = ImportInstrumentsRequest(csv=gzip.compress(DUMP.encode()))

    report = (await ask(api, INSTRUMENTS + "ImportInstruments", request, scope="admin")).message

    assert (report.imported_count, report.rejected_count) == (2, 1)
    assert report.rejected_rows[0].line == 4


async def test_imported_contracts_are_found_by_underlying_expiry_and_strike(api):
    await ask(
        api,
        INSTRUMENTS + "ImportInstruments",
        ImportInstrumentsRequest(csv=DUMP.encode()),
        scope="admin",
    )
    request = pb.SearchDerivativeContractsRequest(underlying="NIFTY 50", expiry="2029-12-24", min_strike=25000)

    page = (await ask(api, INSTRUMENTS + "SearchDerivativeContracts", request)).message
    underlyings = (await ask(api, INSTRUMENTS + "ListUnderlyings", pb.ListUnderlyingsRequest())).message.underlyings

    assert [item.tradingsymbol for item in page.contracts] == ["NIFTY29DEC26000CE", "NIFTY29DEC26000PE"]
    nifty = next(item for item in underlyings if item.underlying == "NIFTY")
    assert (nifty.instrument, list(nifty.expiries), nifty.contract_count) == ("NSE:NIFTY 50", ["2029-12-24"], 2)


async def test_a_file_that_is_no_instrument_list_is_refused_as_a_whole(api):
    request = ImportInstrumentsRequest(csv=b"a,b\n1,2\n")

    answer = await ask(api, INSTRUMENTS + "ImportInstruments", request, scope="admin")

    assert (answer.code, answer.info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "IMPORT_UNREADABLE")
    assert answer.bad_request.field_violations[0].field == "csv"


async def test_a_date_that_does_not_exist_is_refused(api):
    request = pb.SearchDerivativeContractsRequest(underlying="NIFTY", expiry="2025-02-30")

    answer = await ask(api, INSTRUMENTS + "SearchDerivativeContracts", request)

    assert answer.bad_request.field_violations[0].field == "expiry"


async def test_counts_are_by_kind_exchange_and_segment(api):
    stats = (await ask(api, INSTRUMENTS + "GetInstrumentStats", pb.GetInstrumentStatsRequest())).message

    assert (stats.total, stats.active) == (3, 3)
    assert {item.value: item.count for item in stats.by_exchange} == {"NSE": 2, "NFO": 1}

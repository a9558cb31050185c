"""How the contract tests turn a message into an HTTP request."""

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from server.contract.methods import load_contract
from server.contract.testing.http_calls import HttpRequest, Inexpressible, http_request
from strikeline.v1.instrument_service_pb2 import GetInstrumentRequest, ListInstrumentsRequest
from strikeline.v1.market_data_service_pb2 import ListBarsRequest, StreamTicksRequest
from strikeline.v1.strategy_pb2 import Strategy
from strikeline.v1.strategy_requests_pb2 import ArchiveStrategyRequest, UpdateStrategyRequest


def request_of(name: str, message) -> HttpRequest:
    return http_request(load_contract().method(f"/strikeline.v1.{name}"), message)


def test_a_key_in_a_path_keeps_its_colon_and_encodes_its_space() -> None:
    sent = request_of("InstrumentService/GetInstrument", GetInstrumentRequest(instrument="NSE:NIFTY 50"))

    assert sent == HttpRequest("GET", "/v1/instruments/NSE:NIFTY%2050", (), None)


def test_times_enums_and_numbers_stand_in_the_query() -> None:
    bars = ListBarsRequest(instrument="NSE:RELIANCE", timeframe="1min", page_size=5)
    bars.start_time.FromJsonString("2025-11-03T03:45:00Z")

    assert request_of("MarketDataService/ListBars", bars).query == (
        ("instrument", "NSE:RELIANCE"),
        ("timeframe", "1min"),
        ("startTime", "2025-11-03T03:45:00Z"),
        ("pageSize", "5"),
    )
    assert request_of(
        "InstrumentService/ListInstruments", ListInstrumentsRequest(kind=4, include_expired=True)
    ).query == (
        ("kind", "INSTRUMENT_KIND_CALL"),
        ("includeExpired", "true"),
    )


def test_repeated_and_nested_fields_are_repeated_and_dotted() -> None:
    ticks = StreamTicksRequest(instruments=["NSE:INFY", "NSE:TCS"])
    ticks.options.flush_interval.FromMilliseconds(50)

    assert request_of("MarketDataService/StreamTicks", ticks).query == (
        ("instruments", "NSE:INFY"),
        ("instruments", "NSE:TCS"),
        ("options.flushInterval", "0.050s"),
    )


def test_the_body_is_one_field_and_the_rest_is_query() -> None:
    update = UpdateStrategyRequest(
        strategy=Strategy(account="demo", strategy="s-1", display_name="Condor"),
        update_mask=FieldMask(paths=["display_name"]),
    )

    sent = request_of("StrategyService/UpdateStrategy", update)

    assert (sent.verb, sent.path) == ("PATCH", "/v1/accounts/demo/strategies/s-1")
    assert sent.query == (("updateMask", "displayName"),)
    assert sent.body == '{\n  "displayName": "Condor"\n}'


def test_the_body_may_be_the_whole_request_but_for_its_path() -> None:
    sent = request_of(
        "StrategyService/ArchiveStrategy", ArchiveStrategyRequest(account="demo", strategy="s-1", etag="4")
    )

    assert sent == HttpRequest("POST", "/v1/accounts/demo/strategies/s-1:archive", (), '{\n  "etag": "4"\n}')


def test_an_empty_id_has_no_path() -> None:
    with pytest.raises(Inexpressible, match="instrument is empty"):
        request_of("InstrumentService/GetInstrument", GetInstrumentRequest())

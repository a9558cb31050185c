"""Requests of InstrumentService."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from google.protobuf.message import Message

from server.contract.testing.examples.example import Example, Wrong
from strikeline.v1 import instrument_pb2
from strikeline.v1.instrument_service_pb2 import (
    BatchGetInstrumentsRequest,
    GetInstrumentRequest,
    GetInstrumentStatsRequest,
    ImportInstrumentsRequest,
    ListInstrumentsRequest,
    ListUnderlyingsRequest,
    SearchDerivativeContractsRequest,
    SearchInstrumentsRequest,
)

NOWHERE = "NSE:NOSUCHSHARE"
CSV = (
    b"instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,instrument_type,segment,exchange\n"
    b"999001,3902,ZZCONTRACTTEST,CONTRACT TEST,0,,0,0.05,1,EQ,NSE,NSE\n"
)


def _bad_token() -> Wrong:
    return Wrong(
        "token of nobody",
        lambda request: setattr(request, "page_token", "no-token"),
        "page_token",
        "PAGE_TOKEN_INVALID",
    )


def _crossed_strikes(request: Message) -> None:
    assert isinstance(request, SearchDerivativeContractsRequest)
    request.min_strike, request.max_strike = 200.0, 100.0


def _no_date(request: Message) -> None:
    assert isinstance(request, SearchDerivativeContractsRequest)
    request.expiry = "2025-02-30"


EXAMPLES: Mapping[str, Example] = MappingProxyType(
    {
        "InstrumentService/GetInstrument": Example(
            lambda world: GetInstrumentRequest(instrument=world.equity),
            missing=lambda _world: GetInstrumentRequest(instrument=NOWHERE),
            missing_reason="INSTRUMENT_NOT_FOUND",
        ),
        "InstrumentService/BatchGetInstruments": Example(
            lambda world: BatchGetInstrumentsRequest(instruments=[world.option.instrument, world.equity]),
            missing=lambda world: BatchGetInstrumentsRequest(instruments=[world.equity, NOWHERE]),
            missing_reason="INSTRUMENT_NOT_FOUND",
        ),
        "InstrumentService/ListInstruments": Example(
            lambda _world: ListInstrumentsRequest(kind=instrument_pb2.INSTRUMENT_KIND_CALL, page_size=2),
            wrong=(_bad_token(),),
        ),
        "InstrumentService/SearchInstruments": Example(
            lambda world: SearchInstrumentsRequest(query=world.equity.partition(":")[2][:4], page_size=3),
            wrong=(_bad_token(),),
        ),
        "InstrumentService/ListUnderlyings": Example(
            lambda _world: ListUnderlyingsRequest(page_size=3), wrong=(_bad_token(),)
        ),
        "InstrumentService/SearchDerivativeContracts": Example(
            lambda world: SearchDerivativeContractsRequest(underlying=world.option.underlying, page_size=3),
            wrong=(
                _bad_token(),
                Wrong("crossed strikes", _crossed_strikes, "max_strike"),
                Wrong("no date", _no_date, "expiry"),
            ),
        ),
        "InstrumentService/GetInstrumentStats": Example(lambda _world: GetInstrumentStatsRequest()),
        "InstrumentService/ImportInstruments": Example(
            lambda _world: ImportInstrumentsRequest(csv=CSV),
            wrong=(
                Wrong(
                    "no such columns",
                    lambda request: setattr(request, "csv", b"a,b\n1,2\n"),
                    "csv",
                    "IMPORT_UNREADABLE",
                ),
            ),
        ),
    }
)

"""Instruments as messages of the contract."""

from __future__ import annotations

from server.domain.instruments import Instrument, InstrumentKind
from server.store.instruments import UnderlyingSummary
from strikeline.v1 import instrument_pb2

_KIND = "INSTRUMENT_KIND_"
_PROVENANCE = "INSTRUMENT_PROVENANCE_"


def kind_of(value: instrument_pb2.InstrumentKind.ValueType) -> InstrumentKind | None:
    """The domain's kind; None for the unspecified one, which as a filter means all."""
    if value == instrument_pb2.INSTRUMENT_KIND_UNSPECIFIED:
        return None
    return InstrumentKind(instrument_pb2.InstrumentKind.Name(value).removeprefix(_KIND))


def instrument_message(item: Instrument) -> instrument_pb2.Instrument:
    """An instrument. A strike in the master is exact; the contract gives it as double."""
    return instrument_pb2.Instrument(
        instrument=item.key,
        exchange=item.exchange,
        tradingsymbol=item.tradingsymbol,
        token=item.token,
        name=item.name,
        kind=instrument_pb2.InstrumentKind.Value(_KIND + item.kind.name),
        underlying=item.underlying or "",
        expiry=item.expiry.isoformat() if item.expiry else "",
        strike=None if item.strike is None else float(item.strike),
        tick_size=0.0 if item.kind is InstrumentKind.INDEX else float(item.tick_size),
        lot_size=item.lot_size,
        freeze_quantity=item.freeze_quantity,
        segment=item.segment,
        provenance=instrument_pb2.InstrumentProvenance.Value(_PROVENANCE + item.provenance.upper()),
    )


def underlying_message(item: UnderlyingSummary) -> instrument_pb2.Underlying:
    """Something that derivatives are written on."""
    return instrument_pb2.Underlying(
        underlying=item.underlying,
        instrument=item.instrument or "",
        expiries=[expiry.isoformat() for expiry in item.expiries],
        contract_count=item.contracts,
    )

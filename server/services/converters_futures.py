"""Futures as messages of the contract."""

from __future__ import annotations

from datetime import date

from server.domain.calendar import exchange_date
from server.domain.futures import Basis, ExpiryShare, Rollover, TermPoint
from server.market.hub.signal_wire import set_move
from server.services.futures_market import FuturesView, Sighting, Spot, expiry_of
from server.services.futures_signals import Signal
from server.services.times import timestamp, timestamp_of
from strikeline.v1 import futures_pb2 as pb

_RANKS = (pb.FUTURES_RANK_NEAR, pb.FUTURES_RANK_NEXT, pb.FUTURES_RANK_FAR)
_MEDIUM_PRESSURE = 10.0
_HIGH_PRESSURE = 30.0


def rollover_message(view: FuturesView, found: Rollover, pressure_days: int) -> pb.RolloverMetrics:
    """How far an underlying has rolled. `found` has an expiry for each contract of the view."""
    message = pb.RolloverMetrics(
        underlying=view.underlying,
        as_of=timestamp(view.as_of),
        stale=view.stale,
        pressure_days=pressure_days,
        total_open_interest=None if found.total_open_interest is None else round(found.total_open_interest),
        open_interest_unit=_common_unit(view),
        rollover_percent=found.percent,
        rollover_cost_percent=found.cost,
    )
    for place, expiry in enumerate(found.expiries):
        message.expiries.append(_rollover_expiry(view, place, expiry, known=found.percent is not None))
    return message


def summary_message(view: FuturesView, point: TermPoint) -> pb.FuturesSummary:
    """The nearest contract; `point` is its place in the term structure."""
    return pb.FuturesSummary(
        underlying=view.underlying,
        as_of=timestamp(view.as_of),
        stale=view.stale,
        near=quote_message(view, 0),
        lot_size=view.listed[0].instrument.lot_size,
        active_contracts=len(view.listed),
        spot=_spot_message(view.spot),
        basis=_basis_message(point.to_spot),
    )


def term_structure_message(view: FuturesView, points: tuple[TermPoint, ...]) -> pb.TermStructure:
    """All contracts; `points` has one for each of the view."""
    message = pb.TermStructure(
        underlying=view.underlying, as_of=timestamp(view.as_of), stale=view.stale, spot=_spot_message(view.spot)
    )
    for place, point in enumerate(points):
        message.points.append(
            pb.TermPoint(
                quote=quote_message(view, place),
                basis=_basis_message(point.to_spot),
                calendar_spread=_basis_message(point.to_previous),
            )
        )
    return message


def quote_message(view: FuturesView, place: int) -> pb.FuturesQuote:
    """The contract at that place, nearest first."""
    future = view.listed[place]
    expiry, seen = expiry_of(future.instrument), future.seen
    message = pb.FuturesQuote(
        instrument=future.instrument.key,
        expiry=expiry.isoformat(),
        days_to_expiry=_days(expiry, view.as_of),
        rank=_RANKS[min(place, len(_RANKS) - 1)],
    )
    if seen is not None:
        message.last_price, message.open_interest_unit = seen.price, _unit(seen)
        message.price_time.CopyFrom(timestamp(seen.time))
        if seen.volume is not None:
            message.volume = seen.volume
        if seen.open_interest is not None:
            message.open_interest = seen.open_interest
    return message


def _rollover_expiry(view: FuturesView, place: int, found: ExpiryShare, *, known: bool) -> pb.RolloverExpiry:
    message = pb.RolloverExpiry(quote=quote_message(view, place))
    if known:
        message.share_percent, message.pressure = found.share, found.pressure
        message.status = _status(found.pressure)
    return message


def _status(pressure: float) -> pb.RolloverStatus.ValueType:
    if pressure > _HIGH_PRESSURE:
        return pb.ROLLOVER_STATUS_HIGH
    return pb.ROLLOVER_STATUS_MEDIUM if pressure > _MEDIUM_PRESSURE else pb.ROLLOVER_STATUS_LOW


def _unit(seen: Sighting) -> pb.OpenInterestUnit.ValueType:
    if seen.open_interest is None:
        return pb.OPEN_INTEREST_UNIT_UNSPECIFIED
    return pb.OPEN_INTEREST_UNIT_CONTRACTS if seen.in_contracts else pb.OPEN_INTEREST_UNIT_UNITS


def _common_unit(view: FuturesView) -> pb.OpenInterestUnit.ValueType:
    units = {_unit(future.seen) for future in view.listed if future.seen is not None}
    units.discard(pb.OPEN_INTEREST_UNIT_UNSPECIFIED)
    return units.pop() if len(units) == 1 else pb.OPEN_INTEREST_UNIT_UNSPECIFIED


def _spot_message(spot: Spot | None) -> pb.FuturesSpot | None:
    if spot is None:
        return None
    return pb.FuturesSpot(instrument=spot.key, price=spot.seen.price, price_time=timestamp(spot.seen.time))


def _basis_message(basis: Basis | None) -> pb.Basis | None:
    if basis is None:
        return None
    state = pb.BASIS_STATE_PREMIUM if basis.absolute > 0.0 else pb.BASIS_STATE_DISCOUNT
    return pb.Basis(
        absolute=basis.absolute,
        percent=basis.percent,
        carry_percent=basis.carry_percent,
        carry_rate=basis.carry_rate,
        state=state if basis.absolute else pb.BASIS_STATE_PARITY,
    )


def _days(expiry: date, as_of: int) -> int:
    return (expiry - exchange_date(as_of)).days


def signal_message(signal: Signal) -> pb.FuturesSignal:
    """One bar of a contract with its signal."""
    bar = signal.bar
    message = pb.FuturesSignal(
        instrument=signal.contract.key,
        expiry=expiry_of(signal.contract).isoformat(),
        open_time=timestamp_of(bar.open_time),
        close=bar.close,
        volume=bar.volume,
        open_interest=bar.open_interest,
        partial=bar.partial,
        closed=bar.closed,
    )
    set_move(message, signal.move)
    return message

"""Strategies and legs as messages of the contract, and requests as values of the store."""

from __future__ import annotations

from decimal import Decimal

from server.domain.errors import InvalidArgument
from server.domain.prices import format_money, parse_money
from server.services.requests import visible
from server.services.times import timestamp_of
from server.store.strategy_values import Leg, LegChanges, NewStrategy, Side, Strategy, StrategyChanges, StrategyStatus
from strikeline.v1 import leg_pb2, strategy_pb2
from strikeline.v1.leg_requests_pb2 import UpdateLegRequest
from strikeline.v1.strategy_requests_pb2 import UpdateStrategyRequest

_STATUS = "STRATEGY_STATUS_"


def strategy_message(item: Strategy) -> strategy_pb2.Strategy:
    """A strategy. A paused one is active as far as the contract is concerned: it takes changes."""
    shown = StrategyStatus.ACTIVE if item.status is StrategyStatus.PAUSED else item.status
    return strategy_pb2.Strategy(
        strategy=item.strategy,
        account=item.account,
        display_name=item.display_name,
        description=item.description,
        tags=item.tags,
        status=strategy_pb2.StrategyStatus.Value(_STATUS + shown.name),
        etag=item.etag,
        create_time=timestamp_of(item.create_time),
        update_time=timestamp_of(item.update_time),
        open_leg_count=item.open_leg_count,
        m2m=None if item.m2m is None else format_money(item.m2m),
        m2m_time=None if item.m2m_time is None else timestamp_of(item.m2m_time),
        is_default=item.is_default,
    )


def leg_message(item: Leg) -> leg_pb2.Leg:
    """A leg; amounts as decimal text."""
    return leg_pb2.Leg(
        leg=item.leg,
        account=item.account,
        strategy=item.strategy,
        instrument=item.instrument,
        side=leg_pb2.Side.Value(f"SIDE_{item.side.name}"),
        quantity=item.quantity,
        entry_price=format_money(item.entry_price),
        notes=item.notes,
        status=leg_pb2.LEG_STATUS_OPEN if item.open else leg_pb2.LEG_STATUS_CLOSED,
        exit_price=None if item.exit_price is None else format_money(item.exit_price),
        exit_time=None if item.exit_time is None else timestamp_of(item.exit_time),
        realized_pnl=None if item.realized_pnl is None else format_money(item.realized_pnl),
        create_time=timestamp_of(item.create_time),
        update_time=timestamp_of(item.update_time),
        etag=item.etag,
    )


def status_filter(value: strategy_pb2.StrategyStatus.ValueType) -> StrategyStatus | None:
    """The store's status; None for all."""
    if value == strategy_pb2.STRATEGY_STATUS_UNSPECIFIED:
        return None
    return StrategyStatus(strategy_pb2.StrategyStatus.Name(value).removeprefix(_STATUS))


def open_filter(value: leg_pb2.LegStatus.ValueType) -> bool | None:
    """Whether only open (True) or closed (False) legs are wanted; None for all."""
    return None if value == leg_pb2.LEG_STATUS_UNSPECIFIED else value == leg_pb2.LEG_STATUS_OPEN


def side_of(value: leg_pb2.Side.ValueType) -> Side:
    """The store's side of a specified one."""
    return Side(leg_pb2.Side.Name(value).removeprefix("SIDE_"))


def new_strategy(message: strategy_pb2.Strategy) -> NewStrategy:
    """What a creation reads. Raises InvalidArgument for a name of blanks."""
    return NewStrategy(
        display_name=visible("strategy.display_name", message.display_name),
        description=message.description,
        tags=tuple(message.tags),
    )


def strategy_changes(request: UpdateStrategyRequest) -> StrategyChanges:
    """The fields that the mask names; without one, those that are not empty."""
    given, paths = request.strategy, set(request.update_mask.paths)
    every = not request.HasField("update_mask")

    def named(field: str, value: object) -> bool:
        return bool(value) if every else field in paths

    return StrategyChanges(
        display_name=visible("strategy.display_name", given.display_name)
        if named("display_name", given.display_name)
        else None,
        description=given.description if named("description", given.description) else None,
        tags=tuple(given.tags) if named("tags", given.tags) else None,
    )


def leg_changes(request: UpdateLegRequest) -> LegChanges:
    """The fields that the mask names; without one, those that are not empty."""
    given, paths = request.leg, set(request.update_mask.paths)
    every = not request.HasField("update_mask")

    def named(field: str, value: object) -> bool:
        return bool(value) if every else field in paths

    return LegChanges(
        quantity=given.quantity if named("quantity", given.quantity) else None,
        entry_price=money("leg.entry_price", given.entry_price) if named("entry_price", given.entry_price) else None,
        notes=given.notes if named("notes", given.notes) else None,
    )


def money(field: str, text: str) -> Decimal:
    """An amount of a request, exact. Raises InvalidArgument that names the field."""
    try:
        return parse_money(text)
    except ValueError as error:
        raise InvalidArgument.of(field, str(error)) from error

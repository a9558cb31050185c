"""Requests of StrategyService."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from server.contract.testing.examples.example import Example, Wrong, changed
from server.contract.testing.examples.market_data import STREAM
from server.contract.testing.world import World
from strikeline.v1.leg_pb2 import Leg
from strikeline.v1.leg_requests_pb2 import (
    CloseLegRequest,
    CreateLegRequest,
    DeleteLegRequest,
    ListLegsRequest,
    UpdateLegRequest,
)
from strikeline.v1.m2m_requests_pb2 import GetM2mRequest, ListM2mCandlesRequest, StreamM2mRequest
from strikeline.v1.strategy_pb2 import Strategy
from strikeline.v1.strategy_requests_pb2 import (
    ArchiveStrategyRequest,
    CloseStrategyRequest,
    CreateStrategyRequest,
    GetStrategyRequest,
    ListStrategiesRequest,
    UpdateStrategyRequest,
)

NOBODY = "no-such-id"
MADE = ("strategy", "leg", "display_name", "etag", "create_time", "update_time", "exit_time")
"""What differs between two resources that were made alike."""

Make = Callable[[World], Message]


def _of(world: World, kind: type[Message], strategy: str = "", **more: object) -> Message:
    """A request about the owner's standing strategy, or another one."""
    return changed(kind(), account=world.owner.account, strategy=strategy or world.strategy, **more)


def _unknown(kind: type[Message]) -> Make:
    return lambda world: _of(world, kind, NOBODY)


def _foreign(kind: type[Message], **more: str) -> Make:
    return lambda world: changed(_of(world, kind, world.foreign_strategy), **more)


def _fresh(kind: type[Message]) -> Make:
    """About a strategy that is made for this request alone."""
    return lambda world: _of(world, kind, world.new_strategy().strategy)


def _fresh_leg(kind: type[Message], **more: str) -> Make:
    """About a leg that is made for this request alone."""
    return lambda world: changed(_of(world, kind), leg=world.new_leg(world.strategy).leg, **more)


def _create_strategy(world: World) -> Message:
    strategy = Strategy(display_name=world.unique("strangle"), description="Sold volatility.", tags=["test", "nifty"])
    return CreateStrategyRequest(account=world.owner.account, strategy=strategy)


def _update_strategy(strategy: Callable[[World], str]) -> Make:
    def make(world: World) -> Message:
        changes = Strategy(
            account=world.owner.account, strategy=strategy(world), display_name=world.unique("renamed"), tags=["new"]
        )
        return UpdateStrategyRequest(strategy=changes, update_mask=FieldMask(paths=["display_name", "tags"]))

    return make


def _create_leg(strategy: Callable[[World], str]) -> Make:
    return lambda world: CreateLegRequest(account=world.owner.account, strategy=strategy(world), leg=world.a_leg())


def _update_leg(world: World, strategy: str, leg: str) -> Message:
    changes = Leg(account=world.owner.account, strategy=strategy, leg=leg, entry_price="190.05", notes="better fill")
    return UpdateLegRequest(leg=changes, update_mask=FieldMask(paths=["entry_price", "notes"]))


def _updated_leg(world: World) -> Message:
    return _update_leg(world, world.strategy, world.new_leg(world.strategy).leg)


def _candles(world: World, strategy: str = "") -> Message:
    request = ListM2mCandlesRequest(account=world.owner.account, strategy=strategy or world.strategy, page_size=5)
    request.start_time.FromJsonString("2025-11-03T03:45:00Z")
    request.end_time.FromJsonString("2025-11-03T10:00:00Z")
    return request


def _set(path: str, value: object) -> Callable[[Message], None]:
    return lambda request: request.CopyFrom(changed(request, **{path: value}))


def _backwards(request: Message) -> None:
    assert isinstance(request, ListM2mCandlesRequest)
    request.end_time.CopyFrom(request.start_time)


def _bad_token() -> Wrong:
    return Wrong("token of nobody", _set("page_token", "no-token"), "page_token", "PAGE_TOKEN_INVALID")


def _stale_etag(path: str) -> Wrong:
    return Wrong("stale etag", _set(path, "no-etag"), "", "ETAG_MISMATCH")


STRATEGIES: Mapping[str, Example] = MappingProxyType(
    {
        "StrategyService/CreateStrategy": Example(
            _create_strategy,
            MADE,
            (Wrong("no name", _set("strategy__display_name", ""), "strategy.display_name"),),
        ),
        "StrategyService/GetStrategy": Example(
            lambda world: _of(world, GetStrategyRequest),
            missing=_unknown(GetStrategyRequest),
            foreign=_foreign(GetStrategyRequest),
        ),
        "StrategyService/ListStrategies": Example(
            lambda world: ListStrategiesRequest(account=world.owner.account, page_size=2),
            ("strategies", "total_size", "next_page_token"),
            (_bad_token(),),
        ),
        "StrategyService/UpdateStrategy": Example(
            _update_strategy(lambda world: world.new_strategy().strategy),
            MADE,
            (
                Wrong("no name", _set("strategy__display_name", ""), "strategy.display_name"),
                _stale_etag("strategy__etag"),
            ),
            missing=_update_strategy(lambda _world: NOBODY),
            foreign=_update_strategy(lambda world: world.foreign_strategy),
        ),
        "StrategyService/ArchiveStrategy": Example(
            _fresh(ArchiveStrategyRequest),
            MADE,
            (_stale_etag("etag"),),
            missing=_unknown(ArchiveStrategyRequest),
            foreign=_foreign(ArchiveStrategyRequest),
        ),
        "StrategyService/CloseStrategy": Example(
            _fresh(CloseStrategyRequest),
            MADE,
            (_stale_etag("etag"),),
            missing=_unknown(CloseStrategyRequest),
            foreign=_foreign(CloseStrategyRequest),
        ),
        "StrategyService/GetM2m": Example(
            lambda world: _of(world, GetM2mRequest),
            ("market_time", "as_of"),
            missing=_unknown(GetM2mRequest),
            foreign=_foreign(GetM2mRequest),
        ),
        "StrategyService/ListM2mCandles": Example(
            _candles,
            wrong=(_bad_token(), Wrong("end before start", _backwards, "end_time")),
            missing=lambda world: _candles(world, NOBODY),
            foreign=lambda world: _candles(world, world.foreign_strategy),
        ),
        "StrategyService/StreamM2m": Example(
            lambda world: _of(world, StreamM2mRequest),
            STREAM,
            missing=_unknown(StreamM2mRequest),
            foreign=_foreign(StreamM2mRequest),
        ),
    }
)

LEGS: Mapping[str, Example] = MappingProxyType(
    {
        "StrategyService/CreateLeg": Example(
            _create_leg(lambda world: world.strategy),
            MADE,
            (
                Wrong("no instrument", _set("leg__instrument", ""), "leg.instrument"),
                Wrong("no side", _set("leg__side", 0), "leg.side"),
                Wrong("no quantity", _set("leg__quantity", 0), "leg.quantity"),
                Wrong("part of a lot", _set("leg__quantity", 1), "leg.quantity"),
                Wrong("no entry price", _set("leg__entry_price", ""), "leg.entry_price"),
                Wrong("unknown instrument", _set("leg__instrument", "NSE:NOSUCHSHARE"), "", "INSTRUMENT_NOT_FOUND"),
            ),
            missing=_create_leg(lambda _world: NOBODY),
            foreign=_create_leg(lambda world: world.foreign_strategy),
        ),
        "StrategyService/ListLegs": Example(
            lambda world: _of(world, ListLegsRequest, page_size=1),
            ("total_size",),
            (_bad_token(),),
            missing=_unknown(ListLegsRequest),
            foreign=_foreign(ListLegsRequest),
        ),
        "StrategyService/UpdateLeg": Example(
            _updated_leg,
            MADE,
            (
                Wrong("no entry price", _set("leg__entry_price", ""), "leg.entry_price"),
                _stale_etag("leg__etag"),
            ),
            missing=lambda world: _update_leg(world, world.strategy, NOBODY),
            foreign=lambda world: _update_leg(world, world.foreign_strategy, world.leg),
        ),
        "StrategyService/CloseLeg": Example(
            _fresh_leg(CloseLegRequest, exit_price="170.00"),
            MADE,
            (_stale_etag("etag"), Wrong("negative price", _set("exit_price", "-1"), "exit_price")),
            missing=lambda world: _of(world, CloseLegRequest, leg=NOBODY, exit_price="170.00"),
            foreign=_foreign(CloseLegRequest, leg=NOBODY, exit_price="170.00"),
        ),
        "StrategyService/DeleteLeg": Example(
            _fresh_leg(DeleteLegRequest),
            wrong=(_stale_etag("etag"),),
            missing=lambda world: _of(world, DeleteLegRequest, leg=NOBODY),
            foreign=_foreign(DeleteLegRequest, leg=NOBODY),
        ),
    }
)

EXAMPLES: Mapping[str, Example] = MappingProxyType({**STRATEGIES, **LEGS})
